"""Wiring: settings, database, broker, admission, server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ecarus.remotecontrol.access.v1 import access_service_pb2_grpc
from envoy_ext_authz import external_auth_pb2_grpc

from protocol.consumers import readers_of
from protocol.streams import ROOM_EVENTS, STREAMS
from services.access.adapters import seed, store, translate
from services.access.adapters.authorization_server import AuthorizationServicer
from services.access.adapters.authorizer import EdgeAuthorizer
from services.access.adapters.capability_issuer import CapabilityIssuer, read_signing_key
from services.access.adapters.case_server import CaseServicer
from services.access.adapters.customer_case_server import CustomerCaseServicer
from services.access.adapters.decision_log import TELL_SECONDS as TELL_LOOKS_SECONDS
from services.access.adapters.decision_log import DecisionLog
from services.access.adapters.dpop import ProofVerifier
from services.access.adapters.event_server import DoorEventServicer
from services.access.adapters.grant_server import DoorGrantServicer
from services.access.adapters.identity import CallerIdentifier, key_hash
from services.access.adapters.issuer_discovery import DiscoveredKeys
from services.access.adapters.issuer_keys import KeyFile, KeyRing
from services.access.adapters.kept import kept_tables
from services.access.adapters.key_use import WRITE_SECONDS, KeyUseLog
from services.access.adapters.key_watch import KeyWatch
from services.access.adapters.limits import CountedRequests, RateLimits
from services.access.adapters.outbox_messages import AccessMessages, agent_alert
from services.access.adapters.pending_grants import SqlPendingGrants
from services.access.adapters.pending_keys import SqlPendingApiKeys
from services.access.adapters.people_server import VehiclePeopleServicer
from services.access.adapters.permission_cache import PermissionCache
from services.access.adapters.person_parts import PersonParts
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.adapters.revocations import follow_revocations
from services.access.adapters.routes import Routes
from services.access.adapters.security_server import SecurityCaseServicer
from services.access.adapters.server import POLICY, SERVICES, AccessServicer
from services.access.adapters.service_data import ServiceData
from services.access.adapters.session_gate import SessionCallers, SessionGate, SessionWatches
from services.access.adapters.session_issuer import SessionIssuer
from services.access.adapters.shared_proofs import TELL_SECONDS as TELL_PROOFS_SECONDS
from services.access.adapters.shared_proofs import SharedProofs
from services.access.adapters.signal_log import LOOK_SECONDS, SignalLog, log_lost_findings
from services.access.adapters.team_certificates import TeamCertificates
from services.access.adapters.tokens import TokenVerifier
from services.access.domain.abnormal import AbnormalWatch
from services.access.settings import AccessSettings
from services.access.usecases.abnormal import AbnormalAccess
from services.access.usecases.agents import AgentSupervision
from services.access.usecases.authorization import RequestAuthorizer
from services.access.usecases.customer_cases import CaseCheck, CaseOverviews, CustomerCases
from services.access.usecases.severance import SeveredAccess
from services.access.usecases.sharing import SharedAccess
from services.platform import boot
from services.platform.audit_delivery import AuditDelivery
from services.platform.background import regularly
from services.platform.broker_erasure import BrokerErasure
from services.platform.capability import CapabilityVerifier
from services.platform.channel import open_channel
from services.platform.clock import CLOCK
from services.platform.database import open_database
from services.platform.database_watch import DatabaseWatch
from services.platform.health import Health
from services.platform.migration import migrate
from services.platform.outbox import OutboxRelay
from services.platform.server import GrpcServer
from services.platform.subject_data_api import OwnData
from services.platform.workload import Workloads
from services.telematics.broker import connect_broker
from services.vehicle_models.catalogue import REREAD_SECONDS, VehicleModels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from services.access.adapters.dpop import ProofOfRequest
    from services.access.domain.permissions import EffectivePermissions
    from services.access.usecases.grants import InvalidateCaches
    from services.platform.database import Database
    from services.platform.jetstream import Broker
    from services.platform.outbox import OutgoingMessage

NAME = "access"
_MIN_PEPPER_BYTES = 16


class StartRefusedError(Exception):
    """The service must not start as it is configured; the text says why."""


async def main(settings: AccessSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    verifier = CapabilityVerifier(settings.capability_jwks, service=NAME)
    pepper = _pepper_in(settings.api_key_pepper_file)
    signing_key = read_signing_key(settings.capability_key, settings.capability_jwks)
    database, health = await _opened(settings, pepper), Health()
    broker = await connect_broker(settings, "service-access", health)
    await broker.ensure_streams(STREAMS[ROOM_EVENTS])
    relay = OutboxRelay(database, store.outbox, translate.OUTBOX_QUEUE, broker.publish_all, CLOCK.now)
    audit = AuditDelivery(settings, NAME, database, store.audit_outbox, refused_kind="RIGHTS_REFUSED")

    async def load_permissions(subject: str, actor: str, vin: str) -> EffectivePermissions:
        return await database.read(lambda c: store.load_permissions(c, subject, actor, vin, CLOCK.now()))

    key_uses = KeyUseLog(lambda uses: database.write(lambda c: store.note_key_uses(c, uses)), CLOCK.now)
    routes, workloads, models = Routes(), Workloads(), VehicleModels(settings.vehicle_models)

    def keys_changed(gone: frozenset[str]) -> None:
        for credential in gone:
            authorizer.invalidate(credential=credential)
        watch.hurry()

    keys = _issuer_keys(settings, KeyRing(keys_changed), health)
    shared_proofs = SharedProofs(broker.client, ProofVerifier(CLOCK.seconds, settings.origins))
    signals, issuer = SignalLog(), CapabilityIssuer(signing_key, CLOCK.seconds)
    case_record = store.SqlCustomerCases(audit.database, AccessMessages(), relay.hand_over, CLOCK.seconds)
    agents = AgentSupervision(store.SqlAgentRecord(audit.database, agent_alert, relay.hand_over), CLOCK.now)
    decisions = DecisionLog(audit.note, audit.count_lost, CLOCK.now, CLOCK.monotonic)
    authorizer: RequestAuthorizer[ProofOfRequest] = RequestAuthorizer(
        callers=CallerIdentifier(
            tokens=_token_verifier(settings, keys),
            find_key=lambda digest: database.read(lambda c: store.find_key(c, digest, CLOCK.now())),
            pepper=pepper,
            sandbox=settings.is_sandbox,
            now=CLOCK.seconds,
            proofs=shared_proofs.verifier,
            note_use=key_uses.note,
        ),
        permissions=PermissionCache(load_permissions, CLOCK.seconds),
        rates=RateLimits(settings.requests_per_minute, CLOCK.monotonic),
        counted=CountedRequests(CLOCK.monotonic),
        capabilities=issuer,
        step_up_table=settings.step_up_table,
        agents=agents,
        cases=CaseCheck(case_record, settings.cases),
        now=CLOCK.seconds,
        observe=signals.note,
        decided=decisions.decided,
    )
    await follow_revocations(broker.client, authorizer.invalidate, authorizer.invalidate_cases)
    await shared_proofs.start()
    record = store.SqlGrantRecord(audit.database, AccessMessages(), relay.hand_over)
    gate, callers = _sessions_of(database, issuer, verifier, keys.ring.trusts, workloads.is_name_revoked)
    shared, severed, abnormal = _people_of(audit.database, relay, authorizer.invalidate, settings)
    persons = _persons_of(settings, audit.database, pepper, relay.hand_over, authorizer.invalidate, broker)

    watch = KeyWatch(
        keys,
        issuer,
        lambda: read_signing_key(settings.capability_key, settings.capability_jwks),
        record,
        CLOCK.now,
        settings.keys_reread_seconds,
    )

    def register(server: grpc.aio.Server) -> None:
        edge = EdgeAuthorizer(
            authorizer,
            routes,
            TeamCertificates(workloads).name_of,
            gate,
            country_header=settings.country_header,
        )
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(AuthorizationServicer(edge), server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(
            AccessServicer(
                record,
                authorizer.invalidate,
                CLOCK.now,
                None
                if settings.is_sandbox
                else SqlPendingGrants(audit.database, AccessMessages(), relay.hand_over),
                None if settings.is_sandbox else SqlPendingApiKeys(audit.database),
                trusts=keys.ring.trusts,
                hash_key=partial(key_hash, pepper),
                severed=severed,
                abnormal=abnormal,
                watches=SessionWatches(callers, authorizer),
            ),
            server,
        )
        DoorGrantServicer(shared, severed, abnormal, agents).register(server)
        DoorEventServicer(gate).register(server)
        for servicer in (*persons.servicers, VehiclePeopleServicer(record, CLOCK.now)):
            servicer.register(server)
        SecurityCaseServicer(abnormal, record, authorizer.invalidate, CLOCK.now).register(server)
        CustomerCaseServicer(CustomerCases(case_record, authorizer.invalidate_cases, CLOCK.now)).register(
            server
        )
        CaseServicer(CaseOverviews(case_record, settings.cases, CLOCK.now), models).register(server)

    rpc = GrpcServer(
        settings,
        services=SERVICES,
        register=register,
        policy=POLICY,
        verifier=verifier,
        translate_error=translate.refusal_of,
        health=health,
        workloads=workloads,
        besides=persons.apis,
        audit=audit.hook,
        also_reflected=routes.services,  # the edge sends reflection here: this service knows all that is public
    )
    await keys.refresh()
    await rpc.start()
    try:
        await boot.run_until(
            stop,
            rpc.keep_health(),
            broker.watch(),
            DatabaseWatch(database, health, settings.health_patience_seconds).run(),
            relay.run(),
            watch.run(),
            regularly("look_at_access", LOOK_SECONDS, partial(signals.look, abnormal.look_at)),
            audit.run(),
            regularly("tell_looks", TELL_LOOKS_SECONDS, decisions.tell),
            regularly("note_key_uses", WRITE_SECONDS, key_uses.write),
            *persons.jobs(),
            regularly("reread_vehicle_models", REREAD_SECONDS, models.refresh),
            regularly("tell_proofs", TELL_PROOFS_SECONDS, shared_proofs.tell),
            *([keys.run()] if isinstance(keys, DiscoveredKeys) else []),
        )
    finally:
        fetching = [keys.close] if isinstance(keys, DiscoveredKeys) else []
        await rpc.stop()
        decisions.tell_all()
        await boot.close_all(audit.close, *fetching, persons.data.close, broker.close, database.close)


def _persons_of(
    settings: AccessSettings,
    database: Database,
    pepper: bytes,
    hand_over: Callable[[Sequence[OutgoingMessage]], None],
    invalidate: InvalidateCaches,
    broker: Broker,
) -> PersonParts:
    """Return what people may ask about themselves."""
    channels = {name: open_channel(settings, target, name) for name, target in settings.data_targets.items()}
    days = (settings.rights_retention_days, settings.audit_retention_days)
    own_data = OwnData(
        database,
        settings.database_url,
        kept_tables(*(timedelta(days=each) for each in days)),
        store.holds,
        CLOCK.now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
        besides=lambda connection, person, _pseudonym: store.erased(connection, person, CLOCK.now()),
        told=BrokerErasure(broker, ROOM_EVENTS, readers_of(ROOM_EVENTS), CLOCK.monotonic).erase,
    )
    record = store.SqlPersonalData(database, pepper, AccessMessages(), hand_over, own_data.subject_data)
    return PersonParts(
        database,
        ServiceData(channels),
        own_data,
        record,
        invalidate,
        CLOCK.now,
        service=NAME,
        erasure_waiting=settings.erasure_waiting,
        holds_alone=settings.is_sandbox,
    )


def _sessions_of(
    database: Database,
    issuer: CapabilityIssuer,
    verifier: CapabilityVerifier,
    trusts: Callable[[str], bool],
    is_revoked: Callable[[str], bool],
) -> tuple[SessionGate, SessionCallers]:
    """Return what opens sessions, and what reads whose they are."""
    record = store.SqlSessions(database)
    callers = SessionCallers(verifier, record, trusts, is_revoked, CLOCK.now)
    return SessionGate(SessionIssuer(lambda: issuer.key, CLOCK.seconds), record, callers, CLOCK.now), callers


def _people_of(
    database: Database, relay: OutboxRelay, invalidate: InvalidateCaches, settings: AccessSettings
) -> tuple[SharedAccess, SeveredAccess, AbnormalAccess]:
    """Return what people may ask about each other's rights."""
    change_messages = AccessMessages()
    grants = store.SqlSharedGrants(database, change_messages, relay.hand_over, settings.grant_limits)
    cases = store.SqlAbnormalAccess(database, change_messages, relay.hand_over)
    severances = store.SqlSeverances(database, change_messages, relay.hand_over)
    return (
        SharedAccess(grants, invalidate, CLOCK.now),
        SeveredAccess(severances, invalidate, CLOCK.now),
        AbnormalAccess(
            cases, AbnormalWatch(settings.abnormal_rules), invalidate, CLOCK.now, log_lost_findings
        ),
    )


