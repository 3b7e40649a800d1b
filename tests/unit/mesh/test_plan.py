"""What each room is started with: the keys it works with, and no others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.plan import Planner
from mesh.ports import Ports
from mesh.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = {
    "PATH": "/bin",
    "DOORS_PORT_BASE": "8000",
    "DOORS_LOG_LEVEL": "DEBUG",
    "DOORS_X": "of the user",
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    one = Sandbox(tmp_path / "doors")
    one.prepare(datetime.now(UTC))
    return one


@pytest.fixture
def rooms(sandbox: Sandbox) -> dict[str, Mapping[str, str]]:
    plan = Planner(Ports(), sandbox, ENVIRONMENT).plan()
    return {room.name: room.environment for room in plan.rooms}


def holders(rooms: dict[str, Mapping[str, str]], value: Path) -> set[str]:
    return {name for name, environment in rooms.items() if str(value.resolve()) in environment.values()}


def test_the_signer_is_told_what_it_needs_and_nothing_more(
    rooms: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    settings = {name: value for name, value in rooms["signer"].items() if name.startswith("DOORS_")}
    assert settings.keys() == {
        "DOORS_LISTEN",
        "DOORS_TLS_CERT",
        "DOORS_TLS_KEY",
        "DOORS_TLS_CA",
        "DOORS_CAPABILITY_JWKS",
        "DOORS_ACCESS_TARGET",
        "DOORS_ORDER_MAC_KEY",
        "DOORS_SIGNING_KEY",
        "DOORS_KEY_MANIFESTS",
        "DOORS_LOG_LEVEL",
        "DOORS_DRAIN_SECONDS",
    }
    assert settings["DOORS_LISTEN"] == "127.0.0.1:8517"
    assert settings["DOORS_ACCESS_TARGET"] == "127.0.0.1:8511"
    assert settings["DOORS_LOG_LEVEL"] == "DEBUG"
    assert not any("nats" in value for value in settings.values())
    assert settings["DOORS_TLS_CERT"] == str((sandbox.pki / "signer.crt").resolve())


def test_a_private_key_goes_to_who_works_with_it(
    rooms: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    keys = sandbox.ceremony
    assert holders(rooms, keys.signing_key) == {"signer"}
    assert holders(rooms, keys.seal_keys) == {"command", "config", "status", "diagnostics"}
    assert holders(rooms, keys.report_keys) == {"status", "diagnostics"}
    assert holders(rooms, keys.manifests) == {"signer", "command"}
    assert holders(rooms, keys.root_key) == set()
    assert holders(rooms, sandbox.capability_key) == {"access"}
    assert holders(rooms, sandbox.update_id_key) == {"status"}


def test_every_room_finds_those_it_asks(rooms: dict[str, Mapping[str, str]]) -> None:
    def who_has(setting: str) -> dict[str, str]:
        return {name: values[setting] for name, values in rooms.items() if setting in values}

    enrolment, signer = "127.0.0.1:8516", "127.0.0.1:8517"
    assert who_has("DOORS_VEHICLE_KEYS_TARGET") == dict.fromkeys(
        ("command", "status", "config", "diagnostics"), enrolment
    )
    assert who_has("DOORS_SIGNER_TARGET") == dict.fromkeys(("command", "config"), signer)
    assert who_has("DOORS_ACCESS_TARGET").keys() == {"signer"}
