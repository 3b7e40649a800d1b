"""The recorder of status reads, and the advisory states of what stands in a command's way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1.door_command_pb2 import CommandStatus
from ecarus.remotecontrol.door.v1.door_update_pb2 import CommandStatusChange, DoorUpdate, DoorUpdateType
from ecarus.remotecontrol.door.v1.room_event_pb2 import StatusChecks, VehicleCondition

from services.platform.storage import StorageUnavailableError
from services.status.adapters.confirmation_sweeper import ConfirmationSweeper
from services.status.adapters.status_read_log import StatusReadLog
from services.status.adapters.translate import checks_message
from services.status.adapters.vehicle_link import publish_update
from services.status.adapters.vehicle_translate import advisory_payload
from services.status.domain.doors import OPEN, PRESENT, Report, StatusRead
from services.status.domain.updates import LogPosition
from services.status.usecases.advisories import AdvisoryFilter, StatusAdvisory
from services.status.usecases.hub import Hub
from services.status.usecases.presence import LostVehicles, SilentVehicles
from services.status.usecases.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.platform.outbox import OutgoingMessage

VIN = "KMHSH81C7LU123456"


@dataclass(slots=True)
class FakeStore:
    """Keeps what it is sent; `away` refuses it."""

    away: bool = False
    sent: list[OutgoingMessage] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    during_commit: Callable[[], None] = lambda: None

    async def send(self, messages: Sequence[OutgoingMessage], /) -> None:
        if self.away:
            raise StorageUnavailableError("away")
        self.during_commit()
        self.sent += messages
        self.arrived.set()

    @property
    def check_ids(self) -> list[str]:
        return [c.check_id for m in self.sent for c in StatusChecks.FromString(m.payload).checks]


def check(number: int) -> StatusRead:
    return StatusRead(str(number), VIN, 1_000_000, "user-123", "user-123", "WEB", "c", 0.001)


def log_of(store: FakeStore, batch: int = 3, limit: int = 10) -> StatusReadLog:
    return StatusReadLog(
        store, checks_message, lambda: 2_000_000, gather_seconds=0.005, batch=batch, limit=limit
    )


async def test_looks_are_committed_many_to_a_message() -> None:
    store = FakeStore()
    log = log_of(store)
    for number in range(7):
        log.record(check(number))
    running = asyncio.create_task(log.run())
    await asyncio.wait_for(store.arrived.wait(), 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await log.flush()
    assert store.check_ids == [str(n) for n in range(7)]
    assert len(store.sent) == 3


async def test_looks_that_come_during_a_commit_are_gathered_for_the_next() -> None:
    store = FakeStore()
    log = log_of(store, batch=100, limit=1_000)
    store.during_commit = lambda: log.record(check(2))
    log.record(check(1))
    await log.flush()
    assert store.check_ids == ["1"]
    await log.flush()
    assert store.check_ids == ["1", "2"]


async def test_looks_wait_for_a_store_that_is_away_and_are_bounded() -> None:
    store = FakeStore(away=True)
    log = log_of(store)
    for number in range(10):
        log.record(check(number))
    with pytest.raises(StorageUnavailableError):
        await log.flush()
    with pytest.raises(StorageUnavailableError):
        log.record(check(10))
    store.away = False
    await log.flush()
    assert store.check_ids == [str(n) for n in range(10)]
    log.record(check(10))


def report(flags: int = PRESENT, ignition: int = 1, speed_kmh: float = 0.0, vin: str = VIN) -> Report:
    return Report(vin, 1, "b", 1, bytes([flags, 0, 0, 0, 0, 0]), ignition, speed_kmh, b"")


def test_conditions_are_told_on_change_again_after_a_while_and_when_they_end() -> None:
    told: list[StatusAdvisory] = []
    now = [0.0]
    teller = AdvisoryFilter(told.extend, lambda: now[0])
    teller.consider([report()], ())
    assert told == []
    driving = report(ignition=3, speed_kmh=50.0)
    for seconds in (0.0, 1.0, 4.9, 5.0):
        now[0] = seconds
        teller.consider([driving], ())
    assert told == [StatusAdvisory(driving, ended=False)] * 2
    standing = report(flags=PRESENT | OPEN)
    teller.consider([standing], ())
    teller.consider([report()], ())
    teller.consider([report()], ())
    assert told[2:] == [StatusAdvisory(standing, ended=False), StatusAdvisory(report(), ended=True)]


def test_accessory_power_alone_stands_in_nobodys_way() -> None:
    told: list[StatusAdvisory] = []
    AdvisoryFilter(told.extend, lambda: 0.0).consider([report(ignition=2)], ())
    assert told == []


def test_remembered_conditions_are_bounded() -> None:
    teller = AdvisoryFilter(lambda _: None, lambda: 0.0, limit=2)
    teller.consider([report(speed_kmh=1.0, vin=f"KMHSH81C7LU00000{n}") for n in range(5)], ())
    assert len(teller._told) == 2


def test_sleep_is_told_once_and_so_is_waking_by_whoever_hears_of_it() -> None:
    told: list[StatusAdvisory] = []
    teller = AdvisoryFilter(told.extend, lambda: 0.0)
    goodbye = replace(report(), asleep=True)
    teller.consider([goodbye], ())
    teller.consider([report()], {VIN})
    teller.consider([report()], ())
    assert told == [StatusAdvisory(goodbye, ended=True), StatusAdvisory(report(), ended=True)]
    driving = report(speed_kmh=1.0)
    teller.consider([driving], ())
    teller.consider([driving], {VIN})  # another replica heard that it slept in between
    assert told[2:] == [StatusAdvisory(driving, ended=False)] * 2


def test_a_vehicle_that_sleeps_with_its_door_open_says_both() -> None:
    told: list[StatusAdvisory] = []
    goodbye = replace(report(flags=PRESENT | OPEN), asleep=True)
    AdvisoryFilter(told.extend, lambda: 0.0).consider([goodbye], ())
    received = VehicleCondition.FromString(advisory_payload(told[0].report, ended=told[0].ended))
    assert (received.asleep, list(received.open_doors)) == (True, ["driver"])


def test_losses_are_bounded_and_a_later_report_outweighs_them() -> None:
    lost = LostVehicles(limit=2)
    for number in range(3):
        lost.note(f"KMHSH81C7LU00000{number}", 10)
    assert [lost.is_lost(f"KMHSH81C7LU00000{n}", 10) for n in range(3)] == [False, True, True]
    assert not lost.is_lost("KMHSH81C7LU000002", 11)


def test_a_condition_is_as_old_as_its_arrival_whatever_the_vehicle_s_clock_says() -> None:
    ahead = replace(report(speed_kmh=50.0), observed_at_us=300_000_000, received_at_us=10_000_000)
    received = VehicleCondition.FromString(advisory_payload(ahead, ended=False))
    assert received.observed_at.ToMicroseconds() == 10_000_000


def timeout(*, may_have_succeeded: bool, late: bool = False) -> bytes:
    update = DoorUpdate(
        type=DoorUpdateType.COMMAND_STATUS_UPDATE,
        vin=VIN,
        command_status=CommandStatusChange(
            status=CommandStatus.TIMEOUT, may_have_succeeded=may_have_succeeded, late=late or None
        ),
    )
    update.timestamp.FromMicroseconds(77)
    return update.SerializeToString()


def test_a_command_without_an_answer_tells_of_a_lost_vehicle_and_no_other_update_does() -> None:
    told: list[tuple[str, int]] = []
    lost = LostVehicles(publish=lambda vin, at: told.append((vin, at)))
    hub = Hub(lambda: 0.0, lambda: 0.0, shared=Streams(50, 50, 50))
    for sequence, payload in enumerate(
        (
            timeout(may_have_succeeded=False),  # nothing was sent, or the vehicle says that it did nothing
            timeout(may_have_succeeded=True, late=True),  # it has answered now
            DoorUpdate(type=DoorUpdateType.DOOR_STATUS_UPDATE, vin=VIN).SerializeToString(),
            b"\xff",
        )
    ):
        publish_update(hub, lost, f"door.command.{VIN}", LogPosition("e", sequence), payload)
    for other in ("status", "diagnostics", "config"):  # not theirs to tell
        publish_update(
            hub, lost, f"door.{other}.{VIN}", LogPosition("e", 8), timeout(may_have_succeeded=True)
        )
    assert told == []
    publish_update(hub, lost, f"door.command.{VIN}", LogPosition("e", 9), timeout(may_have_succeeded=True))
    assert told == [(VIN, 77)]
    assert lost.is_lost(VIN, 77)
    assert lost.is_unanswering(VIN, 77)
    assert not lost.is_lost(VIN, 78)


def test_who_is_lost_is_told_once_and_so_is_that_it_is_back() -> None:
    told: list[StatusAdvisory] = []
    gone: list[tuple[str, int]] = []
    teller = AdvisoryFilter(told.extend, lambda: 0.0, tell_lost=lambda vin, at: gone.append((vin, at)))
    teller.lost(VIN, 10)
    teller.lost(VIN, 12)
    assert gone == [(VIN, 10)]
    teller.consider([replace(report(), received_at_us=12)], ())  # was on its way before
    assert told == []
    back = replace(report(), received_at_us=13)
    teller.consider([back], ())
    teller.consider([back], ())
    assert told == [StatusAdvisory(back, ended=True)]
    teller.lost(VIN, 20)
    assert gone == [(VIN, 10), (VIN, 20)]


def test_who_falls_silent_is_lost_once_unless_it_said_that_it_sleeps() -> None:
    gone: list[tuple[str, int]] = []
    teller = AdvisoryFilter(lambda _: None, lambda: 0.0, tell_lost=lambda vin, at: gone.append((vin, at)))
    sleeper = "KMHSH81C7LU000001"
    teller.consider([replace(report(), stale_at_us=65), replace(report(vin=sleeper), stale_at_us=65)], ())
    teller.consider([replace(report(vin=sleeper), asleep=True, stale_at_us=65)], ())
    for now_us in (65, 66, 67):
        teller.silent.look(now_us)
    assert gone == [(VIN, 65)]


def test_those_of_whom_silence_is_noticed_are_bounded() -> None:
    gone: list[str] = []
    silent = SilentVehicles(lambda vin, _: gone.append(vin), limit=2)
    silent.received([replace(report(vin=f"KMHSH81C7LU00000{n}"), stale_at_us=1) for n in range(3)])
    silent.look(2)
    assert gone == ["KMHSH81C7LU000001", "KMHSH81C7LU000002"]


@dataclass(slots=True)
class FakeDoubts:
    """Has `left` pending confirmations to settle, one at a time; `away` refuses once."""

    left: int = 2
    away: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def resolve(self, unexplained_before_us: int, now_us: int) -> int:
        if self.away:
            self.away = False
            raise StorageUnavailableError("away")
        self.asked.append((unexplained_before_us, now_us))
        self.left -= 1
        return int(self.left >= 0)


async def test_doubts_are_ended_in_time() -> None:
    store = FakeDoubts(away=True)
    day_us = 24 * 3_600 * 1_000_000
    now_us = [day_us]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_us[0] += 1_800 * 1_000_000
        if len(slept) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ConfirmationSweeper(store, lambda: now_us[0], 10.0, sleep).run()
    assert store.left < 0
    assert {now - before for before, now in store.asked} == {10_000_000}


async def test_a_look_that_cannot_be_told_keeps_no_other_out_of_the_history() -> None:
    store = FakeStore()
    log = log_of(store, batch=100)
    for number in range(5):
        log.record(check(number))
    log.record(replace(check(5), user_id="a lone surrogate: \ud800"))
    log.record(check(6))
    await log.flush()
    assert sorted(store.check_ids) == ["0", "1", "2", "3", "4", "6"]
