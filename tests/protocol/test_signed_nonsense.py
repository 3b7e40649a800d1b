"""A peer whose key is right and whose messages are nonsense: refused or taken, never an accident."""

from __future__ import annotations

import random
from collections import Counter

from protocol import cose
from protocol.domains import ANSWER_FIELDS, Domain, subject_of
from protocol.faults import MessageRefusedError
from protocol.keys import OpenKeys, SealKey
from protocol.manifest import SUBJECT
from protocol.seal import Direction, seal, unseal
from protocol.vehicle_side import RefusedOrder
from tests.support.protocol_harness import (
    CLOUD_SEAL,
    CLOUD_SIGNER,
    ROOT,
    VIN,
    ProtocolHarness,
    manifest,
    public,
    unlock,
)
from tools.fuzz_envelopes import mutate

MUTANTS = 1_000


def repeatable(seed: int) -> random.Random:
    """The same mutants at every run."""
    return random.Random(seed)  # noqa: S311  # mutants, not secrets


def of_vehicle(harness: ProtocolHarness, domain: Domain, good: bytes, source: random.Random) -> bytes:
    """A mutated payload under the vehicle's own signature."""
    signed = cose.decode(unseal(good, OpenKeys(CLOUD_SEAL), Direction.TO_CLOUD, VIN))
    payload = mutate(signed.payload, source)
    envelope = cose.sign(harness.car.signer, signed.content_type, subject_of(VIN, domain), payload)
    return seal(envelope, SealKey.of(public(CLOUD_SEAL)), Direction.TO_CLOUD, VIN)


def test_a_vehicle_talks_nonsense(harness: ProtocolHarness) -> None:
    source = repeatable(1)
    stale = harness.command("stale")
    result = harness.answered()
    harness.clock.advance(30)
    fault = harness.car.side.open_order(Domain.COMMAND, stale)
    assert isinstance(fault, RefusedOrder)
    assert fault.answer is not None
    before = harness.store.sessions[VIN]
    hello = harness.car.hello()
    said: Counter[str] = Counter()

    for _ in range(MUTANTS):
        domain, good = source.choice(
            [(Domain.RESULT, result.data), (Domain.RESULT, fault.answer.data), (Domain.HELLO, hello)]
        )
        harness.store.sessions[VIN] = before
        data = of_vehicle(harness, domain, good, source)
        try:
            if domain in ANSWER_FIELDS:
                harness.cloud.open_answer(VIN, domain, data)
            else:
                harness.cloud.open_hello(VIN, data)
            said["taken"] += 1
        except MessageRefusedError as refused:
            said[refused.fault.name] += 1

    assert said["MALFORMED"] > MUTANTS / 4
    assert said["WRONG_REQUEST"] > 0


def test_a_cloud_talks_nonsense(harness: ProtocolHarness) -> None:
    source = repeatable(2)
    good = cose.decode(harness.car.envelope_of(harness.car.forge(unlock()))).payload
    subject = subject_of(VIN, Domain.COMMAND)

    for _ in range(MUTANTS):
        payload = mutate(good, source)
        data = cose.sign(CLOUD_SIGNER, "rdc-command+v1", subject, payload)
        harness.car.side.open_order(Domain.COMMAND, harness.car.seal_to(data))


def test_a_root_talks_nonsense(harness: ProtocolHarness) -> None:
    source = repeatable(3)
    good = manifest(2).SerializeToString()

    for _ in range(MUTANTS):
        inner = cose.sign(ROOT, "rdc-manifest+v1", SUBJECT, mutate(good, source))
        endorsed = cose.sign(ROOT, "rdc-endorsement+v1", SUBJECT, inner)
        try:
            harness.car.side.open_manifest(harness.car.seal_to(endorsed))
        except MessageRefusedError:
            continue
