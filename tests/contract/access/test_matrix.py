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
from tests.contract.access.matrix_rows import (
    ABOUT_CALLER,
    EVERYBODY,
    INTERNAL,
    PUBLIC,
    SOUND,
    WATCHERS,
    WATCHING,
    WITH_SESSION,
    WITHOUT,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import MethodDescriptor


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
    scope = (
        "security.watch"
        if who == "watcher"
        else "door security.watch security.act case.read fleet.failures.read"
    )
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
