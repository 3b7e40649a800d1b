"""The access service over real mTLS."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import (
    AccessServiceStub,
    add_AccessServiceServicer_to_server,
)
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditEntry
from ecarus.remotecontrol.door.v1.door_grant_service_pb2_grpc import DoorGrantServiceStub
from envoy_ext_authz.external_auth_pb2_grpc import AuthorizationStub, add_AuthorizationServicer_to_server

import services.access
from services.access.adapters import seed, store, translate
from services.access.adapters.authorization_server import AuthorizationServicer
from services.access.adapters.authorizer import EdgeAuthorizer
from services.access.adapters.capability_issuer import CapabilityIssuer, SigningKey
from services.access.adapters.decision_log import DecisionLog
from services.access.adapters.event_server import DoorEventServicer
from services.access.adapters.grant_server import DoorGrantServicer
from services.access.adapters.identity import CallerIdentifier, key_hash
from services.access.adapters.issuer_keys import KeyFile, KeyRing
from services.access.adapters.key_watch import KeyWatch
from services.access.adapters.limits import CountedRequests, RateLimits
from services.access.adapters.outbox_messages import AccessMessages, agent_alert
from services.access.adapters.pending_grants import SqlPendingGrants
from services.access.adapters.pending_keys import SqlPendingApiKeys
from services.access.adapters.people_server import VehiclePeopleServicer
from services.access.adapters.permission_cache import PermissionCache
from services.access.adapters.routes import Routes
from services.access.adapters.security_server import SecurityCaseServicer
from services.access.adapters.server import POLICY, SERVICES, AccessServicer
from services.access.adapters.session_gate import SessionCallers, SessionGate, SessionWatches
from services.access.adapters.session_issuer import SessionIssuer
from services.access.adapters.signal_log import SignalLog, log_lost_findings
from services.access.adapters.team_certificates import TeamCertificates
from services.access.adapters.tokens import TokenVerifier
from services.access.domain.abnormal import AbnormalWatch
from services.access.domain.accounts import SANDBOX_CLIENTS, SANDBOX_EMPLOYEE_CLIENTS
from services.access.domain.consents import ASKED
from services.access.domain.customer_cases import CaseRule
from services.access.domain.sharing import GrantLimits
from services.access.domain.step_up import STRICT
from services.access.usecases.abnormal import AbnormalAccess
from services.access.usecases.agents import AgentSupervision
from services.access.usecases.authorization import RequestAuthorizer
from services.access.usecases.customer_cases import CaseCheck
from services.access.usecases.severance import SeveredAccess
from services.access.usecases.sharing import SharedAccess
from services.platform.audit_entry import EntryIds
from services.platform.audit_trail import AuditTrail
from services.platform.audited_database import AuditedDatabase
from services.platform.database import open_database
from services.platform.server import GrpcServer
from services.platform.workload import Workloads
from tests.contract.access.door_of_rights import DoorOfRights
from tests.contract.access.other_services import OtherServices
from tests.contract.access.personal_data_door import person  # noqa: F401  # a fixture
from tests.support.databases import migrated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc

    from services.platform.capability import CapabilityVerifier
    from services.platform.database import Database
    from services.platform.settings import ServiceSettings
from tests.contract.access.access_service import (
    ALICE,
    BOB,
    PEPPER,
    RATES,
    SEED,
    CheckEdge,
    TokenIssuer,
    edge_checks,
    utc_now,
)
from tests.contract.access.servicers import case_servicers, personal_servicers


@pytest.fixture
def token_issuer(tmp_path: Path) -> TokenIssuer:
    issuer = TokenIssuer(tmp_path / "issuer.jwks.json")
    issuer.publish()
    return issuer


@pytest.fixture
def production() -> bool:
    """Whether owners need two operators; a test that wants it overrides this."""
    return False


@pytest.fixture
def rates() -> dict[str, int]:
    """How often who may ask for what in a minute; a test that asks often overrides this."""
    return RATES


@pytest.fixture
def grants_per_vehicle() -> int:
    """How many rights there may be on a vehicle; a test that has few overrides this."""
    return 32


@pytest.fixture
def rules() -> dict[Any, Any]:
    """What counts as abnormal access; a test that wants some overrides this."""
    return {}


@pytest.fixture
def case_rule() -> CaseRule:
    """Whose word it is that a case is open; a test that wants the other overrides this."""
    return CaseRule.VOUCHED


@pytest.fixture
def watched() -> list[Any]:
    """What looks at the requests that were noted for the rules of abnormal access."""
    return []


@pytest.fixture
def others() -> OtherServices:
    """The services beside this one, as far as they keep something about people."""
    return OtherServices()


@pytest.fixture
def audit() -> list[Any]:
    """What returns the entries that wait for the audit ledger, in order."""
    return []


async def _entries(database: Database, trail: AuditTrail, decisions: DecisionLog) -> list[AuditEntry]:
    decisions.tell_all()
    await trail.flush()
    waiting = await database.read(lambda c: store.audit_outbox.waiting(c, 100_000))
    return [AuditEntry.FromString(each.entry) for each in waiting]


@pytest.fixture
def decided_at() -> Callable[[], float]:
    """What seconds the log of decisions counts; a test in which no look repeats another overrides this."""
    return time.monotonic


@pytest.fixture
def asked() -> dict[Any, Any]:
    """The texts that people are asked to agree to; a test that changes one does so here."""
    return dict(ASKED)


@pytest.fixture
def sent() -> list[Any]:
    """What the service announced."""
    return []


@pytest.fixture
def room_name() -> str:
    return "access"


@pytest.fixture
async def build_room(
    signer: Any,
    tmp_path: Path,
    token_issuer: TokenIssuer,
    sent: list[Any],
    rates: dict[str, int],
    grants_per_vehicle: int,
    rules: dict[Any, Any],
    watched: list[Any],
    *,
    case_rule: CaseRule,
    audit: list[Any],
    decided_at: Callable[[], float],
    asked: dict[Any, Any],
    others: OtherServices,
    production: bool,
) -> AsyncIterator[Any]:
    """The service with the sandbox's seed and a token issuer of its own."""
    url = f"sqlite:///{tmp_path}/access-record.sqlite3"
    await asyncio.to_thread(migrated, url, Path(services.access.__file__).with_name("migrations"), store.HEAD)
    database = await open_database(url)
    planted = seed.Seed.model_validate(SEED)
    await database.write(lambda c: seed.plant(c, planted, PEPPER, utc_now()))
    permission_cache = PermissionCache(
        lambda s, a, v: database.read(lambda c: store.load_permissions(c, s, a, v, utc_now())), time.time
    )

    def cancelled(credentials: frozenset[str]) -> None:
        for credential in credentials:
            authorizer.invalidate(credential=credential)
        watch.hurry()

    keys = KeyFile(token_issuer.jwks, KeyRing(cancelled), time.time)
    tokens = TokenVerifier(
        issuer="i",
        audience="a",
        keys=keys,
        clients=SANDBOX_CLIENTS,
        now=time.time,
        employee_clients=SANDBOX_EMPLOYEE_CLIENTS,
    )
    case_record = store.SqlCustomerCases(database, AccessMessages(), sent.extend, time.time)
    signals = SignalLog()
    issuer = CapabilityIssuer(SigningKey(signer.key, "test"), time.time)
    workloads = Workloads()
    ids = EntryIds("access")
    audited = AuditedDatabase(database, store.audit_outbox, ids)
    trail = AuditTrail(
        ids,
        lambda entries: database.write(lambda c: store.audit_outbox.add(c, entries)),
        utc_now,
        "RIGHTS_REFUSED",
    )
    decisions = DecisionLog(trail.note, trail.count_lost, utc_now, decided_at)
    audit.append(partial(_entries, database, trail, decisions))
    agents = AgentSupervision(store.SqlAgentRecord(audited, agent_alert, sent.extend), utc_now)
    authorizer = RequestAuthorizer(
        callers=CallerIdentifier(
            tokens=tokens,
            find_key=lambda digest: database.read(lambda c: store.find_key(c, digest, utc_now())),
            pepper=PEPPER,
            sandbox=True,
            now=time.time,
        ),
        permissions=permission_cache,
        rates=RateLimits(rates, time.monotonic),
        counted=CountedRequests(time.monotonic),
        capabilities=issuer,
        step_up_table=STRICT,
        observe=signals.note,
        agents=agents,
        cases=CaseCheck(case_record, case_rule),
        now=time.time,
        decided=decisions.decided,
    )
    sessions = store.SqlSessions(database)
    change_messages = AccessMessages()
    pending = SqlPendingGrants(audited, change_messages, sent.extend) if production else None
    pending_keys = SqlPendingApiKeys(audited) if production else None
    record = store.SqlGrantRecord(audited, change_messages, sent.extend)
    severed = SeveredAccess(
        store.SqlSeverances(audited, change_messages, sent.extend), authorizer.invalidate, utc_now
    )
    abnormal = AbnormalAccess(
        store.SqlAbnormalAccess(audited, change_messages, sent.extend),
        AbnormalWatch(rules),
        authorizer.invalidate,
        utc_now,
        log_lost_findings,
    )
    watched.append(partial(signals.look, abnormal.look_at))
    sharing = SharedAccess(
        store.SqlSharedGrants(
            audited, change_messages, sent.extend, GrantLimits(per_vehicle=grants_per_vehicle, per_giver=64)
        ),
        authorizer.invalidate,
        utc_now,
    )
    personal = personal_servicers(
        database, audited, f"{tmp_path}/access-record.sqlite3", sent, others, authorizer.invalidate, asked
    )
    watch = KeyWatch(keys, issuer, lambda: SigningKey(signer.key, "test"), record, utc_now, seconds=60)
    token_issuer.watch = watch

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        callers = SessionCallers(verifier, sessions, keys.ring.trusts, workloads.is_name_revoked, utc_now)
        gate = SessionGate(SessionIssuer(lambda: issuer.key, time.time), sessions, callers, utc_now)
        edge = EdgeAuthorizer(authorizer, Routes(), TeamCertificates(workloads).name_of, gate)

        def register(server: grpc.aio.Server) -> None:
            add_AuthorizationServicer_to_server(AuthorizationServicer(edge), server)
            servicer = AccessServicer(
                record,
                authorizer.invalidate,
                utc_now,
                pending,
                pending_keys,
                trusts=keys.ring.trusts,
                hash_key=partial(key_hash, PEPPER),
                severed=severed,
                abnormal=abnormal,
                watches=SessionWatches(callers, authorizer),
            )
            add_AccessServiceServicer_to_server(servicer, server)
            DoorGrantServicer(sharing, severed, abnormal, agents).register(server)
            DoorEventServicer(gate).register(server)
            for each in (
                *personal,
                VehiclePeopleServicer(record, utc_now),
                *case_servicers(case_record, case_rule, authorizer.invalidate_cases),
            ):
                each.register(server)
            SecurityCaseServicer(abnormal, record, authorizer.invalidate, utc_now).register(server)

        return GrpcServer(
            settings,
            SERVICES,
            register,
            POLICY,
            verifier,
            translate.refusal_of,
            workloads=workloads,
            audit=trail.tell,
        )

    yield build
    await database.close()


@pytest.fixture
def access(grpc_server: Any, sent: list[Any]) -> tuple[Any, list[Any]]:
    return grpc_server, sent


@pytest.fixture
def grpc_stub_cls() -> type[AuthorizationStub]:
    return AuthorizationStub


@pytest.fixture
def check(grpc_stub: Any) -> CheckEdge:
    """Asks as Envoy does."""
    return edge_checks(grpc_stub)


@pytest.fixture
async def operators(access: Any) -> AsyncIterator[tuple[AccessServiceStub, AccessServiceStub]]:
    service, _ = access
    async with service.channel(ALICE) as one, service.channel(BOB) as other:
        yield AccessServiceStub(one), AccessServiceStub(other)


@pytest.fixture
async def clerk(access: Any) -> AsyncIterator[AccessServiceStub]:
    """The operators' certificate, which gives no rights."""
    service, _ = access
    async with service.channel("operator") as channel:
        yield AccessServiceStub(channel)


@pytest.fixture
async def rights(access: Any, check: CheckEdge, token_issuer: TokenIssuer) -> AsyncIterator[DoorOfRights]:
    service, _ = access
    async with service.channel("edge") as channel:
        yield DoorOfRights(check, DoorGrantServiceStub(channel), token_issuer)
