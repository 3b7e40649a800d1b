"""The package agrees with every committed vector, and the vectors are what make_vectors makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.cloud_side import IssuedOrder
from protocol.domains import Domain
from protocol.faults import MessageRefusedError
from protocol.keys import KeySigner, OpenKeys, VehicleKeys
from protocol.manifest import Trust
from protocol.reports import ReportOpener, ReportSession
from protocol.session import CloudSession, EpochRecord, VehicleSession
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder, VehicleSide
from protocol.window import Window
from tests.protocol.make_vectors import FOLDER, make, text
from tests.support.protocol_harness import Cloud, Store


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


KEYS, ORDERS, ANSWERS, HELLOS = (load(n) for n in ("keys.json", "orders.json", "answers.json", "hellos.json"))
MANIFESTS, REPORTS, REQUESTS = (load(n) for n in ("manifests.json", "reports.json", "requests.json"))
SEALED_MANIFESTS = load("sealed_manifests.json")


def private(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(KEYS["x25519"][name]["private"]))


def signer(name: str) -> KeySigner:
    return KeySigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(KEYS["ed25519"][name]["private"])))


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in cases])


def windows(context: dict[str, Any]) -> dict[Domain, Window]:
    made = {}
    for domain, counters in context["seen"].items():
        window = Window()
        for counter in counters:
            window = window.with_counter(counter)
        made[Domain(domain)] = window
    return made


class Memory:
    """What the vehicle of orders.json knows; and what one was told to keep."""

    kept: tuple[bytes, bytes] | None = None

    def is_known(self, domain: Domain, order_id: str) -> bool:
        return [domain.value, order_id] in ORDERS["context"]["known"]

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        self.kept = endorsed_by, endorsed


def vehicle(context: dict[str, Any], case: dict[str, Any], memory: Memory | None = None) -> VehicleSide:
    """As the context says; a case may have a wall clock of its own."""
    wall = case.get("wallSeconds", context["wallSeconds"])
    session = VehicleSession(
        bytes.fromhex(context.get("epoch", "00" * 16)), lambda: context.get("clockMillis", 0)
    )
    for domain, counter in context.get("acceptedCounters", {}).items():
        session.spend(Domain(domain), counter)
    root = bytes.fromhex(KEYS["ed25519"]["root"]["public"])
    return VehicleSide(
        context["vin"],
        signer("vehicleSigner"),
        OpenKeys(private("vehicleSeal")),
        Trust(root).adopt(bytes.fromhex(context["manifest"]), context["wallSeconds"]),
        session,
        private("vehicleReport"),
        memory or Memory(),
        lambda: wall,
    )


def cloud(session: CloudSession, vin: str, now_millis: int = 0) -> tuple[Cloud, Store]:
    keys = VehicleKeys.of(
        bytes.fromhex(KEYS["ed25519"]["vehicleSigner"]["public"]),
        bytes.fromhex(KEYS["x25519"]["vehicleSeal"]["public"]),
    )
    store = Store({vin: keys}, {vin: session})
    side = Cloud(signer("cloudSigner"), OpenKeys(private("cloudSeal")), store, 1, lambda: now_millis)
    return side, store


@named(ORDERS["cases"])
def test_orders(case: dict[str, Any]) -> None:
    side = vehicle(ORDERS["context"], case)
    opened = side.open_order(Domain(case["domain"]), bytes.fromhex(case["sealed"]))

    if isinstance(opened, RefusedOrder):
        assert opened.fault.name == case["expect"]
    else:
        assert case["expect"] == ("ACCEPTED" if isinstance(opened, AcceptedOrder) else "KNOWN")
        assert isinstance(opened, AcceptedOrder | KnownOrder)


@named(ANSWERS["cases"])
def test_answers(case: dict[str, Any]) -> None:
    context = ANSWERS["context"]
    record = EpochRecord(bytes.fromhex(context["epoch"]), seen=windows(context))
    side, store = cloud(CloudSession(current=record), context["vin"], context["nowMillis"])
    for one in context["issued"]:
        store.remember(
            IssuedOrder(
                context["vin"],
                Domain(one["domain"]),
                one["orderId"],
                one["commandId"],
                bytes.fromhex(one["requestHash"]),
                context["nowMillis"],
            )
        )

    try:
        side.open_answer(context["vin"], Domain(case["domain"]), bytes.fromhex(case["sealed"]))
        said = "ACCEPTED"
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert said == case["expect"]


@named(HELLOS["cases"])
def test_hellos(case: dict[str, Any]) -> None:
    context = HELLOS["context"]
    session = CloudSession(
        current=EpochRecord(b"0123456789abcdef"),
        ended=tuple(EpochRecord(bytes.fromhex(epoch)) for epoch in context["endedEpochs"]),
        challenge=bytes.fromhex(context["challenge"]),
    )
    side, _ = cloud(session, context["vin"])

    try:
        side.open_hello(context["vin"], bytes.fromhex(case["sealed"]))
        said = "ACCEPTED"
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert said == case["expect"]


def test_the_session_request() -> None:
    side = vehicle(REQUESTS["context"], {})
    challenge = side.open_challenge(bytes.fromhex(HELLOS["request"]["sealed"]))

    assert challenge.hex() == HELLOS["context"]["challenge"]


@named(REQUESTS["cases"])
def test_session_requests(case: dict[str, Any]) -> None:
    side = vehicle(REQUESTS["context"], case)

    said, challenge = "ACCEPTED", bytes.fromhex(REQUESTS["context"]["challenge"])
    try:
        challenge = side.open_challenge(bytes.fromhex(case["sealed"]))
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert (said, challenge.hex()) == (case["expect"], REQUESTS["context"]["challenge"])


@named(MANIFESTS["cases"])
def test_manifests(case: dict[str, Any]) -> None:
    context = MANIFESTS["context"]
    wall = context["wallSeconds"]
    trust = Trust(bytes.fromhex(context["root"])).adopt(bytes.fromhex(context["manifest"]), wall)

    try:
        trust.adopt(bytes.fromhex(case["endorsed"]), case.get("wallSeconds", wall))
        said = "ACCEPTED"
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert said == case["expect"]


@named(SEALED_MANIFESTS["cases"])
def test_delivered_manifests(case: dict[str, Any]) -> None:
    memory = Memory()
    side = vehicle(SEALED_MANIFESTS["context"], case, memory)

    try:
        side.open_manifest(bytes.fromhex(case["sealed"]))
        said = "ACCEPTED"
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert said == case["expect"]
    is_new = said == "ACCEPTED" and case["envelope"] != SEALED_MANIFESTS["context"]["manifest"]
    root = bytes.fromhex(SEALED_MANIFESTS["context"]["root"])
    assert memory.kept == ((root, bytes.fromhex(case["envelope"])) if is_new else None)


class OneReporter:
    """The session of reports.json."""

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        context = REPORTS["context"]
        if (vin, epoch.hex()) != (context["vin"], context["epoch"]):
            return None
        return ReportSession(
            bytes.fromhex(context["vehiclePublicKey"]),
            bytes.fromhex(KEYS["x25519"]["cloudReport"]["keyId"]),
            tuple(windows(context).items()),
        )


@named(REPORTS["cases"])
def test_reports(case: dict[str, Any]) -> None:
    opener = ReportOpener(OpenKeys(private("cloudReport")), OneReporter(), most_kept=2)

    try:
        opened = opener.open(REPORTS["context"]["vin"], Domain(case["domain"]), bytes.fromhex(case["report"]))
        said = "ACCEPTED"
        assert opened.payload.hex() == case.get("payload", opened.payload.hex())
    except MessageRefusedError as refused:
        said = refused.fault.name
    assert said == case["expect"]


def test_the_vectors_are_what_is_made() -> None:
    made = make()

    assert sorted(made) == sorted(path.name for path in Path(FOLDER).glob("*.json"))
    for name, content in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text(content), name
