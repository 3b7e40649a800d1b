"""Every RPC there is, against everybody who may come, on their vehicle, another's, and one that nobody knows of.

The RPCs come from the contract's descriptors: one without a row here fails.
"""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ecarus
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditDecision
from ecarus.remotecontrol.options.v1 import options_pb2
from google.rpc import error_details_pb2, status_pb2

from services import registry
from services.access.adapters.routes import Routes
from services.platform.policy import SPIFFE, policy_of
from tests.contract.access.access_service import FOREIGN, UNKNOWN, VIN, CheckEdge, TokenIssuer, acting
from tests.contract.access.door_of_rights import KINDS, DoorOfRights

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import MethodDescriptor

DRIVERS = "owner agent shared key valet"
HOLDERS = "owner agent shared key valet service out-of-hours suspended offered"
PUBLIC = {
    "DoorCommandService.UnlockDoors": f"{DRIVERS} service",
    "DoorCommandService.LockDoors": DRIVERS,
    "DoorCommandService.CancelCommand": DRIVERS,
    "DoorCommandService.GetCommand": DRIVERS,
    "DoorCommandService.ListCommandHistory": "owner agent shared",
    "DoorAuditService.ListDoorAudit": "owner agent shared",
    "DoorAuditService.GetCommandReceipt": DRIVERS,
    "DoorConfigService.GetDoorConfig": "owner agent shared",
    "DoorConfigService.UpdateDoorConfig": "owner agent",
    "DoorDiagnosticsService.GetDoorDiagnostics": "owner agent",
    "DoorStatusService.GetDoorStatus": DRIVERS,
    "DoorStatusService.WatchDoorUpdates": "owner agent shared key",
    "DoorStatusService.StreamDoorUpdates": "owner agent shared key",
    "DoorGrantService.ListGrants": HOLDERS,
    "DoorGrantService.GetGrant": HOLDERS,
    "DoorGrantService.GiveGrant": "owner",
    "DoorGrantService.AcceptGrant": "owner shared key valet service offered",
    "DoorGrantService.NarrowGrant": "owner",
    "DoorGrantService.SuspendGrant": "owner",
    "DoorGrantService.ResumeGrant": "owner",
    "DoorGrantService.EndGrant": HOLDERS.replace(" agent", ""),
    "DoorGrantService.TransferOwnership": "owner",
    "DoorGrantService.RestoreAccount": HOLDERS.replace(" agent", ""),
    "DoorGrantService.SeverAccess": "owner shared",
    "DoorGrantService.ApproveEmergency": f"{DRIVERS} service",
    "DoorGrantService.GetSeverance": "owner shared",
}
"""Who may ask for what on a vehicle on which they have the right that they are called after."""
ABOUT_CALLER = frozenset(
    {
        "ConsentService.ListConsents",
        "ConsentService.GetConsent",
        "ConsentService.GiveConsent",
        "ConsentService.WithdrawConsent",
        *(
            f"PersonalDataService.{name}"
            for name in (
                *("RequestDataExport", "GetDataExport", "StreamDataExport"),
                *("RequestErasure", "GetErasure", "CancelErasure"),
            )
        ),
    }
)
"""What everybody asks about themselves who has signed in, whatever vehicles are theirs: an agent never."""
WATCHING = {
    "SecurityCaseService.ListSecurityCases": "employee watcher watching-agent",
    "SecurityCaseService.AcknowledgeSecurityCase": "employee watching-agent",
    "SecurityCaseService.RestrictPrincipal": "employee watching-agent",
    "SecurityCaseService.LockPrincipal": "employee",
    "SecurityCaseService.RestorePrincipal": "employee",
}
"""Who may ask for what about people's accounts, and no vehicle: whose token's scope names it, and who is an employee
or an agent.
"""
WITHOUT = "expired revoked severed stranger"
"""Who has no right on it, or none any more."""
WATCHERS = ["employee", "watcher", "watching-agent", "watching-customer", "employee-without-scope"]
EVERYBODY = [*HOLDERS.split(), *WITHOUT.split(), *WATCHERS, "agent-without-case", "nobody"]