def _issuer_keys(settings: AccessSettings, ring: KeyRing, health: Health) -> KeyFile | DiscoveredKeys:
    """Return where the issuer's keys come from, as the settings say."""
    if settings.token_jwks is not None:
        return KeyFile(settings.token_jwks, ring, CLOCK.seconds, settings.algorithms)
    if settings.token_discovery_url is None:
        raise StartRefusedError("neither DOORS_TOKEN_DISCOVERY_URL nor DOORS_TOKEN_JWKS is set")
    return DiscoveredKeys(
        url=settings.token_discovery_url,
        issuer=settings.token_issuer,
        ring=ring,
        condition=health.condition("token issuer", patience_seconds=settings.health_patience_seconds),
        monotonic=CLOCK.monotonic,
        algorithms=settings.algorithms,
        fetch_seconds=settings.token_keys_fetch_seconds,
        stale_seconds=settings.token_keys_stale_seconds,
        ca=settings.token_issuer_ca,
    )


def _token_verifier(settings: AccessSettings, keys: KeyFile | DiscoveredKeys) -> TokenVerifier:
    """Return what turns tokens into callers, as the settings say."""
    return TokenVerifier(
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        keys=keys,
        clients=settings.clients,
        now=CLOCK.seconds,
        longest_seconds=settings.token_longest_seconds,
        leeway_seconds=settings.token_leeway_seconds,
        bound_clients=settings.bound_clients,
        employee_clients=settings.employees,
    )


