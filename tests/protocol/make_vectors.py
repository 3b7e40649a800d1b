"""Makes protocol/vectors/*.json: `python -m tests.protocol.make_vectors`. The same bytes at every run.

A test compares what this makes with what is committed; other tests read only what is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2, session_pb2

from protocol import cose, seal
from protocol.domains import ContentType, Domain, subject_of
from protocol.keys import KeySigner, key_id
from protocol.manifest import SUBJECT, endorse
from protocol.reports import report_key
from tests.protocol import whole_messages
from tests.protocol.answer_vectors import answers, hellos
from tests.protocol.order_vectors import (
    EXPIRED,
    FOR_REPORTS,
    REVOKED,
    STRANGER,
    UNKNOWN_USE,
    Case,
    File,
    Sealer,
    order_manifest,
    orders,
)
from tests.support.protocol_harness import (
    CLOUD_REPORT,
    CLOUD_SIGNER,
    OTHER_VIN,
    ROOT,
    VIN,
    WALL_SECONDS,
    YEAR_SECONDS,
    ProtocolHarness,
    exchange_key,
    manifest,
    public,
    seed,
    signer,
)

FOLDER = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
NEW_ROOT = signer("new root")
TOO_LARGE = bytes(16 * 1024 + 1)
MADE = WALL_SECONDS - 100
"""When every manifest here was issued, but for the odd one."""


def make() -> dict[str, File]:
    """File name to content."""
    return {
        "keys.json": _keys(),
        "orders.json": orders(),
        "answers.json": answers(),
        "hellos.json": hellos(),
        "requests.json": _requests(),
        "manifests.json": _manifests(),
        "sealed_manifests.json": _sealed_manifests(),
        "reports.json": _reports(),
    }


def text(content: File) -> str:
    """A file's text."""
    return json.dumps(content, indent=1) + "\n"


def _keys() -> File:
    signing = {
        "root": "root",
        "newRoot": "new root",
        "cloudSigner": "cloud signer",
        "revokedSigner": "revoked signer",
        "expiredSigner": "expired signer",
        "longExpiredSigner": "long expired signer",
        "keyForReports": "key for reports",
        "keyForTheFuture": "key for the future",
        "vehicleSigner": f"{VIN} signer",
        "stranger": "stranger",
    }
    exchanging = {
        "cloudSeal": "cloud seal",
        "cloudReport": "cloud report",
        "vehicleSeal": f"{VIN} seal",
        "vehicleReport": f"{VIN} report 1",
    }
    return {
        "about": "Made for these vectors from public words; they protect nothing.",
        "ed25519": {name: _key(word, signer(word).public_bytes) for name, word in signing.items()},
        "x25519": {name: _key(word, public(exchange_key(word))) for name, word in exchanging.items()},
    }


def _key(word: str, public_bytes: bytes) -> Case:
    return {
        "private": seed(word).hex(),
        "public": public_bytes.hex(),
        "keyId": key_id(public_bytes).hex(),
    }


