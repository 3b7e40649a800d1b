"""Mutate good messages of the vehicle protocol and see that nobody accepts one.

usage: PYTHONPATH=.:gen python tools/fuzz_envelopes.py [count] [seed]

The default is 1,000,000 mutants. Material are the vectors in protocol/vectors/. Half of the mutants of
orders are made under the seal, because anybody can seal to a public key; the rest on the wire.
Any exception but a refusal, and any mutant that is accepted, ends the run with its bytes.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.cloud_side import AnswerReader, IssuedOrder, ReplayGuard
from protocol.domains import Domain
from protocol.faults import MessageRefusedError
from protocol.keys import KeySigner, OpenKeys, SealKey, VehicleKeys
from protocol.manifest import Trust
from protocol.reports import ReportOpener, ReportSession
from protocol.seal import Direction, seal
from protocol.session import CloudSession, VehicleSession
from protocol.vehicle_side import RefusedOrder, VehicleSide

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).resolve().parent.parent / "protocol" / "vectors"
DEFAULT_COUNT = 1_000_000
PROGRESS_EVERY = 100_000


class ForgeryAcceptedError(Exception):
    """A mutant was taken for a message."""


@dataclass(frozen=True, slots=True)
class Target:
    """Good messages, and what refuses a mutant of one: it returns the fault's name."""

    name: str
    samples: list[tuple[Domain, bytes]]
    judge: Callable[[Domain, bytes], str]


class _FuzzHarness:
    """A vehicle and a cloud with the vectors' keys. Each judge begins from the same state."""

    def __init__(self) -> None:
        keys, self.orders, self.answers, self.manifests, self.reports = (
            json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("keys", "orders", "answers", "manifests", "reports")
        )
        self._ed25519, self._x25519 = keys["ed25519"], keys["x25519"]
        self.vin: str = self.orders["context"]["vin"]
        self.vehicle_seal = SealKey.of(bytes.fromhex(self._x25519["vehicleSeal"]["public"]))
        self.vehicle_keys = VehicleKeys.of(
            bytes.fromhex(self._ed25519["vehicleSigner"]["public"]),
            bytes.fromhex(self._x25519["vehicleSeal"]["public"]),
        )
        self.trust = Trust(bytes.fromhex(self.manifests["context"]["root"]))
        self.wall_seconds: int = self.orders["context"]["wallSeconds"]
        self._vehicle = self._make_vehicle()
        self._reader = AnswerReader(OpenKeys(self._private("cloudSeal")), self)
        self._replay_guard = ReplayGuard(self, lambda: 0)
        report_keys = OpenKeys(self._private("cloudReport"))
        self._opener = ReportOpener(report_keys, _Reporter(self.reports["context"], self._x25519), 10)

    def order(self, domain: Domain, data: bytes) -> str:
        """Return the vehicle's judgement on what came over the wire."""
        opened = self._vehicle.open_order(domain, data)
        if isinstance(opened, RefusedOrder):
            return opened.fault.name
        raise ForgeryAcceptedError

    def order_under_the_seal(self, domain: Domain, envelope: bytes) -> str:
        """Return the same on what an attacker sealed."""
        return self.order(domain, seal(envelope, self.vehicle_seal, Direction.TO_VEHICLE, self.vin))

    def answer(self, domain: Domain, data: bytes) -> str:
        """Return the cloud's judgement."""
        return _refusal(lambda: self._replay_guard.admit(domain, self._reader.answer(self.vin, domain, data)))

    def report(self, domain: Domain, data: bytes) -> str:
        """Return the cloud's judgement on a report."""
        return _refusal(lambda: self._opener.open(self.vin, domain, data))

    def manifest(self, _domain: Domain, data: bytes) -> str:
        """Return the vehicle's judgement on a manifest."""
        return _refusal(lambda: self.trust.adopt(data, self.wall_seconds))

    def is_known(self, _domain: Domain, _order_id: str) -> bool:
        """VehicleMemory: nothing is."""
        return False

    def keep_manifest(self, _endorsed_by: bytes, _endorsed: bytes) -> None:
        """VehicleMemory: none was to be adopted."""
        raise ForgeryAcceptedError

    def load(self, _vin: str) -> CloudSession | None:
        """CloudStore."""
        return CloudSession()

    def save(self, _vin: str, _session: CloudSession) -> None:
        """CloudStore: nothing was to be learned."""
        raise ForgeryAcceptedError

    def remember(self, _issued: IssuedOrder) -> None:
        """CloudStore: nothing was to be issued."""
        raise ForgeryAcceptedError

    def find(self, _vin: str, _request_hash: bytes = b"") -> Any:
        """Enrolment (one argument) and CloudStore (two)."""
        return None if _request_hash else self.vehicle_keys

    def _make_vehicle(self) -> VehicleSide:
        context = self.orders["context"]
        return VehicleSide(
            self.vin,
            self._signer("vehicleSigner"),
            OpenKeys(self._private("vehicleSeal")),
            self.trust.adopt(bytes.fromhex(context["manifest"]), self.wall_seconds),
            VehicleSession(bytes.fromhex(context["epoch"]), lambda: context["clockMillis"]),
            self._private("vehicleReport"),
            self,
            lambda: self.wall_seconds,
        )

    def _private(self, name: str) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(bytes.fromhex(self._x25519[name]["private"]))

    def _signer(self, name: str) -> KeySigner:
        seed = bytes.fromhex(self._ed25519[name]["private"])
        return KeySigner(Ed25519PrivateKey.from_private_bytes(seed))


