"""The unit that was written from docs/tcu.md agrees with every vector, and the page's table with both."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import body_pb2, command_pb2, report_pb2

from tests.tcu.body import Body
from tests.tcu.disk import Disk
from tests.tcu.orders import ANSWERED, WITH_SESSION, Epoch, Gate, Order
from tests.tcu.wire import RefusedError, Trust, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path("protocol/vectors")
UNIT = Path("tests/tcu")
FILES = {
    name: json.loads((VECTORS / name).read_text())
    for name in ("orders.json", "requests.json", "manifests.json", "sealed_manifests.json")
}
KEYS = json.loads((VECTORS / "keys.json").read_text())
ROOT = bytes.fromhex(KEYS["ed25519"]["root"]["public"])
FAULTS = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|\b(?:EXPIRED|MALFORMED)\b")


def named(file: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in FILES[file]["cases"]])


def said(what: Callable[[], str]) -> str:
    try:
        return what()
    except RefusedError as refused:
        return str(refused)


def harness(context: dict[str, Any], case: dict[str, Any]) -> tuple[Gate, Trust, Epoch]:
    wall = case.get("wallSeconds", context["wallSeconds"])
    trust = Trust.read(ROOT, bytes.fromhex(context["manifest"]))
    seal_key = X25519PrivateKey.from_private_bytes(bytes.fromhex(KEYS["x25519"]["vehicleSeal"]["private"]))
    epoch = Epoch(
        lambda: context.get("clockMillis", 0),
        trust,
        context["vin"],
        wall,
        epoch=bytes.fromhex(context.get("epoch", "00" * 16)),
        accepted=dict(context.get("acceptedCounters", {})),
    )
    known = context.get("known", [])
    return Gate(context["vin"], seal_key, lambda: wall, lambda *order: list(order) in known), trust, epoch


@named("orders.json")
def test_orders(case: dict[str, Any]) -> None:
    one, trust, epoch = harness(FILES["orders.json"]["context"], case)

    def open_it() -> str:
        is_known, _ = one.order(case["domain"], bytes.fromhex(case["sealed"]), trust, epoch)
        return "KNOWN" if is_known else "ACCEPTED"

    assert said(open_it) == case["expect"]


@named("requests.json")
def test_session_requests(case: dict[str, Any]) -> None:
    one, trust, _ = harness(FILES["requests.json"]["context"], case)
    assert (
        said(lambda: one.session_request(bytes.fromhex(case["sealed"]), trust) and "ACCEPTED")
        == case["expect"]
    )


@named("manifests.json")
def test_manifests(case: dict[str, Any]) -> None:
    context = FILES["manifests.json"]["context"]
    trust = Trust.read(bytes.fromhex(context["root"]), bytes.fromhex(context["manifest"]))
    wall = case.get("wallSeconds", context["wallSeconds"])
    assert said(lambda: trust.adopt(bytes.fromhex(case["endorsed"]), wall) and "ACCEPTED") == case["expect"]


@named("sealed_manifests.json")
def test_delivered_manifests(case: dict[str, Any]) -> None:
    context = FILES["sealed_manifests.json"]["context"]
    one, trust, _ = harness(context, case)

    def adopt() -> str:
        endorsed = unseal(bytes.fromhex(case["sealed"]), one.seal_key, context["vin"])
        return trust.adopt(endorsed, context["wallSeconds"]) and "ACCEPTED"

    assert said(adopt) == case["expect"]


def rows() -> list[list[str]]:
    page = Path("docs/tcu.md").read_text(encoding="utf-8")
    table = page.split("## Every refusal of a hard case")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines[1:]
    ]


def test_each_refusal_of_the_page_is_shown() -> None:
    """By cases with that fault, answered as the page says, or by a test that is there."""
    found = rows()
    assert len(found) > 35
    for what, says, answered, shown in found:
        faults = set(FAULTS.findall(says))
        file = re.match(r"`(\w+\.json)`: ", shown)
        if file is None:
            for path, name in re.findall(r"`(tests/\S+\.py)::(\w+)`", shown):
                assert f"def {name}(" in Path(path).read_text(encoding="utf-8"), (what, path, name)
            assert "::" in shown, what
            continue
        cases = {case["name"]: case for case in FILES[file[1]]["cases"]}
        names = re.findall(r"`([^`]+)`", shown)[1:]
        assert names, what
        expected = {cases[name]["expect"] for name in names}
        if faults:
            assert expected == faults, what
        else:
            assert expected <= {"ACCEPTED", "KNOWN"}, what
            continue
        if file[1] == "orders.json":
            by_rule = {"S" if one in WITH_SESSION else "F" if one in ANSWERED else "-" for one in faults}
            assert by_rule == {answered}, what
        else:
            assert answered == "-", what


def test_each_refused_vector_stands_in_the_page() -> None:
    shown = " ".join(row[3] for row in rows())
    for file, content in FILES.items():
        for case in content["cases"]:
            if case["expect"] not in {"ACCEPTED", "KNOWN"}:
                assert f"`{case['name']}`" in shown, (file, case["name"])


@pytest.fixture
def body(tmp_path: Path) -> Body:
    return Body(Disk(tmp_path / "memory.json"), "boot-1")


def order(of: Any) -> Order:
    return Order("", of, "1", bytes(32), 1_000)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("auto_lock_delay_seconds", 4),
        ("auto_lock_delay_seconds", 601),
        ("speed_lock_threshold_kmh", 4),
        ("speed_lock_threshold_kmh", 61),
        ("unlock_mode", 99),
    ],
)
def test_settings_out_of_range_are_not_applied(body: Body, member: str, value: int) -> None:
    before = body.settings
    wanted = command_pb2.ApplyConfig(version=4)
    wanted.settings.CopyFrom(before)
    setattr(wanted.settings, member, value)
    report = body.configure(order(wanted))
    assert (report.version, report.applied, report.settings) == (4, False, before)
    assert member in report.reason
    good = command_pb2.ApplyConfig(version=5)
    good.settings.CopyFrom(before)
    good.settings.auto_lock_delay_seconds = 600
    assert body.configure(order(good)).applied
    assert body.settings == good.settings


@pytest.mark.parametrize(
    "members",
    [{"action": 7}, {"mode": 7}, {"doors": [body_pb2.DOOR_ID_HOOD]}, {"doors": [99]}, {"doors": []}],
)
async def test_what_it_does_not_know_is_not_supported(body: Body, members: dict[str, Any]) -> None:
    usual = {
        "action": command_pb2.DOOR_ACTION_UNLOCK,
        "mode": command_pb2.DOOR_ACTION_MODE_NORMAL,
        "doors": [1],
    }
    command = command_pb2.DoorCommand(command_id="cmd-1", **(usual | members))
    result = await body.obey(order(command), lambda: 0)
    assert (result.outcome, result.fault) == (
        report_pb2.COMMAND_OUTCOME_REFUSED,
        report_pb2.FAULT_CODE_NOT_SUPPORTED,
    )
    assert all(door.locked for door in body.status().doors)


async def test_the_expiry_is_looked_at_before_each_door(body: Body) -> None:
    clock = iter([0, 1_000])
    command = command_pb2.DoorCommand(
        command_id="cmd-1",
        action=command_pb2.DOOR_ACTION_UNLOCK,
        mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
        doors=[1, 2],
    )
    result = await body.obey(order(command), lambda: next(clock))
    assert result.outcome == report_pb2.COMMAND_OUTCOME_PARTIAL
    assert [door.succeeded for door in result.doors] == [True, False]


def test_it_is_written_from_the_pages() -> None:
    for module in UNIT.glob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }
        assert not imported & {"protocol", "vehicle", "services", "conformance", "mesh", "doorctl"}, module
        assert {"tests"} >= {
            name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests")
            for name in [(node.module or "").replace("tests.tcu", "tests").split(".")[0]]
        }