PERSONS = "team/operator team/operator/alice"
WITH_SESSION = {"DoorEventService.CreateEventTicket"}
"""What is about no vehicle: whoever has a good bearer may ask for it."""
INTERNAL = {
    "AccessService.CheckGrants": "room/signer",
    "AuditLogService.GetCheckpoint": "operator",
    "AuditLogService.StreamLogFiles": "operator",
    "AuditLogService.StreamLogFilesInClear": PERSONS,
    "AccessService.AuthorizeWatches": "room/gateway",
    "DoorWatchService.WatchVehicles": "room/gateway",
    "AuditReadingService.ListEntries": PERSONS,
    "AuditIntakeService.RecordEntries": " ".join(
        f"room/{name}"
        for name in ("access", "command", "config", "status", "diagnostics", "enrolment", "signer")
    ),
    **{
        f"AccessService.{name}": PERSONS
        for name in (
            *("CreateGrant", "ApproveGrant", "RevokeGrant", "ListGrants", "IssueApiKey", "ApproveApiKey"),
            *("SeverVehicleAccess", "ListSeverances", "ReverseSeverance", "RestoreAccount", "UnlockAccount"),
        )
    },
    **{
        f"AccessService.{name}": "operator"
        for name in (
            *("LockAccount", "GetAccount", "ListAccounts", "RestrictAccount"),
            *("ListAbnormalAccess", "AcknowledgeAbnormalAccess"),
            *("ListApiKeys", "ExpireApiKey", "RevokeApiKey"),
        )
    },
    "LegalHoldService.SetLegalHold": PERSONS,
    "LegalHoldService.LiftLegalHold": PERSONS,
    "LegalHoldService.ListLegalHolds": PERSONS,
    "RetentionService.GetRetention": "operator",
    "RetentionService.RunRetention": "operator",
    "RetentionService.ReplaceLegalHolds": "room/access",
    "SubjectDataService.ExportSubjectData": "room/access",
    "SubjectDataService.EraseSubjectData": "room/access",
    "CustomerCaseService.OpenCase": f"{PERSONS} team/call-center",
    "CustomerCaseService.CloseCase": "operator team/call-center",
    "CustomerCaseService.ListCases": f"{PERSONS} team/call-center",
    "DeadLetterService.ListDeadLetters": "operator",
    "DeadLetterService.ReplayDeadLetter": "operator",
    "DeadLetterService.ReplayWaitingDeadLetters": "operator",
    "OrderSigningService.SignOrders": "room/command room/config",
    "OrderSigningService.ReviewOrders": "room/command room/config",
    "OrderSigningService.SignSessionRequests": "room/command",
    "VehicleEnrolmentService.EnrolVehicle": "operator",
    "VehicleEnrolmentService.RevokeVehicle": "operator",
    "VehicleEnrolmentService.ListVehicles": "operator",
    "VehicleKeysService.GetVehicleKeys": "room/command room/config room/status room/diagnostics",
}
"""Who may ask for what that is no user's business, by certificate."""
PEERS = [
    "edge",
    "operator",
    "team/operator",
    "team/operator/alice",
    "team/fleet",
    "team/demo",
    "team/call-center",
    f"vehicle/{VIN}",
    *(f"room/{name}" for name in registry.NAMES),
    "room/gateway",
]
SOUND: dict[str, dict[str, Any]] = {
    "UnlockDoors": {"unlock": {"target_doors": ["all"]}},
    "LockDoors": {"lock": {"target_doors": ["all"]}},
    "CancelCommand": {"cancellation": {"correlation_id": "c-1", "reason": "User cancellation"}},
    "UpdateDoorConfig": {"config": {"auto_lock_enabled": True}},
    "GiveGrant": {"grant": {"principal": "x", "kind": 3}},
    "NarrowGrant": {"narrowing": {"actions": ["door.lock"]}},
    "TransferOwnership": {"transfer": {"new_owner": "x"}},
    "ApproveEmergency": {"approval": {"agent": "agent-8"}},
    "GetConsent": {"purpose": "LOCATION"},
    "GetDataExport": {"export_id": "ex-1"},
    "StreamDataExport": {"export_id": "ex-1"},
    "RequestErasure": {"wish": {"confirmation": "ERASE MY DATA"}},
    "GetErasure": {"erasure_id": "er-1"},
    "CancelErasure": {"erasure_id": "er-1"},
    "GiveConsent": {"purpose": "LOCATION", "consent": {"version": 1, "language": "en", "sha256": "0" * 64}},
    "WithdrawConsent": {"purpose": "LOCATION"},
    "SeverAccess": {"severance": {"person": "x", "evidence": "file 1"}},
    "AcknowledgeSecurityCase": {"case_id": "ab-1"},
    "RestrictPrincipal": {"stop": {"principal": "user-123", "reason": "odd"}},
    "LockPrincipal": {"stop": {"principal": "user-123", "reason": "odd"}},
    "RestorePrincipal": {"restoration": {"principal": "user-123"}},
}
"""What a request must say besides its vehicle to be sound."""


def methods() -> dict[str, MethodDescriptor]:
    """Every RPC of the contract, by service and name."""
    gen = Path(next(iter(ecarus.__path__)))
    modules = (
        importlib.import_module(".".join(path.relative_to(gen.parent).with_suffix("").parts))
        for path in sorted(gen.rglob("*_service_pb2.py"))
    )
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    return {f"{service.name}.{rpc.name}": rpc for service in services for rpc in service.methods}