def _requests() -> File:
    car = ProtocolHarness().car
    receiver = public(car.seal_key)
    challenge = seed("challenge")[:16]

    def request(
        name: str,
        expect: str,
        *,
        by: KeySigner = CLOUD_SIGNER,
        content_type: ContentType = ContentType.CHALLENGE,
        domain: Domain = Domain.CHALLENGE,
        payload: bytes | None = None,
        **changes: Any,
    ) -> Case:
        usual = {"vin": VIN, "challenge": challenge}
        message = session_pb2.SessionRequest(**(usual | changes)).SerializeToString()
        sealing = Sealer(seal.Direction.TO_VEHICLE, receiver)
        envelope = cose.sign(
            by, content_type, subject_of(VIN, domain), message if payload is None else payload
        )
        return sealing.case(f"request {name}", Domain.CHALLENGE, envelope, expect)

    good = request("good", "ACCEPTED")
    late = good | {"wallSeconds": WALL_SECONDS + YEAR_SECONDS}
    envelope = bytes.fromhex(good["envelope"])
    cloudward = Sealer(seal.Direction.TO_CLOUD, receiver)
    return {
        "about": "What a vehicle says to session requests. It answers none but those it accepts.",
        "context": {
            "vin": VIN,
            "wallSeconds": WALL_SECONDS,
            "manifest": endorse(order_manifest(), ROOT, ROOT).hex(),
            "challenge": challenge.hex(),
        },
        "cases": [
            good,
            request("by a key not in the manifest", "UNKNOWN_KEY", by=STRANGER),
            request("by a revoked key", "REVOKED_KEY", by=REVOKED),
            request("by an expired key", "EXPIRED_KEY", by=EXPIRED),
            request("by a key for reports", "UNKNOWN_KEY", by=FOR_REPORTS),
            late | {"name": "request after the manifest ran out", "expect": "EXPIRED_KEY"},
            request("signed for cmd.door", "BAD_SIGNATURE", domain=Domain.COMMAND),
            request("content type of a command", "WRONG_TYPE", content_type=ContentType.COMMAND),
            request("of another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
            request("without a challenge", "MALFORMED", challenge=b""),
            request("challenge of 15 bytes", "MALFORMED", challenge=challenge[:15]),
            request("challenge of 17 bytes", "MALFORMED", challenge=challenge + b"\x00"),
            request("not a protobuf message", "MALFORMED", payload=b"\xff\xff"),
            cloudward.case("request sealed as to the cloud", Domain.CHALLENGE, envelope, "NOT_FOR_US"),
            request("that tells of refused reports", "ACCEPTED", refused=whole_messages.refused_reports()),
            request("for a self-check", "ACCEPTED", self_check=True),
            {"name": "request too large", "domain": "cmd.session", "sealed": TOO_LARGE.hex(), "expect": "TOO_LARGE"},
            {"name": "request not sealed", "domain": "cmd.session", "sealed": good["envelope"], "expect": "MALFORMED"},
        ],
    }  # fmt: skip


def _endorsed(inner: bytes, content_type: ContentType = ContentType.ENDORSED_MANIFEST) -> bytes:
    """These bytes, endorsed by the root in use."""
    return cose.sign(ROOT, content_type, SUBJECT, inner)


def _odd_manifests() -> list[tuple[str, str, bytes]]:
    """Well endorsed, and wrong inside: name, what a vehicle says, bytes."""

    def with_key(use: int, public_key: bytes) -> bytes:
        one = manifest(4)
        one.keys.add(use=use, public_key=public_key, expires_at_seconds=WALL_SECONDS + 1)  # type: ignore[arg-type]  # also uses that are not defined
        return endorse(one, ROOT, ROOT)

    def inner(by: KeySigner, one: session_pb2.KeyManifest, content_type: str = ContentType.MANIFEST) -> bytes:
        return cose.sign(by, content_type, SUBJECT, one.SerializeToString(deterministic=True))

    signed = inner(ROOT, manifest(4))
    names_new = manifest(4, root=NEW_ROOT)
    short_root = manifest(4)
    short_root.root_public_key = ROOT.public_bytes[:31]
    # As the new root signs it, with another's key id: the signature must fit the root that is named.
    by_stranger = inner(STRANGER, names_new).replace(STRANGER.key_id, NEW_ROOT.key_id)
    elsewhere = subject_of(VIN, Domain.KEYS)
    inner_elsewhere = cose.sign(ROOT, ContentType.MANIFEST, elsewhere, manifest(4).SerializeToString())
    endorsed_elsewhere = cose.sign(ROOT, ContentType.ENDORSED_MANIFEST, elsewhere, signed)
    endorsement_twice = inner(ROOT, manifest(4), ContentType.ENDORSED_MANIFEST)
    return [
        ("inner signature damaged", "BAD_SIGNATURE", _endorsed(signed[:-1] + bytes((signed[-1] ^ 1,)))),
        ("inner signature of the old root", "UNKNOWN_KEY", _endorsed(inner(ROOT, names_new))),
        ("inner signature of a stranger under the new root's id", "BAD_SIGNATURE", _endorsed(by_stranger)),
        ("inner content type of an endorsement", "WRONG_TYPE", _endorsed(endorsement_twice)),
        ("inner signed for another subject", "BAD_SIGNATURE", _endorsed(inner_elsewhere)),
        ("endorsed for another subject", "BAD_SIGNATURE", endorsed_elsewhere),
        ("outer content type of a manifest", "WRONG_TYPE", _endorsed(signed, ContentType.MANIFEST)),
        ("inner not an envelope", "MALFORMED", _endorsed(manifest(4).SerializeToString())),
        ("not a manifest", "MALFORMED", _endorsed(cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, b"\xff\xff"))),
        ("without a version", "MALFORMED", _endorsed(inner(ROOT, manifest(0)))),
        ("root of 31 bytes", "MALFORMED", _endorsed(inner(ROOT, short_root))),
        ("signing key of 31 bytes", "MALFORMED", with_key(session_pb2.KEY_USE_SIGN, bytes(31))),
        ("seal key of small order", "MALFORMED", with_key(session_pb2.KEY_USE_SEAL, bytes(32))),
        ("key of an unknown use, of whatever length", "ACCEPTED", with_key(UNKNOWN_USE, b"x")),
    ]  # fmt: skip


