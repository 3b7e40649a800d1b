"""Epochs, clocks, counters and challenges: how both sides get in step, and stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import session as session_module
from protocol import session_record
from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.session import EPOCHS_REMEMBERED, CloudSession, NotReachableError
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from protocol.window import WIDTH, Window
from tests.support.protocol_harness import OTHER_VIN, OWNER, VIN, ProtocolHarness, cancellation, unlock


def refusal(call: object, *arguments: object) -> Fault:
    assert callable(call)
    with pytest.raises(MessageRefusedError) as caught:
        call(*arguments)
    return caught.value.fault


def test_nothing_is_signed_for_a_vehicle_that_said_no_hello(harness: ProtocolHarness) -> None:
    with pytest.raises(NotReachableError):
        harness.cloud.seal_order(OTHER_VIN, unlock(), OWNER, 30_000)
    with pytest.raises(NotReachableError):
        harness.cloud.seal_order("KMHSH81C7LU000000", unlock(), OWNER, 30_000)


def test_counters_rise_per_domain_and_survive_a_hello(harness: ProtocolHarness) -> None:
    harness.command("a")
    harness.command("b")
    harness.cloud.seal_order(VIN, cancellation(), OWNER, 30_000)

    harness.greet()

    issued = harness.store.sessions[VIN].current.issued
    assert issued == {Domain.COMMAND: 2, Domain.CANCEL: 1}
    assert isinstance(harness.car.receive(harness.command("c")), AcceptedOrder)


def test_the_cloud_that_forgot_learns_the_counters_from_the_vehicle(harness: ProtocolHarness) -> None:
    harness.car.receive(harness.car.forge(unlock("a"), counter=41))
    harness.store.sessions.clear()
    harness.greet()

    assert isinstance(harness.car.receive(harness.command("b")), AcceptedOrder)
    assert harness.store.sessions[VIN].current.issued[Domain.COMMAND] == 42


def test_a_reboot_is_a_new_epoch_in_which_the_same_command_can_be_signed_again(
    harness: ProtocolHarness,
) -> None:
    lost = harness.command("cmd-1")
    harness.car.boot()
    faulted = harness.car.receive(lost)
    assert isinstance(faulted, RefusedOrder)
    assert faulted.answer is not None

    answer = harness.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(answer.answer, session_pb2.OrderRefused)
    assert answer.answer.fault == session_pb2.PROTOCOL_FAULT_WRONG_EPOCH
    assert answer.issued.command_id == "cmd-1"
    assert isinstance(harness.car.receive(harness.command("cmd-1", 20_000)), AcceptedOrder)
    assert isinstance(harness.car.receive(lost), KnownOrder)
    assert harness.car.actuations == ["cmd-1"]


def test_an_order_is_valid_by_the_vehicles_clock_not_by_the_wall(harness: ProtocolHarness) -> None:
    data = harness.command(valid_millis=5_000)
    harness.car.drift_millis += 4_999
    assert isinstance(harness.car.receive(data), AcceptedOrder)

    late = harness.command("late", 5_000)
    harness.car.drift_millis += 5_000
    faulted = harness.car.receive(late)
    assert isinstance(faulted, RefusedOrder)
    assert faulted.fault is Fault.EXPIRED


def test_a_vehicle_whose_clock_runs_slow_is_brought_back_in_step(harness: ProtocolHarness) -> None:
    harness.car.drift_millis = -60_000
    harness.clock.advance(60)
    faulted = harness.car.receive(harness.command())
    assert isinstance(faulted, RefusedOrder)
    assert faulted.fault is Fault.VALID_TOO_LONG
    assert faulted.answer is not None

    harness.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(harness.car.receive(harness.command("again")), AcceptedOrder)


def test_a_hello_that_took_long_only_shortens(harness: ProtocolHarness) -> None:
    late = harness.car.hello()
    harness.clock.advance(25)
    harness.store.sessions.clear()
    harness.cloud.open_hello(VIN, late)

    data = harness.command()
    harness.clock.advance(5)

    opened = harness.car.receive(data)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.EXPIRED


def test_a_replayed_hello_does_not_set_the_clock_back(harness: ProtocolHarness) -> None:
    old = harness.car.hello()
    harness.clock.advance(600)
    harness.greet()
    before = harness.store.sessions[VIN].clock_lead_millis

    harness.cloud.open_hello(VIN, old)

    assert harness.store.sessions[VIN].clock_lead_millis == before


def test_a_replayed_hello_does_not_bring_an_epoch_back(harness: ProtocolHarness) -> None:
    old = harness.car.hello()
    harness.car.boot()
    harness.greet()

    assert refusal(harness.cloud.open_hello, VIN, old) is Fault.STALE_SESSION
    assert isinstance(harness.car.receive(harness.command()), AcceptedOrder)


def test_a_hello_that_was_kept_back_is_corrected_by_the_first_refusal(harness: ProtocolHarness) -> None:
    harness.car.boot()
    kept_back = harness.car.hello()
    harness.car.boot()
    harness.greet()
    harness.cloud.open_hello(VIN, kept_back)

    faulted = harness.car.receive(harness.command())
    assert isinstance(faulted, RefusedOrder)
    assert faulted.answer is not None
    harness.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(harness.car.receive(harness.command()), AcceptedOrder)
    assert harness.store.sessions[VIN].epoch == harness.car.epoch


def test_counters_are_not_rolled_back_in_an_epoch_that_comes_back(harness: ProtocolHarness) -> None:
    first = harness.car.epoch
    harness.command("a")
    harness.command("b")
    session = harness.store.sessions[VIN]
    info = session_pb2.SessionInfo(epoch=bytes(16), report_public_key=bytes(32), report_key_id=bytes(8))
    session = session.learn(info, 0)
    info.epoch = first
    session = session.learn(info, 0, is_fresh=True)

    assert session.issue(Domain.COMMAND)[1] == 3


def test_ended_epochs_are_remembered_but_not_for_ever(harness: ProtocolHarness) -> None:
    for _ in range(EPOCHS_REMEMBERED + 3):
        harness.car.boot()
        harness.greet()

    assert len(harness.store.sessions[VIN].ended) == EPOCHS_REMEMBERED


def test_a_challenge_is_answered(harness: ProtocolHarness) -> None:
    challenge = harness.car.side.open_challenge(harness.cloud.seal_challenge(VIN))

    info = harness.cloud.open_hello(VIN, harness.car.hello(challenge))

    assert info.challenge == challenge
    assert harness.store.sessions[VIN].challenge == b""


def test_the_answer_to_a_challenge_counts_once_recently_and_for_the_last_challenge(
    harness: ProtocolHarness,
) -> None:
    first = harness.car.side.open_challenge(harness.cloud.seal_challenge(VIN))
    second = harness.car.side.open_challenge(harness.cloud.seal_challenge(VIN))
    answer = harness.car.hello(second)

    assert refusal(harness.cloud.open_hello, VIN, harness.car.hello(first)) is Fault.STALE_SESSION
    assert refusal(harness.cloud.open_hello, VIN, harness.car.hello(bytes(16))) is Fault.STALE_SESSION
    harness.cloud.open_hello(VIN, answer)
    assert refusal(harness.cloud.open_hello, VIN, answer) is Fault.STALE_SESSION

    third = harness.car.side.open_challenge(harness.cloud.seal_challenge(VIN))
    harness.clock.advance(60.001)
    assert refusal(harness.cloud.open_hello, VIN, harness.car.hello(third)) is Fault.STALE_SESSION


def test_a_challenge_is_only_taken_from_the_cloud_and_for_this_car(harness: ProtocolHarness) -> None:
    for_me = harness.cloud.seal_challenge(VIN)
    for_other = harness.cloud.seal_challenge(OTHER_VIN)

    assert refusal(harness.other.side.open_challenge, for_me) is Fault.NOT_FOR_US
    resealed = harness.car.seal_to(harness.other.envelope_of(for_other))
    assert refusal(harness.car.side.open_challenge, resealed) is Fault.BAD_SIGNATURE
    assert refusal(harness.car.side.open_challenge, harness.command()) is Fault.BAD_SIGNATURE
    assert isinstance(harness.car.side.open_order(Domain.COMMAND, for_me), RefusedOrder)


def test_settings_are_the_owners(harness: ProtocolHarness) -> None:
    settings = command_pb2.ApplyConfig(version=3)

    shared = harness.cloud.seal_order(VIN, settings, session_pb2.ROLE_SHARED_USER, 60_000)
    owners = harness.cloud.seal_order(VIN, settings, OWNER, 60_000)

    opened = harness.car.side.open_order(Domain.CONFIG, shared)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.ROLE_NOT_ALLOWED
    accepted = harness.car.side.open_order(Domain.CONFIG, owners)
    assert isinstance(accepted, AcceptedOrder)
    assert accepted.order_id == "3"


def test_an_older_unlock_cannot_follow_a_newer_lock(harness: ProtocolHarness) -> None:
    unlock_first = harness.command("unlock")
    lock_then = harness.command("lock")
    harness.car.receive(lock_then)

    opened = harness.car.receive(unlock_first)

    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.COUNTER_NOT_NEW
    assert harness.car.actuations == ["lock"]


def spent(session: CloudSession) -> CloudSession:
    """A record in which a claim of before COUNTER_LEAD was accepted."""
    current = session.current.with_issued(Domain.COMMAND, MAX_COUNTER)
    return replace(session, current=current)


def test_an_epoch_without_counters_cannot_be_reached_and_the_next_one_can(harness: ProtocolHarness) -> None:
    harness.store.sessions[VIN] = spent(harness.store.sessions[VIN])

    with pytest.raises(NotReachableError):
        harness.command("a")
    harness.greet()  # and nothing is healed by what it says of the same epoch
    with pytest.raises(NotReachableError):
        harness.command("b")

    harness.car.boot()
    harness.greet()
    assert isinstance(harness.car.receive(harness.command("c")), AcceptedOrder)


def claim(harness: ProtocolHarness, *claims: tuple[str, int], epoch: bytes | None = None) -> CloudSession:
    session = harness.store.sessions[VIN]
    info = session_pb2.SessionInfo(
        epoch=epoch or session.epoch, report_public_key=bytes(32), report_key_id=bytes(8)
    )
    for domain, counter in claims:
        info.counters.add(domain=domain, counter=counter)
    return session.learn(info, harness.clock.millis)


@pytest.mark.parametrize("epoch", [None, bytes(16)])
def test_a_claim_beyond_what_was_issued_is_bounded(harness: ProtocolHarness, epoch: bytes | None) -> None:
    """A restored record has forgotten some; no claim takes the counters of the epoch away."""
    lead = session_module.COUNTER_LEAD
    assert claim(harness, ("cmd.door", lead), epoch=epoch).issue(Domain.COMMAND)[1] == lead + 1
    for beyond in (lead + 1, MAX_COUNTER):
        assert refusal(claim, harness, ("cmd.door", beyond)) is Fault.COUNTER_TOO_LARGE
    assert refusal(claim, harness, ("cmd.door", MAX_COUNTER + 1)) is Fault.MALFORMED


def test_one_message_claims_each_domain_once_and_few(harness: ProtocolHarness) -> None:
    twice = (("cmd.door", 1_000_000), ("cmd.door", 2_000_000))
    assert refusal(claim, harness, *twice) is Fault.MALFORMED
    many = tuple((f"cmd.of{n}", 1) for n in range(session_module.MOST_COUNTERS + 1))
    assert refusal(claim, harness, *many) is Fault.MALFORMED
    assert claim(harness, *many[:-1]).issue(Domain.COMMAND)[1] == 1


def test_a_session_survives_being_stored(harness: ProtocolHarness) -> None:
    harness.cloud.open_answer(VIN, Domain.RESULT, harness.answered().data)
    harness.car.boot()
    harness.greet()
    harness.cloud.seal_challenge(VIN)
    session = harness.store.sessions[VIN]

    assert session_record.load(session_record.dump(session)) == session


def test_the_window_takes_each_counter_once() -> None:
    window = Window()
    taken = [5, 3, 70, 69, 7, 200, 137]
    for counter in taken:
        window.check(counter)
        window = window.with_counter(counter)

    for counter in [*taken, 0, 200 - WIDTH]:
        assert refusal(window.check, counter) is Fault.COUNTER_NOT_NEW
    assert refusal(window.check, MAX_COUNTER + 1) is Fault.COUNTER_TOO_LARGE
    window.check(199)
    assert window.with_counter(1) == window