def test_every_rpc_has_a_row() -> None:
    public = {
        name for name, rpc in methods().items() if rpc.GetOptions().Extensions[options_pb2.access].action
    }
    assert public == PUBLIC.keys() | WATCHING.keys() | ABOUT_CALLER | WITH_SESSION
    assert methods().keys() - public == INTERNAL.keys()


@pytest.mark.parametrize("peer", PEERS)
def test_a_certificate_opens_what_it_is_for(peer: str) -> None:
    for name, rpc in methods().items():
        service = rpc.containing_service.full_name
        may = policy_of(service)[f"/{service}/{rpc.name}"].admits(SPIFFE + peer)
        expected = peer in INTERNAL[name].split() if name in INTERNAL else peer == "edge"
        assert may == expected, (peer, name)


@pytest.fixture
def decided_at() -> Callable[[], float]:
    """A minute between any two decisions: no look repeats another."""
    return partial(next, itertools.count(0.0, 61.0))


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 100_000)


async def _prepare(rights: DoorOfRights, operators: Any, record: Path) -> None:
    """Give everybody on VIN what they are called after."""
    alice, _ = operators
    today = datetime.now(UTC).weekday()
    closed = [((today + n) % 7) + 1 for n in (2, 3, 4)]
    hours = {"time_zone": "UTC", "windows": [{"weekdays": closed, "opens": "00:00", "closes": "00:00"}]}
    given: dict[str, dict[str, Any]] = {
        "shared": {"kind": KINDS.SHARED_USER},
        "key": {},
        "valet": {"kind": KINDS.VALET},
        "service": {"kind": KINDS.SERVICE},
        "out-of-hours": {"schedule": hours},
        "suspended": {},
        "severed": {"kind": KINDS.SHARED_USER},
    }
    made = {who: await rights.accepted(principal=who, name=who, **how) for who, how in given.items()}
    await rights.do("suspend", made["suspended"])
    for who in ("expired", "revoked"):
        request = access_service_pb2.CreateGrantRequest(
            grant_id=who, principal=who, vin=VIN, role=grant_pb2.GRANT_ROLE_OWNER, valid_seconds=600
        )
        await alice.CreateGrant(request, timeout=5)
    await alice.RevokeGrant(access_service_pb2.RevokeGrantRequest(grant_id="revoked"), timeout=5)
    with closing(sqlite3.connect(record)) as database, database:
        database.execute("UPDATE access_grant SET expires_at = created_at + 1 WHERE grant_id = 'expired'")
    sever = access_service_pb2.SeverVehicleAccessRequest(
        severance_id="s-1", vin=VIN, person="severed", evidence="file 1", on_behalf_of="x"
    )
    await alice.SeverVehicleAccess(sever, timeout=5)
    await rights.give(principal="offered", name="offered")


def _bearer(issuer: TokenIssuer, who: str) -> dict[str, str]:
    if who == "nobody":
        return {"authorization": ""}
    if who == "owner":
        return {"authorization": f"Bearer {issuer.token()}"}
    if who == "agent":
        return {"authorization": f"Bearer {issuer.token(**acting('agent-7'))}"}
    if who == "agent-without-case":
        claims = acting("agent-7")
        del claims["case"]
        return {"authorization": f"Bearer {issuer.token(**claims)}"}
    if who in WATCHERS:
        return {"authorization": f"Bearer {_watchers_token(issuer, who)}"}
    return {"authorization": f"Bearer {issuer.token(who)}"}


def _watchers_token(issuer: TokenIssuer, who: str) -> str:
    scope = "security.watch" if who == "watcher" else "door security.watch security.act"
    if who == "watching-agent":
        return issuer.token(**acting("agent-7"), scope=scope)
    if who == "watching-customer":
        return issuer.token(scope=scope)
    narrowed = {} if who == "employee-without-scope" else {"scope": scope}
    return issuer.token("employee-1", client_id="operations", roles=["employee"], **narrowed)


