"""Vehicles that only speak: they have enrolled keys, say a signed hello and seal their reports. Nobody drives them.

What they say is made before a clock starts, as bytes that are ready to publish.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2

from bench.nats_wire import message
from mesh.files import write_private
from protocol.keys import KeySigner, OpenKeys
from protocol.manifest import Trust
from protocol.session import EPOCH_BYTES, VehicleSession
from protocol.subjects import EventKind, event_subject
from protocol.vehicle_side import VehicleSide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    from protocol.domains import Domain

_DOORS = (
    body_pb2.DOOR_ID_DRIVER,
    body_pb2.DOOR_ID_PASSENGER,
    body_pb2.DOOR_ID_REAR_LEFT,
    body_pb2.DOOR_ID_REAR_RIGHT,
    body_pb2.DOOR_ID_TRUNK,
    body_pb2.DOOR_ID_HOOD,
)


@dataclass(frozen=True, slots=True)
class SpeakerKeys:
    """A vehicle's private keys."""

    signing: Ed25519PrivateKey
    opening: X25519PrivateKey

    @classmethod
    def generate(cls) -> SpeakerKeys:
        """Return new ones."""
        return cls(Ed25519PrivateKey.generate(), X25519PrivateKey.generate())

    @property
    def public(self) -> tuple[Ed25519PublicKey, X25519PublicKey]:
        """What is enrolled of them."""
        return self.signing.public_key(), self.opening.public_key()


def write_keys(path: Path, keys: Mapping[str, SpeakerKeys]) -> None:
    """All vehicles' keys in one file: thousands of files, each synced, would take longer than the measurement."""
    texts = {
        vin: [one.signing.private_bytes_raw().hex(), one.opening.private_bytes_raw().hex()]
        for vin, one in keys.items()
    }
    write_private(path, json.dumps(texts).encode())


def read_speakers(keys: Path, root_public_key: bytes, manifest: Path, vins: Iterable[str]) -> list[Speaker]:
    """Return these vehicles, each in an epoch of its own. Raises KeyError for one that has no keys in the file."""
    texts = json.loads(keys.read_text(encoding="utf-8"))
    trust = Trust.restore(root_public_key, manifest.read_bytes())
    return [
        Speaker(
            vin,
            SpeakerKeys(
                Ed25519PrivateKey.from_private_bytes(bytes.fromhex(texts[vin][0])),
                X25519PrivateKey.from_private_bytes(bytes.fromhex(texts[vin][1])),
            ),
            trust,
        )
        for vin in vins
    ]


class _NoOrders:
    """protocol's VehicleMemory of a vehicle that is told nothing."""

    def is_known(self, domain: Domain, order_id: str) -> bool:
        """Return whether this order was taken before: it waits, runs, or has its answer. For settings: whether
        these or newer ones were applied.
        """
        raise NotImplementedError(f"{domain.value} {order_id}")

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        """Remember this for Trust.restore. On the disk when it returns."""
        raise NotImplementedError(f"a manifest of {len(endorsed)} bytes, endorsed by {endorsed_by.hex()}")


def speaking_side(vin: str, keys: SpeakerKeys, trust: Trust) -> VehicleSide:
    """Return the vehicle's end of the protocol, in a new epoch. It can be told nothing."""
    began = time.monotonic_ns()
    return VehicleSide(
        vin,
        KeySigner(keys.signing),
        OpenKeys(keys.opening),
        trust,
        VehicleSession(secrets.token_bytes(EPOCH_BYTES), lambda: (time.monotonic_ns() - began) // 1_000_000),
        X25519PrivateKey.generate(),
        _NoOrders(),
        lambda: int(time.time()),
    )


def status_report(
    boot_id: str,
    sequence: int,
    observed_at: datetime,
    *,
    speed_kmh: float = 0.0,
    driver_open: bool = False,
    going_to_sleep: bool = False,
) -> report_pb2.StatusReport:
    """Return a report of six doors."""
    report = report_pb2.StatusReport(
        boot_id=boot_id,
        sequence=sequence,
        doors=[
            body_pb2.DoorObservation(
                door=door, locked=not driver_open, open=driver_open and door == body_pb2.DOOR_ID_DRIVER
            )
            for door in _DOORS
        ],
        ignition=body_pb2.IGNITION_ON if speed_kmh else body_pb2.IGNITION_OFF,
        speed_kmh=speed_kmh,
        gear=body_pb2.GEAR_D if speed_kmh else body_pb2.GEAR_P,
        reporting_interval_seconds=30,
        going_to_sleep=going_to_sleep,
    )
    report.observed_at.FromDatetime(observed_at)
    return report


class Speaker:
    """One boot of one vehicle. Whatever it says goes to `nats_wire.Publisher`."""

    def __init__(self, vin: str, keys: SpeakerKeys, trust: Trust) -> None:
        self.vin = vin
        self._boot_id = secrets.token_hex(8)
        self._sequence = 0
        self._side = speaking_side(vin, keys, trust)

    @property
    def boot_id(self) -> str:
        """In every report of this boot."""
        return self._boot_id

    def hello(self, said_at: datetime) -> bytes:
        """Return the session information by which the cloud knows the epoch. Publish it soon: it carries the clock."""
        said = report_pb2.Hello(boot_id=self._boot_id, agent_version="bench")
        said.said_at.FromDatetime(said_at)
        message_id = secrets.token_hex(16)
        data = self._side.seal_hello(said, message_id)
        return message(event_subject(self.vin, EventKind.HELLO), message_id, data)

    def report(
        self,
        observed_at: datetime,
        *,
        speed_kmh: float = 0.0,
        driver_open: bool = False,
        going_to_sleep: bool = False,
    ) -> bytes:
        """Return the next report. Without a change of its doors it makes no live update: it is only kept."""
        self._sequence += 1
        report = status_report(
            self._boot_id,
            self._sequence,
            observed_at,
            speed_kmh=speed_kmh,
            driver_open=driver_open,
            going_to_sleep=going_to_sleep,
        )
        sealed = self._side.seal_report(report)
        return message(event_subject(self.vin, EventKind.STATUS), sealed.message_id, sealed.data)
