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
from protocol.keys import key_id
from protocol.manifest import SUBJECT, endorse
from protocol.reports import report_key
from tests.protocol.order_vectors import (
    VEHICLE_SIGNER,
    Case,
    File,
    Sealer,
    answers,
    orders,
    session_info,
)
from tests.support.stand import (
    CLOUD_REPORT,
    CLOUD_SEAL,
    CLOUD_SIGNER,
    OTHER_VIN,
    ROOT,
    VIN,
    WALL_SECONDS,
    Stand,
    exchange_key,
    manifest,
    public,
    seed,
    signer,
)

FOLDER = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
NEW_ROOT = signer("new root")


def make() -> dict[str, File]:
    """File name to content."""
    return {
        "keys.json": _keys(),
        "orders.json": orders(),
        "answers.json": answers(),
        "hellos.json": _hellos(),
        "manifests.json": _manifests(),
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


def _hellos() -> File:
    stand = Stand()
    cloud = Sealer(seal.Direction.TO_CLOUD, public(CLOUD_SEAL))
    vehicle = Sealer(seal.Direction.TO_VEHICLE, public(stand.car.seal_key))
    challenge = seed("challenge")[:16]
    request = session_pb2.SessionRequest(vin=VIN, challenge=challenge).SerializeToString()
    subject = subject_of(VIN, Domain.CHALLENGE)

    def hello(name: str, expect: str, **changes: Any) -> Case:
        info = session_info(stand)
        for member, value in changes.items():
            setattr(info, member, value)
        envelope = cose.sign(
            VEHICLE_SIGNER, ContentType.SESSION, subject_of(VIN, Domain.HELLO), info.SerializeToString()
        )
        return cloud.case(name, Domain.HELLO, envelope, expect)

    return {
        "about": "A session request as the vehicle gets it, and what a cloud that sent it says to each hello.",
        "context": {
            "vin": VIN,
            "challenge": challenge.hex(),
            "endedEpochs": [seed("earlier")[:16].hex()],
        },
        "request": vehicle.case(
            "session request",
            Domain.CHALLENGE,
            cose.sign(CLOUD_SIGNER, ContentType.CHALLENGE, subject, request),
            "ACCEPTED",
        ),
        "cases": [
            hello("at boot", "ACCEPTED"),
            hello("answering the request", "ACCEPTED", challenge=challenge),
            hello("answering another", "STALE_SESSION", challenge=bytes(16)),
            hello("epoch that ended", "STALE_SESSION", epoch=seed("earlier")[:16]),
            hello("short epoch", "MALFORMED", epoch=bytes(15)),
            hello("of another vehicle", "WRONG_VEHICLE", vin=OTHER_VIN),
        ],
    }


def _manifests() -> File:
    def case(name: str, expect: str, data: bytes) -> Case:
        return {"name": name, "endorsed": data.hex(), "expect": expect}

    rotated = endorse(manifest(4, root=NEW_ROOT), NEW_ROOT, ROOT)
    inner = cose.sign(ROOT, ContentType.MANIFEST, SUBJECT, manifest(4).SerializeToString())
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
        ],
    }  # fmt: skip


def _reports() -> File:
    stand = Stand()
    vehicle_public = public(exchange_key(f"{VIN} report 1"))
    shared = CLOUD_REPORT.exchange(exchange_key(f"{VIN} report 1").public_key())
    status = report_pb2.StatusReport(
        boot_id="boot-1", sequence=1, ignition=body_pb2.IGNITION_OFF, reporting_interval_seconds=60
    )
    status.observed_at.FromSeconds(WALL_SECONDS)
    status.doors.add(door=1, locked=True)
    first, second = (stand.car.side.seal_report(status).data for _ in range(2))
    diagnostics = stand.car.side.seal_report(report_pb2.DiagnosticsReport(boot_id="boot-1")).data

    def case(name: str, expect: str, data: bytes, domain: Domain = Domain.STATUS) -> Case:
        return {"name": name, "domain": domain.value, "report": data.hex(), "expect": expect}

    return {
        "about": "What a cloud that saw counter 1 of evt.status says to each; every case by itself.",
        "context": {
            "vin": VIN,
            "epoch": stand.car.epoch.hex(),
            "vehiclePublicKey": vehicle_public.hex(),
            "sharedSecret": shared.hex(),
            "keys": {
                d.value: report_key(shared, stand.car.epoch, VIN, d).hex()
                for d in (Domain.STATUS, Domain.DIAGNOSTICS)
            },
            "seen": {"evt.status": [1]},
        },
        "cases": [
            case("status", "ACCEPTED", second) | {"payload": status.SerializeToString().hex()},
            case("diagnostics", "ACCEPTED", diagnostics, Domain.DIAGNOSTICS),
            case("status again", "COUNTER_NOT_NEW", first),
            case("on another subject", "NOT_FOR_US", second, Domain.DIAGNOSTICS),
            case("another epoch", "WRONG_EPOCH", second[:2] + bytes(16) + second[18:]),
            case("counter changed", "NOT_FOR_US", second[:25] + b"\x03" + second[26:]),
            case("counter beyond the last", "COUNTER_TOO_LARGE", second[:18] + b"\xff" * 8 + second[26:]),
            case("damaged", "NOT_FOR_US", second[:-1] + bytes((second[-1] ^ 1,))),
            case("one byte more", "NOT_FOR_US", second + b"\x00"),
            case("too short", "MALFORMED", second[:41]),
            case("another version", "MALFORMED", b"\x02" + second[1:]),
        ],
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in make().items():
        (FOLDER / name).write_text(text(content), encoding="utf-8")


if __name__ == "__main__":
    main()