def _manifests() -> File:
    def case(name: str, expect: str, data: bytes) -> Case:
        return {"name": name, "endorsed": data.hex(), "expect": expect}

    rotated = endorse(manifest(4, root=NEW_ROOT), NEW_ROOT, ROOT)
    inner = cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, manifest(4).SerializeToString())
    over = endorse(manifest(4, issued_at=WALL_SECONDS - 300, expires_at=WALL_SECONDS - 150), ROOT, ROOT)
    return {
        "about": "What a vehicle that trusts this manifest says to each; every case by itself.",
        "context": {
            "root": ROOT.public_bytes.hex(),
            "wallSeconds": WALL_SECONDS,
            "manifest": endorse(manifest(3), ROOT, ROOT).hex(),
        },
        "cases": [
            case("next", "ACCEPTED", endorse(manifest(4), ROOT, ROOT)),
            case("one left out", "ACCEPTED", endorse(manifest(5), ROOT, ROOT)),
            case("the same", "ACCEPTED", endorse(manifest(3), ROOT, ROOT)),
            case("new root, signed by both", "ACCEPTED", rotated),
            case("new root, by the new alone", "UNKNOWN_KEY", endorse(manifest(4, root=NEW_ROOT), NEW_ROOT, NEW_ROOT)),
            case("older", "MANIFEST_ROLLBACK", endorse(manifest(2), ROOT, ROOT)),
            case("same version, other keys", "MANIFEST_ROLLBACK", endorse(manifest(3, sign_keys={}), ROOT, ROOT)),
            case("ran out", "EXPIRED_KEY", endorse(manifest(4, expires_at=WALL_SECONDS), ROOT, ROOT)),
            case("not endorsed", "WRONG_TYPE", inner),
            case("damaged", "BAD_SIGNATURE", rotated[:-1] + bytes((rotated[-1] ^ 1,))),
            case("ended when it was made", "EXPIRED_KEY", endorse(manifest(4, expires_at=MADE), ROOT, ROOT)),
            case("clock set back, ran out when the one in use was made", "EXPIRED_KEY", over) | {"wallSeconds": 0},
            case("next, clock set back", "ACCEPTED", endorse(manifest(4), ROOT, ROOT)) | {"wallSeconds": 0},
            *(case(*odd) for odd in _odd_manifests()),
        ],
    }  # fmt: skip


