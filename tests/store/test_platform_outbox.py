"""The outbox relay against a broker that behaves: it keeps, refuses, dies, and recognises repeats."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from services.platform import outbox as outbox_module
from services.platform.database import open_database
from tests.store.outbox_harness import (
    METADATA,
    OUTBOX,
    START,
    FakeClock,
    OutboxHarness,
    WatchedDatabase,
    breaking,
    to,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.platform.outbox import OutgoingMessage


@pytest.fixture
async def service(empty_database_url: str) -> AsyncIterator[OutboxHarness]:
    database = WatchedDatabase(await open_database(empty_database_url))
    await database.write(METADATA.create_all)
    service = OutboxHarness(database, FakeClock(database.settle))
    yield service
    await service.stop()
    await database.close()


async def test_messages_leave_in_the_order_of_their_commits_and_are_marked(service: OutboxHarness) -> None:
    relay = await service.relay()
    ids = [f"m-{n}" for n in range(600)]
    relay.hand_over(await service.commit(*ids))
    await service.database.settle()
    assert service.broker.kept == ids
    await service.clock.advance(0.2)
    assert await service.unsent() == []


async def test_what_is_sent_again_keeps_the_time_of_its_first_sending(service: OutboxHarness) -> None:
    relay = await service.relay()
    messages = await service.commit("a")
    query = select(OUTBOX.table.c.sent_at)
    for seconds in (0.05, 9, 9):  # again before it is marked, and after
        relay.hand_over([replace(messages[0], created_at=service.clock.now())])
        await service.database.settle()
        await service.clock.advance(seconds)
    assert service.broker.arrived == ["a", "a", "a"]
    assert await service.database.read(lambda connection: connection.execute(query).scalars().all()) == [
        START
    ]


async def test_a_relay_leaves_other_queues_alone(service: OutboxHarness) -> None:
    relay = await service.relay()
    relay.hand_over(await service.commit("other", queue="updates"))
    await service.clock.advance(10)
    assert service.broker.arrived == []
    assert await service.unsent() == ["other"]


async def test_a_crash_between_publish_and_mark_repeats_under_the_same_id(service: OutboxHarness) -> None:
    relay = await service.relay()
    relay.hand_over(await service.commit("a", "b"))
    await service.database.settle()
    await service.crash()
    assert await service.unsent() == ["a", "b"]

    await service.relay()
    await service.clock.advance(1)
    assert service.broker.arrived == ["a", "b", "a", "b"]
    assert service.broker.kept == ["a", "b"]
    assert await service.unsent() == []


async def test_a_crash_before_publish_loses_nothing(service: OutboxHarness) -> None:
    await service.commit("a", "b")
    await service.relay()
    assert service.broker.kept == ["a", "b"]


async def test_a_graceful_stop_marks_what_was_sent(service: OutboxHarness) -> None:
    relay = await service.relay()
    relay.hand_over(await service.commit("a"))
    await service.database.settle()
    await service.stop()
    assert await service.unsent() == []


async def test_a_broker_that_is_away_is_neither_forgotten_nor_hammered(service: OutboxHarness) -> None:
    service.broker.away = True
    relay = await service.relay()
    relay.hand_over(await service.commit("a", "b"))
    await service.clock.advance(20)
    assert 30 <= service.broker.calls <= 50  # every half second
    service.broker.away = False
    await service.clock.advance(1)
    assert service.broker.kept == ["a", "b"]
    assert service.broker.arrived == ["a", "b"]


async def test_a_refused_message_does_not_hold_up_the_others(service: OutboxHarness) -> None:
    service.broker.refused = {"bad"}
    relay = await service.relay()
    relay.hand_over(await service.commit("bad", "good"))
    await service.database.settle()
    assert service.broker.kept == ["good"]
    relay.hand_over(await service.commit("next"))
    await service.clock.advance(1)
    assert service.broker.kept == ["good", "next"]
    assert await service.unsent() == ["bad"]


async def test_rows_that_nobody_holds_are_found_when_they_are_old_enough(service: OutboxHarness) -> None:
    await service.relay()
    await service.commit("of a dead replica")
    await service.clock.advance(2.5)
    assert service.broker.arrived == []
    await service.clock.advance(2)
    assert service.broker.kept == ["of a dead replica"]


async def test_a_backlog_of_many_pages_leaves_at_once_and_once(service: OutboxHarness) -> None:
    ids = [f"m-{n}" for n in range(1_000)]
    await service.commit(*ids)
    await service.relay()
    await service.clock.advance(1)
    assert service.broker.arrived == ids


async def test_memory_is_bounded_and_the_rest_is_found_later(
    service: OutboxHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_HELD", 10)
    service.broker.away = True
    relay = await service.relay()
    ids = [f"m-{n}" for n in range(25)]
    relay.hand_over(await service.commit(*ids))
    assert len(relay._held) == 10
    service.broker.away = False
    await service.clock.advance(10)
    assert service.broker.arrived == ids


async def test_what_is_in_flight_is_not_sent_twice_by_the_scan(service: OutboxHarness) -> None:
    relay = await service.relay()
    service.broker.harness = asyncio.Event()
    relay.hand_over(await service.commit("slow"))
    await service.clock.advance(10)
    service.broker.harness.set()
    await service.clock.advance(10)
    assert service.broker.arrived == ["slow"]


async def test_what_had_to_leave_first_has_left_and_what_is_for_others_is_not_waited_for(
    service: OutboxHarness,
) -> None:
    service.broker.harness = asyncio.Event()
    relay = await service.relay()
    relay.hand_over(to("a", "a1"))
    await service.database.settle()  # it is on its way now
    relay.hand_over(to("b", "b1"))
    left = [asyncio.create_task(relay.left({subject})) for subject in ("a", "b", "c")]
    await service.database.settle()
    assert [each.done() for each in left] == [False, False, True]
    service.broker.harness.set()
    await asyncio.wait_for(asyncio.gather(*left), 30)
    assert service.broker.arrived == ["a1", "b1"]


async def test_what_cannot_leave_is_not_waited_for_for_ever(service: OutboxHarness) -> None:
    service.broker.refused = {"a1"}
    relay = await service.relay()
    relay.hand_over(to("a", "a1", "a2"))
    relay.hand_over(to("b", "b1"))
    await asyncio.wait_for(relay.left({"a", "b"}), 30)
    assert "b1" in service.broker.kept


async def test_dropped_before_it_was_tried_it_never_leaves(service: OutboxHarness) -> None:
    service.broker.away = True
    relay = await service.relay(knows_connection=True)
    relay.hand_over(await service.commit("cancelled", "stays"))
    await service.clock.advance(5)
    assert relay.drop("cancelled") is True
    assert relay.drop("cancelled") is False
    # The scan looks before the cancellation has committed.
    await service.clock.advance(5)
    await service.database.write(lambda c: OUTBOX.cancel(c, "cancelled", service.clock.now()))
    service.broker.away = False
    await service.clock.advance(30)
    assert service.broker.arrived == ["stays"]


async def test_dropped_without_a_withdrawal_it_comes_back(service: OutboxHarness) -> None:
    service.broker.away = True
    relay = await service.relay(knows_connection=True)
    [message] = await service.commit("kept after all")
    relay.hand_over([message])
    assert relay.drop("kept after all") is True
    service.broker.away = False
    await service.clock.advance(10)
    assert service.broker.arrived == []
    await service.clock.advance(10)
    assert service.broker.kept == ["kept after all"]


async def test_what_was_tried_once_can_not_be_dropped(service: OutboxHarness) -> None:
    service.broker.confirmations_lost = True
    relay = await service.relay()
    relay.hand_over(await service.commit("perhaps kept"))
    await service.database.settle()
    assert service.broker.kept == ["perhaps kept"]
    assert relay.drop("perhaps kept") is False
    service.broker.confirmations_lost = False
    await service.clock.advance(2)
    assert await service.unsent() == []
    assert relay.drop("perhaps kept") is False
    assert not relay._tried


async def test_a_row_withdrawn_elsewhere_does_not_leave_when_the_broker_is_back(
    service: OutboxHarness,
) -> None:
    service.broker.away = True
    relay = await service.relay(knows_connection=True)
    relay.hand_over(await service.commit("withdrawn by a sweeper", "wanted"))
    await service.clock.advance(10)
    await service.database.write(lambda c: OUTBOX.cancel(c, "withdrawn by a sweeper", service.clock.now()))
    service.broker.away = False
    await service.clock.advance(2)
    assert service.broker.arrived == ["wanted"]


async def test_marks_are_made_up_for_when_the_store_was_away(service: OutboxHarness) -> None:
    relay = await service.relay()
    relay.hand_over(await service.commit(*[f"m-{n}" for n in range(1_200)]))
    await service.database.settle()
    service.database.away = True
    await service.clock.advance(5)
    service.database.away = False
    assert len(await service.unsent()) == 1_200
    await service.clock.advance(1)
    assert await service.unsent() == []
    assert len(service.broker.arrived) == 1_200


async def test_sent_rows_are_pruned_after_a_day_and_unsent_ones_never(
    service: OutboxHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "PRUNE_EVERY", timedelta(seconds=3))
    service.broker.refused = {"never accepted"}
    relay = await service.relay()
    relay.hand_over(await service.commit("sent", "never accepted"))
    await service.clock.advance(1)
    await service.stop()
    service.clock.time += timedelta(hours=25)
    await service.relay()
    await service.clock.advance(5)
    query = select(OUTBOX.table.c.message_id)
    left = await service.database.read(lambda connection: list(connection.execute(query).scalars()))
    assert left == ["never accepted"]


async def test_a_row_that_breaks_the_sending_is_set_aside_and_the_rest_go_on(service: OutboxHarness) -> None:
    aside: list[tuple[str, str]] = []

    async def set_aside(message: OutgoingMessage, reason: str) -> None:
        aside.append((message.message_id, reason))

    relay, sent = await breaking(service, {"bad"}, set_aside)
    messages = [*to("vehicle.a.cmd.door", "a1"), *to("vehicle.b.cmd.door", "bad"), *to("vehicle.c.x", "c1")]
    await service.database.write(lambda connection: OUTBOX.add(connection, messages))
    relay.hand_over(messages)
    await service.clock.advance(0.2)
    assert service.broker.kept == ["a1", "c1"]

    relay.hand_over(to("vehicle.a.cmd.door", "a2"))  # from now on the suspect is tried apart from others
    await service.clock.advance(0.01)
    assert service.broker.kept == ["a1", "c1", "a2"]
    await service.clock.advance(20)
    assert aside == [("bad", aside[0][1])]
    assert "OverflowError: a defect that one row meets" in aside[0][1]
    assert await service.unsent() == []
    tried = len(sent)
    await service.clock.advance(20)
    assert len(sent) == tried  # it is dealt with


async def test_a_row_that_breaks_the_sending_stays_where_there_is_no_place_for_it(
    service: OutboxHarness,
) -> None:
    relay, _sent = await breaking(service, {"bad"})
    messages = [*to("vehicle.b.cmd.door", "bad"), *to("vehicle.a.cmd.door", "a1")]
    await service.database.write(lambda connection: OUTBOX.add(connection, messages))
    relay.hand_over(messages)
    await service.clock.advance(30)
    assert service.broker.kept == ["a1"]
    assert await service.unsent() == ["bad"]
    await service.stop()
    relay, _sent = await breaking(service, set())  # a version without the defect
    await service.clock.advance(5)
    assert service.broker.kept == ["a1", "bad"]


async def test_what_cannot_leave_holds_up_its_own_subject_only_and_in_order(service: OutboxHarness) -> None:
    service.broker.refused = {"a1"}
    relay = await service.relay()
    relay.hand_over(to("vehicle.a.cmd.door", "a1"))
    await service.clock.advance(3)  # its pause is half a second by now
    relay.hand_over([*to("vehicle.a.cmd.door", "a2"), *to("vehicle.b.cmd.door", "b1")])
    await service.clock.advance(0.001)
    assert service.broker.kept == ["b1"]
    service.broker.refused = set()
    await service.clock.advance(1)
    assert service.broker.kept == ["b1", "a1", "a2"]


async def test_what_waits_behind_a_stalled_one_can_be_dropped(service: OutboxHarness) -> None:
    service.broker.refused = {"a1"}
    relay = await service.relay()
    relay.hand_over(to("vehicle.a.cmd.door", "a1"))
    await service.clock.advance(3)
    relay.hand_over(to("vehicle.a.cmd.door", "a2"))
    await service.clock.advance(0.001)
    assert relay.drop("a2")
    assert not relay.drop("a1")
    service.broker.refused = set()
    await service.clock.advance(1)
    assert service.broker.kept == ["a1"]


async def test_a_row_that_breaks_the_sending_does_not_hold_up_its_own_vehicles_next(
    service: OutboxHarness,
) -> None:
    relay, _sent = await breaking(service, {"bad"})
    relay.hand_over(to("vehicle.a.cmd.door", "bad"))
    await service.clock.advance(3)
    relay.hand_over(to("vehicle.a.cmd.door", "lock"))
    await service.clock.advance(0.001)
    assert service.broker.kept == ["lock"]
