"""The routes are those of the contract, and each needs an action."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2  # noqa: F401  # registers the service that has no option of ours

from services.access.adapters import native_request, routes
from services.access.adapters.routes import Routes
from services.access.domain import persons, watching
from services.access.domain.grants import ACTIONS
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from google.protobuf.message import Message

BASE = "/api/v1/remotecontrol/vehicles/KMHSH81C7LU123456/door/"


@pytest.mark.parametrize(
    ("path", "method", "action", "limit_class"),
    [
        ("unlock", "POST", "door.unlock", "command"),
        ("lock", "POST", "door.lock", None),
        ("cancel", "POST", "door.cancel", "cancel"),
        ("commands/cmd-1", "GET", "door.status.read", "read"),
        ("history", "GET", "door.history.read", "read"),
        ("status", "GET", "door.status.read", "read"),
        ("updates/stream", "GET", "door.updates.read", "read"),
        ("config", "GET", "door.config.read", "read"),
        ("config", "PUT", "door.config.write", "command"),
        ("diagnostics", "GET", "door.diagnostics.read", "read"),
    ],
)
def test_every_endpoint_has_its_action(path: str, method: str, action: str, limit_class: str | None) -> None:
    found = Routes().rest(BASE + path)
    assert found is not None
    vin, methods = found
    assert vin == "KMHSH81C7LU123456"
    assert (methods[method].action, methods[method].limit_class) == (action, limit_class)


@pytest.mark.parametrize(
    "path", ["/", BASE, BASE + "unlock/", BASE + "commands", BASE + "commands/a/b", BASE + "open", "x" + BASE]
)
def test_other_paths_are_unknown(path: str) -> None:
    assert Routes().rest(path) is None


def test_an_rpc_without_an_action_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    health = descriptor_pool.Default().FindServiceByName("grpc.health.v1.Health")
    monkeypatch.setattr(routes, "_services", lambda: [health])
    with pytest.raises(ValueError, match=r"Health\.Check"):
        Routes()


def test_actions_are_all_used() -> None:
    paths = [f"/{service.full_name}/{rpc.name}" for service in routes._services() for rpc in service.methods]
    found = [Routes().native(path) for path in paths]
    assert {
        route.action for route in found if route is not None
    } == ACTIONS | persons.ACTIONS | watching.ACTIONS


def _framed(message: Message, flag: int = 0) -> bytes:
    raw = message.SerializeToString()
    return bytes([flag]) + len(raw).to_bytes(4, "big") + raw


def test_the_vin_of_a_native_message_is_read() -> None:
    route = Routes().native("/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors")
    assert route is not None
    message = route.request(vin="KMHSH81C7LU123456")
    assert native_request.said_in(_framed(message), route.request).vin == "KMHSH81C7LU123456"
    good = _framed(message)
    for bad in (b"", good[:-1], good + b"x", good + good, _framed(message, flag=1), b"\0\0\0\0\1\xff"):
        with pytest.raises(Refusal, match="INVALID_REQUEST"):
            native_request.said_in(bad, route.request)
