"""Reports under session keys."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.vehicle.v1 import report_pb2

from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import Fault, MessageRefused
from protocol.keys import OpenKeys
from protocol.reports import MAX_REPORT_BYTES, OpenedReport, ReportOpener, ReportSession, report_key
from protocol.window import Window
from tests.support.stand import CLOUD_REPORT, OTHER_VIN, VIN, Reported, Stand, exchange_key


def status(sequence: int = 1) -> report_pb2.StatusReport:
    return report_pb2.StatusReport(boot_id="boot-1", sequence=sequence)


def take(stand: Stand, data: bytes, domain: Domain = Domain.STATUS) -> OpenedReport:
    opened = stand.reports.open(VIN, domain, data)
    stand.reports.taken(opened)
    return opened


def refusal(
    stand: Stand,
    data: bytes,
    domain: Domain = Domain.STATUS,
    vin: str = VIN,
    opener: ReportOpener | None = None,
) -> Fault:
    with pytest.raises(MessageRefused) as caught:
        (opener or stand.reports).open(vin, domain, data)
    return caught.value.fault


def test_a_report(stand: Stand) -> None:
    outgoing = stand.car.side.seal_report(status())

    opened = take(stand, outgoing.data)

    assert report_pb2.StatusReport.FromString(opened.payload) == status()
    assert (opened.epoch, opened.counter) == (stand.car.epoch, 1)
    assert outgoing.domain is Domain.STATUS
    assert outgoing.message_id == stand.car.epoch.hex() + (1).to_bytes(8).hex()


def test_diagnostics_have_their_own_key_and_counter(stand: Stand) -> None:
    stand.car.side.seal_report(status())
    outgoing = stand.car.side.seal_report(report_pb2.DiagnosticsReport(boot_id="boot-1"))

    assert take(stand, outgoing.data, Domain.DIAGNOSTICS).counter == 1
    assert refusal(stand, outgoing.data, Domain.STATUS) is Fault.NOT_FOR_US


def test_a_replay(stand: Stand) -> None:
    first = stand.car.side.seal_report(status(1)).data
    second = stand.car.side.seal_report(status(2)).data
    take(stand, second)
    take(stand, first)

    assert refusal(stand, first) is Fault.COUNTER_NOT_NEW
    assert refusal(stand, second) is Fault.COUNTER_NOT_NEW


def test_a_report_whose_commit_failed_opens_again(stand: Stand) -> None:
    data = stand.car.side.seal_report(status()).data
    stand.reports.open(VIN, Domain.STATUS, data)

    assert take(stand, data).counter == 1


def test_a_stored_window_outlives_the_process(stand: Stand) -> None:
    data = stand.car.side.seal_report(status()).data
    opened = stand.reports.open(VIN, Domain.STATUS, data)
    window = stand.reports.taken(opened)

    class Restarted(Reported):
        def load(self, vin: str, epoch: bytes) -> ReportSession | None:
            session = super().load(vin, epoch)
            assert session is not None
            return ReportSession(session.vehicle_public_key, session.cloud_key_id, ((Domain.STATUS, window),))

    restarted = ReportOpener(OpenKeys(CLOUD_REPORT), Restarted(stand.store), most_kept=1)
    assert refusal(stand, data, opener=restarted) is Fault.COUNTER_NOT_NEW
    assert window == Window(1, 1)


def test_every_bit_counts(stand: Stand) -> None:
    data = stand.car.side.seal_report(status()).data

    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        assert refusal(stand, bytes(flipped)) in {
            Fault.MALFORMED,
            Fault.WRONG_EPOCH,
            Fault.NOT_FOR_US,
            Fault.COUNTER_TOO_LARGE,
            Fault.COUNTER_NOT_NEW,
        }
    for length in range(len(data)):
        refusal(stand, data[:length])
    assert refusal(stand, data + b"\x00") is Fault.NOT_FOR_US
    assert take(stand, data).counter == 1


def test_another_cars_report(stand: Stand) -> None:
    stand.cloud.open_hello(OTHER_VIN, stand.other.hello())
    theirs = stand.other.side.seal_report(status()).data
    ours = stand.car.side.seal_report(status()).data

    assert refusal(stand, theirs) is Fault.WRONG_EPOCH
    assert refusal(stand, theirs[:2] + ours[2:18] + theirs[18:]) is Fault.NOT_FOR_US


def test_a_report_before_the_hello_of_its_epoch_waits_for_it(stand: Stand) -> None:
    stand.car.boot()
    data = stand.car.side.seal_report(status()).data

    assert refusal(stand, data) is Fault.WRONG_EPOCH
    stand.greet()
    take(stand, data)


def test_a_report_agreed_with_a_key_that_is_gone(stand: Stand) -> None:
    data = stand.car.side.seal_report(status()).data
    elsewhere = ReportOpener(OpenKeys(exchange_key("another")), Reported(stand.store), most_kept=1)

    assert refusal(stand, data, opener=elsewhere) is Fault.UNKNOWN_KEY


def test_an_impossible_key(stand: Stand) -> None:
    class Zero(Reported):
        def load(self, vin: str, epoch: bytes) -> ReportSession | None:
            session = super().load(vin, epoch)
            assert session is not None
            return ReportSession(bytes(32), session.cloud_key_id)

    data = stand.car.side.seal_report(status()).data
    opener = ReportOpener(OpenKeys(CLOUD_REPORT), Zero(stand.store), most_kept=1)

    assert refusal(stand, data, opener=opener) is Fault.MALFORMED


def test_a_revoked_vehicle_is_not_heard_any_more(stand: Stand) -> None:
    take(stand, stand.car.side.seal_report(status(1)).data)
    data = stand.car.side.seal_report(status(2)).data
    del stand.store.sessions[VIN]

    stand.reports.invalidate(VIN)

    assert refusal(stand, data) is Fault.WRONG_EPOCH


def test_sizes_and_ends(stand: Stand) -> None:
    assert refusal(stand, bytes(MAX_REPORT_BYTES + 1)) is Fault.TOO_LARGE
    with pytest.raises(ValueError, match="bytes"):
        stand.car.side.seal_report(report_pb2.StatusReport(boot_id="x" * MAX_REPORT_BYTES))
    stand.car.side._reports._sent[Domain.STATUS] = MAX_COUNTER
    with pytest.raises(OverflowError):
        stand.car.side.seal_report(status())
    with pytest.raises(ValueError, match="signed"):
        report_key(bytes(32), bytes(16), VIN, Domain.RESULT)


def test_memory_is_bounded_and_a_forgotten_key_is_made_again(stand: Stand) -> None:
    opener = ReportOpener(OpenKeys(CLOUD_REPORT), Reported(stand.store), most_kept=1)
    stand.cloud.open_hello(OTHER_VIN, stand.other.hello())

    for sequence in (1, 2):
        for car in (stand.car, stand.other):
            data = car.side.seal_report(status(sequence)).data
            opener.taken(opener.open(car.vin, Domain.STATUS, data))

    assert len(opener._channels) == 1