async def test_everybody_may_what_their_right_says_and_on_their_vehicle_only(
    rights: DoorOfRights,
    operators: Any,
    check: CheckEdge,
    token_issuer: TokenIssuer,
    pki: Any,
    tmp_path: Path,
    audit: list[Any],
) -> None:
    """And every decision is one entry of the audit: of what changes something, the service's that does it."""
    await _prepare(rights, operators, tmp_path / "access-record.sqlite3")
    certificate = pki.of("team/fleet").cert.read_bytes()
    routes = Routes()
    wrong = []
    decided: dict[str, list[tuple[str, str, str, str]]] = {}
    for who in EVERYBODY:
        headers = {**_bearer(token_issuer, who), "content-type": "application/grpc"}
        for name in PUBLIC.keys() | WATCHING.keys() | ABOUT_CALLER:
            rpc = methods()[name]
            path = f"/{rpc.containing_service.full_name}/{rpc.name}"
            route = routes.native(path)
            assert route is not None
            for vin in (VIN, FOREIGN, UNKNOWN):
                asked = f"matrix-{len(decided)}"
                about_one = vin if name in PUBLIC else ""
                about = {"vin": vin} if about_one else {}
                raw = route.request(**about, **SOUND.get(rpc.name, {})).SerializeToString()
                answer = await check(
                    path,
                    listener="team",
                    certificate=certificate,
                    method="POST",
                    headers={**headers, "x-correlation-id": asked},
                    raw_body=b"\0" + len(raw).to_bytes(4, "big") + raw,
                )
                got = _answer(answer)
                if got != _expected(who, name, vin):
                    wrong.append((who, name, vin, got))
                known = "" if who in {"nobody", "agent-without-case"} else about_one
                if got != "OK":
                    decided[asked] = [("ACCESS_REFUSED", "REFUSED", known, got)]
                elif route.changes:
                    decided[asked] = []
                else:
                    decided[asked] = [("ACCESS_ALLOWED", "ALLOWED", about_one, "OK")]
    assert not wrong
    assert await _recorded(audit) == {asked: entries for asked, entries in decided.items() if entries}


async def _recorded(audit: list[Any]) -> dict[str, list[tuple[str, str, str, str]]]:
    """The entries of what the matrix asked for, by its id: kind, decision, vehicle, and what it was refused for."""
    (entries,) = audit
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for entry in await entries():
        if entry.correlation_id.startswith("matrix-"):
            decision = AuditDecision.Name(entry.decision).removeprefix("AUDIT_DECISION_")
            refused_for = _TOLD_AS.get(entry.rule, entry.rule) if decision == "REFUSED" else "OK"
            row = (entry.kind, decision, entry.vin, refused_for)
            found.setdefault(entry.correlation_id, []).append(row)
    return found


_TOLD_AS = dict.fromkeys(
    ("NOT_NOW", "CLOSED_TO_AGENTS", "OUT_OF_SCOPE", "EMPLOYEES_ONLY"), "ACTION_NOT_GRANTED"
)
"""What the audit says more exactly than the answer."""


@pytest.mark.parametrize("who", EVERYBODY)
async def test_whoever_has_a_good_bearer_gets_a_session_and_no_capability(
    check: CheckEdge, token_issuer: TokenIssuer, who: str
) -> None:
    for method, path, body in (
        ("POST", "/api/v1/remotecontrol/events/tickets", b"{}"),
        ("GET", "/api/v1/remotecontrol/events/ws", b""),
    ):
        headers = {**_bearer(token_issuer, who), "content-type": "application/json"}
        answer = await check(path, method=method, headers=headers, raw_body=body)
        if who in {"nobody", "agent-without-case"}:
            assert answer.denied_response.status.code == 401
            continue
        if who in WATCHERS and answer.HasField("denied_response"):  # their token's scope is for other things
            assert answer.denied_response.status.code == 403
            continue
        given = {option.header.key for option in answer.ok_response.headers}
        assert given == {"x-correlation-id", "x-ecarus-session"}


def _expected(who: str, name: str, vin: str) -> str:
    if who == "nobody":
        return "AUTHENTICATION_REQUIRED"
    if who == "agent-without-case":
        return "TOKEN_INVALID"
    if name in ABOUT_CALLER:
        # Employees' clients and narrowed scopes open nothing that is somebody's own.
        return "ACTION_NOT_GRANTED" if who == "agent" or who in WATCHERS else "OK"
    if name in WATCHING:
        return "OK" if who in WATCHING[name].split() else "ACTION_NOT_GRANTED"
    if who in {"watching-agent", "watching-customer"} and vin == VIN:
        who = {"watching-agent": "agent", "watching-customer": "owner"}[who]
    if vin != VIN or who in WITHOUT.split() or who in WATCHERS:
        return "VEHICLE_NOT_FOUND"
    return "OK" if who in PUBLIC[name].split() else "ACTION_NOT_GRANTED"


def _answer(answer: Any) -> str:
    """The code of the refusal, or OK."""
    if answer.HasField("ok_response"):
        return "OK"
    details = next(
        option.header.value
        for option in answer.denied_response.headers
        if option.header.key == "grpc-status-details-bin"
    )
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return json.dumps(status.message)
