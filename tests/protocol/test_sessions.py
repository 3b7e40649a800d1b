"""Epochs, clocks, counters and challenges: how both sides get in step, and stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from protocol import session as session_module
from protocol import session_record
from protocol.domains import MAX_COUNTER, Domain
from protocol.faults import Fault, MessageRefused
from protocol.session import EPOCHS_REMEMBERED, CloudSession, NotReachable
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from protocol.window import WIDTH, Window
from tests.support.stand import OTHER_VIN, OWNER, VIN, Stand, cancellation, unlock


def refusal(call: object, *arguments: object) -> Fault:
    assert callable(call)
    with pytest.raises(MessageRefused) as caught:
        call(*arguments)
    return caught.value.fault


def test_nothing_is_signed_for_a_vehicle_that_said_no_hello(stand: Stand) -> None:
    with pytest.raises(NotReachable):
        stand.cloud.seal_order(OTHER_VIN, unlock(), OWNER, 30_000)
    with pytest.raises(NotReachable):
        stand.cloud.seal_order("KMHSH81C7LU000000", unlock(), OWNER, 30_000)


def test_counters_rise_per_domain_and_survive_a_hello(stand: Stand) -> None:
    stand.command("a")
    stand.command("b")
    stand.cloud.seal_order(VIN, cancellation(), OWNER, 30_000)

    stand.greet()

    issued = stand.store.sessions[VIN].current.issued
    assert issued == {Domain.COMMAND: 2, Domain.CANCEL: 1}
    assert isinstance(stand.car.receive(stand.command("c")), AcceptedOrder)


def test_the_cloud_that_forgot_learns_the_counters_from_the_vehicle(stand: Stand) -> None:
    stand.car.receive(stand.car.forge(unlock("a"), counter=41))
    stand.store.sessions.clear()
    stand.greet()

    assert isinstance(stand.car.receive(stand.command("b")), AcceptedOrder)
    assert stand.store.sessions[VIN].current.issued[Domain.COMMAND] == 42


def test_a_reboot_is_a_new_epoch_in_which_the_same_command_can_be_signed_again(stand: Stand) -> None:
    lost = stand.command("cmd-1")
    stand.car.boot()
    faulted = stand.car.receive(lost)
    assert isinstance(faulted, RefusedOrder)
    assert faulted.answer is not None

    answer = stand.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(answer.answer, session_pb2.OrderRefused)
    assert answer.answer.fault == session_pb2.PROTOCOL_FAULT_WRONG_EPOCH
    assert answer.issued.command_id == "cmd-1"
    assert isinstance(stand.car.receive(stand.command("cmd-1", 20_000)), AcceptedOrder)
    assert isinstance(stand.car.receive(lost), KnownOrder)
    assert stand.car.actuations == ["cmd-1"]


def test_an_order_is_valid_by_the_vehicles_clock_not_by_the_wall(stand: Stand) -> None:
    data = stand.command(valid_millis=5_000)
    stand.car.drift_millis += 4_999
    assert isinstance(stand.car.receive(data), AcceptedOrder)

    late = stand.command("late", 5_000)
    stand.car.drift_millis += 5_000
    faulted = stand.car.receive(late)
    assert isinstance(faulted, RefusedOrder)
    assert faulted.fault is Fault.EXPIRED


def test_a_vehicle_whose_clock_runs_slow_is_brought_back_in_step(stand: Stand) -> None:
    stand.car.drift_millis = -60_000
    stand.clock.advance(60)
    faulted = stand.car.receive(stand.command())
    assert isinstance(faulted, RefusedOrder)
    assert faulted.fault is Fault.VALID_TOO_LONG
    assert faulted.answer is not None

    stand.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(stand.car.receive(stand.command("again")), AcceptedOrder)


def test_a_hello_that_took_long_only_shortens(stand: Stand) -> None:
    late = stand.car.hello()
    stand.clock.advance(25)
    stand.store.sessions.clear()
    stand.cloud.open_hello(VIN, late)

    data = stand.command()
    stand.clock.advance(5)

    opened = stand.car.receive(data)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.EXPIRED


def test_a_replayed_hello_does_not_set_the_clock_back(stand: Stand) -> None:
    old = stand.car.hello()
    stand.clock.advance(600)
    stand.greet()
    before = stand.store.sessions[VIN].clock_lead_millis

    stand.cloud.open_hello(VIN, old)

    assert stand.store.sessions[VIN].clock_lead_millis == before


def test_a_replayed_hello_does_not_bring_an_epoch_back(stand: Stand) -> None:
    old = stand.car.hello()
    stand.car.boot()
    stand.greet()

    assert refusal(stand.cloud.open_hello, VIN, old) is Fault.STALE_SESSION
    assert isinstance(stand.car.receive(stand.command()), AcceptedOrder)


def test_a_hello_that_was_kept_back_is_corrected_by_the_first_refusal(stand: Stand) -> None:
    stand.car.boot()
    kept_back = stand.car.hello()
    stand.car.boot()
    stand.greet()
    stand.cloud.open_hello(VIN, kept_back)

    faulted = stand.car.receive(stand.command())
    assert isinstance(faulted, RefusedOrder)
    assert faulted.answer is not None
    stand.cloud.open_answer(VIN, faulted.answer.domain, faulted.answer.data)

    assert isinstance(stand.car.receive(stand.command()), AcceptedOrder)
    assert stand.store.sessions[VIN].epoch == stand.car.epoch


def test_counters_are_not_rolled_back_in_an_epoch_that_comes_back(stand: Stand) -> None:
    first = stand.car.epoch
    stand.command("a")
    stand.command("b")
    session = stand.store.sessions[VIN]
    info = session_pb2.SessionInfo(epoch=bytes(16), report_public_key=bytes(32), report_key_id=bytes(8))
    session = session.learn(info, 0)
    info.epoch = first
    session = session.learn(info, 0, is_fresh=True)

    assert session.issue(Domain.COMMAND)[1] == 3


def test_ended_epochs_are_remembered_but_not_for_ever(stand: Stand) -> None:
    for _ in range(EPOCHS_REMEMBERED + 3):
        stand.car.boot()
        stand.greet()

    assert len(stand.store.sessions[VIN].ended) == EPOCHS_REMEMBERED


def test_a_challenge_is_answered(stand: Stand) -> None:
    challenge = stand.car.side.open_challenge(stand.cloud.seal_challenge(VIN))

    info = stand.cloud.open_hello(VIN, stand.car.hello(challenge))

    assert info.challenge == challenge
    assert stand.store.sessions[VIN].challenge == b""


def test_the_answer_to_a_challenge_counts_once_recently_and_for_the_last_challenge(stand: Stand) -> None:
    first = stand.car.side.open_challenge(stand.cloud.seal_challenge(VIN))
    second = stand.car.side.open_challenge(stand.cloud.seal_challenge(VIN))
    answer = stand.car.hello(second)

    assert refusal(stand.cloud.open_hello, VIN, stand.car.hello(first)) is Fault.STALE_SESSION
    assert refusal(stand.cloud.open_hello, VIN, stand.car.hello(bytes(16))) is Fault.STALE_SESSION
    stand.cloud.open_hello(VIN, answer)
    assert refusal(stand.cloud.open_hello, VIN, answer) is Fault.STALE_SESSION

    third = stand.car.side.open_challenge(stand.cloud.seal_challenge(VIN))
    stand.clock.advance(60.001)
    assert refusal(stand.cloud.open_hello, VIN, stand.car.hello(third)) is Fault.STALE_SESSION


def test_a_challenge_is_only_taken_from_the_cloud_and_for_this_car(stand: Stand) -> None:
    for_me = stand.cloud.seal_challenge(VIN)
    for_other = stand.cloud.seal_challenge(OTHER_VIN)

    assert refusal(stand.other.side.open_challenge, for_me) is Fault.NOT_FOR_US
    resealed = stand.car.seal_to(stand.other.envelope_of(for_other))
    assert refusal(stand.car.side.open_challenge, resealed) is Fault.BAD_SIGNATURE
    assert refusal(stand.car.side.open_challenge, stand.command()) is Fault.BAD_SIGNATURE
    assert isinstance(stand.car.side.open_order(Domain.COMMAND, for_me), RefusedOrder)


def test_settings_are_the_owners(stand: Stand) -> None:
    settings = command_pb2.ApplyConfig(version=3)

    shared = stand.cloud.seal_order(VIN, settings, session_pb2.ROLE_SHARED_USER, 60_000)
    owners = stand.cloud.seal_order(VIN, settings, OWNER, 60_000)

    opened = stand.car.side.open_order(Domain.CONFIG, shared)
    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.ROLE_NOT_ALLOWED
    accepted = stand.car.side.open_order(Domain.CONFIG, owners)
    assert isinstance(accepted, AcceptedOrder)
    assert accepted.order_id == "3"


def test_an_older_unlock_cannot_follow_a_newer_lock(stand: Stand) -> None:
    unlock_first = stand.command("unlock")
    lock_then = stand.command("lock")
    stand.car.receive(lock_then)

    opened = stand.car.receive(unlock_first)

    assert isinstance(opened, RefusedOrder)
    assert opened.fault is Fault.COUNTER_NOT_NEW
    assert stand.car.actuations == ["lock"]


def spent(session: CloudSession) -> CloudSession:
    """A record in which a claim of before COUNTER_LEAD was accepted."""
    current = session.current.with_issued(Domain.COMMAND, MAX_COUNTER)
    return replace(session, current=current)


def test_an_epoch_without_counters_cannot_be_reached_and_the_next_one_can(stand: Stand) -> None:
    stand.store.sessions[VIN] = spent(stand.store.sessions[VIN])

    with pytest.raises(NotReachable):
        stand.command("a")
    stand.greet()  # and nothing is healed by what it says of the same epoch
    with pytest.raises(NotReachable):
        stand.command("b")

    stand.car.boot()
    stand.greet()
    assert isinstance(stand.car.receive(stand.command("c")), AcceptedOrder)


def claim(stand: Stand, *claims: tuple[str, int], epoch: bytes | None = None) -> CloudSession:
    session = stand.store.sessions[VIN]
    info = session_pb2.SessionInfo(
        epoch=epoch or session.epoch, report_public_key=bytes(32), report_key_id=bytes(8)
    )
    for domain, counter in claims:
        info.counters.add(domain=domain, counter=counter)
    return session.learn(info, stand.clock.millis)


@pytest.mark.parametrize("epoch", [None, bytes(16)])
def test_a_claim_beyond_what_was_issued_is_bounded(stand: Stand, epoch: bytes | None) -> None:
    """A restored record has forgotten some; no claim takes the counters of the epoch away."""
    lead = session_module.COUNTER_LEAD
    assert claim(stand, ("cmd.door", lead), epoch=epoch).issue(Domain.COMMAND)[1] == lead + 1
    for beyond in (lead + 1, MAX_COUNTER):
        assert refusal(claim, stand, ("cmd.door", beyond)) is Fault.COUNTER_TOO_LARGE
    assert refusal(claim, stand, ("cmd.door", MAX_COUNTER + 1)) is Fault.MALFORMED


def test_one_message_claims_each_domain_once_and_few(stand: Stand) -> None:
    twice = (("cmd.door", 1_000_000), ("cmd.door", 2_000_000))
    assert refusal(claim, stand, *twice) is Fault.MALFORMED
    many = tuple((f"cmd.of{n}", 1) for n in range(session_module.MOST_COUNTERS + 1))
    assert refusal(claim, stand, *many) is Fault.MALFORMED
    assert claim(stand, *many[:-1]).issue(Domain.COMMAND)[1] == 1


def test_a_session_survives_being_stored(stand: Stand) -> None:
    stand.cloud.open_answer(VIN, Domain.RESULT, stand.answered().data)
    stand.car.boot()
    stand.greet()
    stand.cloud.seal_challenge(VIN)
    session = stand.store.sessions[VIN]

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