async def _opened(settings: AccessSettings, pepper: bytes) -> Database:
    """Return the record, brought up to date and prepared."""
    await asyncio.to_thread(
        migrate,
        settings.database_url,
        Path(__file__).with_name("migrations"),
        store.HEAD,
        store.AccessModel.metadata,
    )
    database = await open_database(settings.database_url)
    await _prepare(database, settings, pepper)
    return database


async def _prepare(database: Database, settings: AccessSettings, pepper: bytes) -> None:
    """Plant the sandbox's seed; outside of it make sure that the published key is not among the keys."""
    if settings.sandbox_seed is not None:
        planted = seed.Seed.model_validate_json(settings.sandbox_seed.read_bytes())
        await database.write(lambda c: seed.plant(c, planted, pepper, CLOCK.now()))
    if not settings.is_sandbox:
        published = key_hash(pepper, PUBLISHED_KEY)
        if await database.read(lambda c: store.find_key(c, published, CLOCK.now())) is not None:
            raise StartRefusedError(
                "the key printed in the specification is among the API keys and opens vehicles to everybody; "
                "revoke it, or start with DOORS_PROFILE=sandbox"
            )


def _pepper_in(file: Path) -> bytes:
    pepper = file.read_bytes().strip()
    if len(pepper) < _MIN_PEPPER_BYTES:
        raise StartRefusedError(f"DOORS_API_KEY_PEPPER_FILE holds fewer than {_MIN_PEPPER_BYTES} bytes")
    return pepper


if __name__ == "__main__":
    boot.run(NAME, AccessSettings, main)