def _sealed_manifests() -> File:
    receiver = public(ProtocolHarness().car.seal_key)
    vehicle = Sealer(seal.Direction.TO_VEHICLE, receiver)
    cloudward = Sealer(seal.Direction.TO_CLOUD, receiver)
    following, by_signer = endorse(manifest(4), ROOT, ROOT), manifest(4, root=CLOUD_SIGNER)
    good = vehicle.case("manifest delivered", Domain.KEYS, following, "ACCEPTED")
    sealed = bytes.fromhex(good["sealed"])

    def case(name: str, expect: str, endorsed: bytes) -> Case:
        return vehicle.case(f"manifest delivered {name}", Domain.KEYS, endorsed, expect)

    def raw(name: str, expect: str, data: bytes) -> Case:
        return {
            "name": f"manifest {name}",
            "domain": Domain.KEYS.value,
            "sealed": data.hex(),
            "expect": expect,
        }

    foreign = vehicle.case(
        "manifest sealed for another vehicle", Domain.KEYS, following, "NOT_FOR_US", OTHER_VIN
    )
    return {
        "about": "What a vehicle that trusts this manifest says to what comes on cmd.keys. It answers none.",
        "context": {
            "vin": VIN,
            "root": ROOT.public_bytes.hex(),
            "wallSeconds": WALL_SECONDS,
            "manifest": endorse(manifest(3), ROOT, ROOT).hex(),
        },
        "cases": [
            good,
            case("again", "ACCEPTED", endorse(manifest(3), ROOT, ROOT)),
            case("late", "MANIFEST_ROLLBACK", endorse(manifest(2), ROOT, ROOT)),
            case("damaged", "BAD_SIGNATURE", following[:-1] + bytes((following[-1] ^ 1,))),
            case("by the cloud's signer", "UNKNOWN_KEY", endorse(by_signer, CLOUD_SIGNER, CLOUD_SIGNER)),
            foreign,
            cloudward.case("manifest sealed as to the cloud", Domain.KEYS, following, "NOT_FOR_US"),
            raw("one byte more", "NOT_FOR_US", sealed + b"\x00"),
            raw("not sealed", "MALFORMED", following),
            raw("too large", "TOO_LARGE", TOO_LARGE),
        ],
    }  # fmt: skip


def _reports() -> File:
    harness = ProtocolHarness()
    vehicle_public = public(exchange_key(f"{VIN} report 1"))
    shared = CLOUD_REPORT.exchange(exchange_key(f"{VIN} report 1").public_key())
    status = report_pb2.StatusReport(
        boot_id="boot-1", sequence=1, ignition=body_pb2.IGNITION_OFF, reporting_interval_seconds=60
    )
    status.observed_at.FromSeconds(WALL_SECONDS)
    status.doors.add(door=1, locked=True)
    first, second = (harness.car.side.seal_report(status).data for _ in range(2))
    self_check = report_pb2.DiagnosticsReport(boot_id="boot-1")
    diagnostics = harness.car.side.seal_report(self_check).data
    whole_status, whole_check = whole_messages.status(5, going_to_sleep=True), whole_messages.self_check(6)
    third, later = (harness.car.side.seal_report(one).data for one in (whole_status, whole_check))

    def case(name: str, expect: str, data: bytes, domain: Domain = Domain.STATUS) -> Case:
        return {"name": name, "domain": domain.value, "report": data.hex(), "expect": expect}

    return {
        "about": "What a cloud that saw counter 1 of evt.status says to each; every case by itself.",
        "context": {
            "vin": VIN,
            "epoch": harness.car.epoch.hex(),
            "vehiclePublicKey": vehicle_public.hex(),
            "sharedSecret": shared.hex(),
            "keys": {
                d.value: report_key(shared, harness.car.epoch, VIN, d).hex()
                for d in (Domain.STATUS, Domain.DIAGNOSTICS)
            },
            "seen": {"evt.status": [1]},
        },
        "cases": [
            case("status", "ACCEPTED", second) | {"payload": status.SerializeToString().hex()},
            case("diagnostics", "ACCEPTED", diagnostics, Domain.DIAGNOSTICS)
            | {"payload": self_check.SerializeToString().hex()},
            case("status, all its members", "ACCEPTED", third)
            | {"payload": whole_status.SerializeToString().hex()},
            case("diagnostics, all its members", "ACCEPTED", later, Domain.DIAGNOSTICS)
            | {"payload": whole_check.SerializeToString().hex()},
            case("status again", "COUNTER_NOT_NEW", first),
            case("on another subject", "NOT_FOR_US", second, Domain.DIAGNOSTICS),
            case("another epoch", "WRONG_EPOCH", second[:2] + bytes(16) + second[18:]),
            case("counter changed", "NOT_FOR_US", second[:25] + b"\x03" + second[26:]),
            case("counter beyond the last", "COUNTER_TOO_LARGE", second[:18] + b"\xff" * 8 + second[26:]),
            case("damaged", "NOT_FOR_US", second[:-1] + bytes((second[-1] ^ 1,))),
            case("one byte more", "NOT_FOR_US", second + b"\x00"),
            case("too short", "MALFORMED", second[:41]),
            case("another version", "MALFORMED", b"\x02" + second[1:]),
            case("too large", "TOO_LARGE", bytes(65_537)),
        ],
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in make().items():
        (FOLDER / name).write_text(text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
