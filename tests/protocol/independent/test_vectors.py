"""A reader written from the documentation alone agrees with every committed vector."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tests.protocol.independent import hpke, verifier
from tests.protocol.independent.verifier import Cloud, RefusedError, Vehicle, manifest_after, report

VECTORS = Path(__file__).resolve().parents[3] / "protocol" / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


KEYS, ORDERS, ANSWERS, HELLOS = (load(n) for n in ("keys.json", "orders.json", "answers.json", "hellos.json"))
MANIFESTS, REPORTS, REQUESTS = (load(n) for n in ("manifests.json", "reports.json", "requests.json"))
SEALED_MANIFESTS = load("sealed_manifests.json")


def private(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(KEYS["x25519"][name]["private"]))


def public(kind: str, name: str) -> bytes:
    return bytes.fromhex(KEYS[kind][name]["public"])


def vehicle(context: dict[str, Any], case: dict[str, Any]) -> Vehicle:
    """As the context says; a case may have a wall clock of its own."""
    wall = case.get("wallSeconds", context["wallSeconds"])
    return Vehicle(
        context["vin"], private("vehicleSeal"), public("ed25519", "root"), context | {"wallSeconds": wall}
    )


def cloud(context: dict[str, Any]) -> Cloud:
    return Cloud(context["vin"], private("cloudSeal"), public("ed25519", "vehicleSigner"), context)


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["name"]) for c in cases])


@named(ORDERS["cases"])
def test_orders(case: dict[str, Any]) -> None:
    reader = vehicle(ORDERS["context"], case)
    assert reader.take(case["domain"], bytes.fromhex(case["sealed"])) == case["expect"]


@named(ANSWERS["cases"])
def test_answers(case: dict[str, Any]) -> None:
    seen = cloud(ANSWERS["context"]).answer(case["domain"], bytes.fromhex(case["sealed"]))
    assert seen == case["expect"]


@named(HELLOS["cases"])
def test_hellos(case: dict[str, Any]) -> None:
    assert cloud(HELLOS["context"]).hello(bytes.fromhex(case["sealed"])) == case["expect"]


def test_the_session_request() -> None:
    reader = vehicle(REQUESTS["context"], {})
    challenge = reader.challenge(bytes.fromhex(HELLOS["request"]["sealed"]))
    assert challenge.hex() == HELLOS["context"]["challenge"]


@named(REQUESTS["cases"])
def test_session_requests(case: dict[str, Any]) -> None:
    said, challenge = "ACCEPTED", bytes.fromhex(REQUESTS["context"]["challenge"])
    try:
        challenge = vehicle(REQUESTS["context"], case).challenge(bytes.fromhex(case["sealed"]))
    except RefusedError as refused:
        said = str(refused)
    assert (said, challenge.hex()) == (case["expect"], REQUESTS["context"]["challenge"])


@named(MANIFESTS["cases"])
def test_manifests(case: dict[str, Any]) -> None:
    context = MANIFESTS["context"]
    current = bytes.fromhex(context["manifest"])
    root, wall = bytes.fromhex(context["root"]), context["wallSeconds"]
    in_use = manifest_after(root, 0, b"", current, wall)
    wall = case.get("wallSeconds", wall)
    endorsed = bytes.fromhex(case["endorsed"])
    try:
        manifest_after(root, in_use.version, current, endorsed, wall, in_use.issued_at_seconds)
        said = "ACCEPTED"
    except RefusedError as refused:
        said = str(refused)
    assert said == case["expect"]


@named(SEALED_MANIFESTS["cases"])
def test_delivered_manifests(case: dict[str, Any]) -> None:
    assert (
        vehicle(SEALED_MANIFESTS["context"], case).delivered(bytes.fromhex(case["sealed"])) == case["expect"]
    )


@named(REPORTS["cases"])
def test_reports(case: dict[str, Any]) -> None:
    context = REPORTS["context"]
    peer = X25519PublicKey.from_public_bytes(bytes.fromhex(context["vehiclePublicKey"]))
    shared = private("cloudReport").exchange(peer)
    assert shared.hex() == context["sharedSecret"]
    said, payload = report(context["vin"], case["domain"], shared, context, bytes.fromhex(case["report"]))
    assert said == case["expect"]
    if "payload" in case:
        assert payload.hex() == case["payload"]


def test_sealing_gives_the_vectors_bytes() -> None:
    case = ORDERS["cases"][0]
    ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["ephemeralPrivate"]))
    of_id = bytes.fromhex(KEYS["x25519"]["vehicleSeal"]["keyId"])
    info = b"rdc-seal\x01\x01" + ORDERS["context"]["vin"].encode() + of_id
    sealed = hpke.seal(bytes.fromhex(case["envelope"]), public("x25519", "vehicleSeal"), info, ephemeral)
    assert (b"\x01\x01" + of_id + sealed).hex() == case["sealed"]


@pytest.mark.parametrize("module", [verifier, hpke])
def test_it_is_independent(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert not any(name.split(".")[0] == "protocol" for name in imported)
    assert not any("hpke" in name for name in imported if name.startswith("cryptography"))