class _Reporter:
    """ReportSessions of the one vehicle."""

    def __init__(self, context: dict[str, Any], keys: dict[str, Any]) -> None:
        self._epoch = bytes.fromhex(context["epoch"])
        public_key, key_id = context["vehiclePublicKey"], keys["cloudReport"]["keyId"]
        self._session = ReportSession(bytes.fromhex(public_key), bytes.fromhex(key_id))

    def load(self, _vin: str, epoch: bytes) -> ReportSession | None:
        """Return the session of this epoch; None when no session information of it was seen, when a later epoch
        followed it, and when the vehicle is not enrolled any more. Asked when an epoch is not the one whose keys are
        kept.
        """
        return self._session if epoch == self._epoch else None


def targets() -> list[Target]:
    """Return all that reads bytes from outside."""
    harness = _FuzzHarness()
    orders = [c for c in harness.orders["cases"] if c["expect"] == "ACCEPTED"]
    answers = [c for c in harness.answers["cases"] if c["expect"] == "ACCEPTED"]
    reports = [c for c in harness.reports["cases"] if c["expect"] == "ACCEPTED"]
    manifests = [c for c in harness.manifests["cases"] if c["expect"] == "ACCEPTED"]
    return [
        Target("order", _samples(orders, "sealed"), harness.order),
        Target("order under the seal", _samples(orders, "envelope"), harness.order_under_the_seal),
        Target("answer", _samples(answers, "sealed"), harness.answer),
        Target("report", _samples(reports, "report"), harness.report),
        Target("manifest", _samples(manifests, "endorsed"), harness.manifest),
    ]


def fuzz(count: int, seed: int, progress: Callable[[int], None] = lambda _done: None) -> Counter[str]:
    """Return how often each target gave each fault. Raises AssertionError naming the mutant that got through."""
    source = random.Random(seed)  # noqa: S311  # repeatable mutants, not secrets
    kinds, found = targets(), Counter[str]()
    weights = [2, 3, 1, 3, 1]
    for done in range(count):
        target = source.choices(kinds, weights)[0]
        domain, sample = source.choice(target.samples)
        mutant = mutate(sample, source)
        if mutant == sample:
            continue
        try:
            found[f"{target.name}: {target.judge(domain, mutant)}"] += 1
        except Exception as error:
            raise AssertionError(f"{target.name} on {domain.value}: {mutant.hex()}") from error
        if done % PROGRESS_EVERY == 0:
            progress(done)
    return found


def mutate(data: bytes, source: random.Random) -> bytes:
    """Return one to four damages: bits, bytes, cuts, insertions, repetitions, lengths."""
    mutant = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        at = source.randrange(len(mutant) + 1)
        other = source.randrange(len(mutant) + 1)
        start, end = min(at, other), max(at, other)
        match source.randrange(6):
            case 0 if mutant:
                mutant[at % len(mutant)] ^= 1 << source.randrange(8)
            case 1 if mutant:
                mutant[at % len(mutant)] = source.choice((0, 0x7F, 0x80, 0xFF, source.randrange(256)))
            case 2:
                del mutant[start:end]
            case 3:
                mutant[at:at] = source.randbytes(source.randrange(1, 9))
            case 4:
                mutant[at:at] = mutant[start : start + 40]
            case _:
                del mutant[at:]
    return bytes(mutant)


def _samples(cases: list[dict[str, Any]], member: str) -> list[tuple[Domain, bytes]]:
    return [(Domain(case.get("domain", Domain.KEYS)), bytes.fromhex(case[member])) for case in cases]


def _refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except MessageRefusedError as refused:
        return refused.fault.name
    raise ForgeryAcceptedError


def main() -> int:
    """Do what the command line asks; the exit status."""
    count, seed = (int(word) for word in [*sys.argv[1:], *(str(DEFAULT_COUNT), "1")[len(sys.argv) - 1 :]])
    began = time.monotonic()
    found = fuzz(count, seed, lambda done: print(f"{done:,} of {count:,}", file=sys.stderr))
    for what, times in sorted(found.items()):
        print(f"{times:>9,}  {what}")
    print(f"{count:,} mutants, none believed, {time.monotonic() - began:.0f} s, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
