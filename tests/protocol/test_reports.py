"""Reports under session keys."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import OpenKeys
from protocol.reports import MAX_REPORT_BYTES, OpenedReport, ReportOpener, ReportSession, report_key
from protocol.window import Window
from tests.support.protocol_harness import (
    CLOUD_REPORT,
    OTHER_VIN,
    VIN,
    ProtocolHarness,
    Reported,
    exchange_key,
)


def status(sequence: int = 1) -> report_pb2.StatusReport:
    return report_pb2.StatusReport(boot_id="boot-1", sequence=sequence)


def take(harness: ProtocolHarness, data: bytes, domain: Domain = Domain.STATUS) -> OpenedReport:
    opened = harness.reports.open(VIN, domain, data)
    harness.reports.taken(opened)
    return opened


def refusal(
    harness: ProtocolHarness,
    data: bytes,
    domain: Domain = Domain.STATUS,
    vin: str = VIN,
    opener: ReportOpener | None = None,
) -> Fault:
    with pytest.raises(MessageRefusedError) as caught:
        (opener or harness.reports).open(vin, domain, data)
    return caught.value.fault


def test_a_report(harness: ProtocolHarness) -> None:
    outgoing = harness.car.side.seal_report(status())

    opened = take(harness, outgoing.data)

    assert report_pb2.StatusReport.FromString(opened.payload) == status()
    assert (opened.epoch, opened.counter) == (harness.car.epoch, 1)
    assert outgoing.domain is Domain.STATUS
    assert outgoing.message_id == harness.car.epoch.hex() + (1).to_bytes(8).hex()


def test_diagnostics_have_their_own_key_and_counter(harness: ProtocolHarness) -> None:
    harness.car.side.seal_report(status())
    outgoing = harness.car.side.seal_report(report_pb2.DiagnosticsReport(boot_id="boot-1"))

    assert take(harness, outgoing.data, Domain.DIAGNOSTICS).counter == 1
    assert refusal(harness, outgoing.data, Domain.STATUS) is Fault.NOT_FOR_US


def test_a_replay(harness: ProtocolHarness) -> None:
    first = harness.car.side.seal_report(status(1)).data
    second = harness.car.side.seal_report(status(2)).data
    take(harness, second)
    take(harness, first)

    assert refusal(harness, first) is Fault.COUNTER_NOT_NEW
    assert refusal(harness, second) is Fault.COUNTER_NOT_NEW


def test_a_report_whose_commit_failed_opens_again(harness: ProtocolHarness) -> None:
    data = harness.car.side.seal_report(status()).data
    harness.reports.open(VIN, Domain.STATUS, data)

    assert take(harness, data).counter == 1


def test_a_stored_window_outlives_the_process(harness: ProtocolHarness) -> None:
    data = harness.car.side.seal_report(status()).data
    opened = harness.reports.open(VIN, Domain.STATUS, data)
    window = harness.reports.taken(opened)

    class Restarted(Reported):
        def load(self, vin: str, epoch: bytes) -> ReportSession | None:
            session = super().load(vin, epoch)
            assert session is not None
            return ReportSession(session.vehicle_public_key, session.cloud_key_id, ((Domain.STATUS, window),))

    restarted = ReportOpener(OpenKeys(CLOUD_REPORT), Restarted(harness.store), most_kept=1)
    assert refusal(harness, data, opener=restarted) is Fault.COUNTER_NOT_NEW
    assert window == Window(1, 1)


def test_every_bit_counts(harness: ProtocolHarness) -> None:
    data = harness.car.side.seal_report(status()).data

    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        assert refusal(harness, bytes(flipped)) in {
            Fault.MALFORMED,
            Fault.WRONG_EPOCH,
            Fault.NOT_FOR_US,
            Fault.COUNTER_TOO_LARGE,
            Fault.COUNTER_NOT_NEW,
        }
    for length in range(len(data)):
        refusal(harness, data[:length])
    assert refusal(harness, data + b"\x00") is Fault.NOT_FOR_US
    assert take(harness, data).counter == 1


def test_another_cars_report(harness: ProtocolHarness) -> None:
    harness.cloud.open_hello(OTHER_VIN, harness.other.hello())
    theirs = harness.other.side.seal_report(status()).data
    ours = harness.car.side.seal_report(status()).data

    assert refusal(harness, theirs) is Fault.WRONG_EPOCH
    assert refusal(harness, theirs[:2] + ours[2:18] + theirs[18:]) is Fault.NOT_FOR_US


def test_a_report_before_the_hello_of_its_epoch_waits_for_it(harness: ProtocolHarness) -> None:
    harness.car.boot()
    data = harness.car.side.seal_report(status()).data

    assert refusal(harness, data) is Fault.WRONG_EPOCH
    harness.greet()
    take(harness, data)


def test_a_report_agreed_with_a_key_that_is_gone(harness: ProtocolHarness) -> None:
    data = harness.car.side.seal_report(status()).data
    elsewhere = ReportOpener(OpenKeys(exchange_key("another")), Reported(harness.store), most_kept=1)

    assert refusal(harness, data, opener=elsewhere) is Fault.UNKNOWN_KEY


def test_an_impossible_key(harness: ProtocolHarness) -> None:
    class Zero(Reported):
        def load(self, vin: str, epoch: bytes) -> ReportSession | None:
            session = super().load(vin, epoch)
            assert session is not None
            return ReportSession(bytes(32), session.cloud_key_id)

    data = harness.car.side.seal_report(status()).data
    opener = ReportOpener(OpenKeys(CLOUD_REPORT), Zero(harness.store), most_kept=1)

    assert refusal(harness, data, opener=opener) is Fault.MALFORMED


def test_a_revoked_vehicle_is_not_heard_any_more(harness: ProtocolHarness) -> None:
    take(harness, harness.car.side.seal_report(status(1)).data)
    data = harness.car.side.seal_report(status(2)).data
    del harness.store.sessions[VIN]

    harness.reports.invalidate(VIN)

    assert refusal(harness, data) is Fault.WRONG_EPOCH


def test_sizes_and_ends(harness: ProtocolHarness) -> None:
    assert refusal(harness, bytes(MAX_REPORT_BYTES + 1)) is Fault.TOO_LARGE
    with pytest.raises(ValueError, match="bytes"):
        harness.car.side.seal_report(report_pb2.StatusReport(boot_id="x" * MAX_REPORT_BYTES))
    harness.car.side._reports._sent[Domain.STATUS] = MAX_COUNTER
    with pytest.raises(OverflowError):
        harness.car.side.seal_report(status())
    with pytest.raises(ValueError, match="signed"):
        report_key(bytes(32), bytes(16), VIN, Domain.RESULT)


def test_memory_is_bounded_and_a_forgotten_key_is_made_again(harness: ProtocolHarness) -> None:
    opener = ReportOpener(OpenKeys(CLOUD_REPORT), Reported(harness.store), most_kept=1)
    harness.cloud.open_hello(OTHER_VIN, harness.other.hello())

    for sequence in (1, 2):
        for car in (harness.car, harness.other):
            data = car.side.seal_report(status(sequence)).data
            opener.taken(opener.open(car.vin, Domain.STATUS, data))

    assert len(opener._channels) == 1
