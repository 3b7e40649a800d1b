"""The operator sees a room's dead letters and has them taken in, on a broker with the mesh's permissions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
import pytest_asyncio
from sqlalchemy import MetaData

from protocol.broker import VEHICLE_EVENTS, Event, event_subject
from services.runtime import dead_letter_desk
from services.runtime.consumer import Consumer, ConsumerPlan, Delivery, Poison
from services.runtime.database import StorageUnavailable, open_database
from services.runtime.dead_letter_desk import REPLAYED_AT_ONCE, DeadLetterDesk
from services.runtime.dead_letters import DeadLetter, DeadLetters, LetterLimits
from services.runtime.jetstream import connect
from tests.messaging.vehicle_gate import VIN, WAIT_SECONDS, Gate, free_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.runtime.database import Database

ROOM = "config"
SUBJECT = event_subject(VIN, Event.CONFIG)
PLAN = ConsumerPlan(VEHICLE_EVENTS, "config-test", (event_subject("*", Event.CONFIG),))
METADATA = MetaData()
MANY = LetterLimits(per_sender=1_000)
LETTERS = DeadLetters(METADATA)
START = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass
class Handler:
    """A room's handler that learns: what it understands it takes, the rest is poison."""

    understands: set[bytes] = field(default_factory=set)
    taken: list[Delivery] = field(default_factory=list)
    why_not: str = "not understood"
    fails_with: Exception | None = None
    hangs: bool = False

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Poison]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails_with is not None:
            raise self.fails_with
        known = [d for d in deliveries if d.data in self.understands]
        self.taken += known
        return [Poison(d, self.why_not) for d in deliveries if d not in known]


@dataclass
class Room:
    """The room's side at the gate, and the operator's questions to it."""

    gate: Gate
    database: Database
    handler: Handler
    hours: int = 0
    has_buried: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        self.hours += 1
        return START + timedelta(hours=self.hours)

    async def bury(self, poison: Sequence[Poison]) -> None:
        letters = [DeadLetter(p.delivery.subject, p.delivery.data, p.reason, START) for p in poison]
        await LETTERS.bury(self.database, letters, MANY)
        self.has_buried.set()

    async def buried(self, *texts: str, subject: str = SUBJECT, reason: str = "no") -> None:
        await LETTERS.bury(
            self.database, [DeadLetter(subject, t.encode(), reason, START) for t in texts], MANY
        )

    async def raw(self, deed: str, data: bytes) -> dict[str, Any]:
        subject = f"operator.deadletter.{ROOM}.{deed}"
        answer: dict[str, Any] = json.loads(
            (await self.gate.operator.request(subject, data, timeout=WAIT_SECONDS)).data
        )
        return answer

    async def ask(self, deed: str, **request: Any) -> dict[str, Any]:
        return await self.raw(deed, json.dumps(request).encode())

    async def listed(self) -> list[dict[str, Any]]:
        return list((await self.ask("list"))["letters"])

    async def replay(self, letter_id: int) -> dict[str, Any]:
        (one,) = (await self.ask("replay", id=letter_id))["replays"]
        return dict(one)


@pytest_asyncio.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    gate = Gate(tmp_path / "doors", free_base())
    database = await open_database(f"sqlite:///{tmp_path}/room.sqlite3")
    await database.write(METADATA.create_all)
    try:
        await gate.open()
        broker = await connect(gate.room_settings(ROOM), "room-config")
        room = Room(gate, database, Handler())
        handlers = [(PLAN.subjects, room.handler.handle)]
        await DeadLetterDesk(ROOM, broker, database, LETTERS, handlers, room.now).open()
        consumer = asyncio.create_task(Consumer(broker, PLAN, room.handler.handle, room.bury).run())
        yield room
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        await broker.close()
    finally:
        await gate.close()
        await database.close()


async def test_a_cars_garbage_is_seen_and_taken_in_once_the_room_understands_it(room: Room) -> None:
    car = room.gate.link("nats")
    await car.open()
    await car.publish(Event.CONFIG, "1", b"garbage")
    await car.close()

    async with asyncio.timeout(WAIT_SECONDS):
        await room.has_buried.wait()

    (letter,) = await room.listed()
    assert letter == {
        "id": 1,
        "subject": SUBJECT,
        "reason": "not understood",
        "receivedAt": START.isoformat(),
        "bytes": 7,
        "whole": True,
        "count": 1,
        "dropped": 0,
        "replayedAt": None,
    }
    assert await room.replay(1) == {**letter, "problem": "not understood"}
    assert await room.listed() == [letter]

    room.handler.understands = {b"garbage"}
    done = await room.replay(1)
    assert done == {**letter, "replayedAt": (START + timedelta(hours=1)).isoformat()}
    assert await room.listed() == [done]
    assert room.handler.taken == [Delivery(SUBJECT, b"garbage")]
    events = await room.gate.jetstream.stream_info(VEHICLE_EVENTS)
    assert events.state.messages == 1


async def test_a_letter_that_was_taken_is_not_handed_over_again(room: Room) -> None:
    await room.buried("a")
    room.handler.understands = {b"a"}
    first = await room.replay(1)
    assert await room.replay(1) == first
    assert await room.ask("replay", after=0) == {"replays": [], "after": None}
    assert len(room.handler.taken) == 1


async def test_all_that_wait_are_taken_oldest_first_and_those_not_understood_stay(room: Room) -> None:
    texts = [str(n) for n in range(REPLAYED_AT_ONCE + 5)]
    await room.buried(*texts)
    room.handler.understands = {t.encode() for t in texts} - {b"3"}
    first = await room.ask("replay", after=0)
    second = await room.ask("replay", after=first["after"])
    assert (len(first["replays"]), second["after"]) == (REPLAYED_AT_ONCE, None)
    stay = [one["id"] for one in first["replays"] + second["replays"] if "problem" in one]
    assert stay == [4]
    assert [d.data.decode() for d in room.handler.taken] == [t for t in texts if t != "3"]
    again = await room.ask("replay", after=0)
    assert [(one["id"], one["problem"]) for one in again["replays"]] == [(4, "not understood")]


async def test_whatever_the_handler_meets_the_letter_stays_and_the_operator_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.buried("a")
    await room.buried("b", subject="nobody.takes.this")
    room.handler.understands = {b"a"}

    room.handler.fails_with = StorageUnavailable("away")
    assert await room.ask("replay", id=1) == {"problem": "the record is away: try again"}
    room.handler.fails_with = RuntimeError("a defect")
    assert (await room.replay(1))["problem"] == "RuntimeError: a defect"
    room.handler.hangs = True
    monkeypatch.setattr(dead_letter_desk, "HANDLER_SECONDS", 0.05)
    assert "perhaps taken" in (await room.replay(1))["problem"]
    assert "takes nothing" in (await room.replay(2))["problem"]

    room.handler.hangs, room.handler.fails_with = False, None
    assert [one["replayedAt"] for one in await room.listed()] == [None, None]
    assert (await room.replay(1))["replayedAt"]


async def test_however_long_the_letters_are_a_list_is_one_message(room: Room) -> None:
    await room.buried(*("x" for _ in range(150)), reason="\N{GRINNING FACE}" * 2_000)
    found: list[int] = []
    request: dict[str, int] = {"limit": 200}
    more = True
    while more:
        told = await room.ask("list", **request)
        assert told["letters"]
        found += [letter["id"] for letter in told["letters"]]
        request["before"], more = found[-1], told["more"]
    assert found == list(range(150, 0, -1))
    room.handler.why_not = "\N{GRINNING FACE}" * 2_000
    assert len((await room.ask("replay", after=0))["replays"]) == REPLAYED_AT_ONCE


async def test_a_list_has_fifty_unless_it_is_told(room: Room) -> None:
    assert await room.raw("list", b"") == {"letters": [], "more": False}
    await room.buried(*("x" for _ in range(51)))
    told = await room.ask("list")
    assert (len(told["letters"]), told["letters"][0]["id"], told["more"]) == (50, 51, True)
    assert len((await room.ask("list", limit=51))["letters"]) == 51


async def test_the_operator_is_told_what_is_wrong(room: Room) -> None:
    for deed, request, sentence in (
        ("dance", {}, "no such request"),
        ("list", {"limit": 201}, "limit is a whole number from 1 to 200"),
        ("list", {"before": "x"}, "before is a whole number"),
        ("list", {"before": None}, "before is a whole number"),
        ("replay", {}, "say which letter"),
        ("replay", {"id": 1, "after": 0}, "say which letter"),
        ("replay", {"id": 2**31}, "id is a whole number"),
        ("replay", {"after": -1}, "after is a whole number"),
        ("replay", {"id": 7}, "there is no letter 7"),
    ):
        assert sentence in (await room.ask(deed, **request))["problem"]
    assert "not JSON" in (await room.raw("list", b"{"))["problem"]


async def test_a_room_neither_asks_nor_hears_another(room: Room) -> None:
    other = await room.gate.client("diagnostics", "diagnostics")
    await room.buried("a")
    with pytest.raises(nats.errors.TimeoutError):
        await other.request(f"operator.deadletter.{ROOM}.list", b"", timeout=0.5)
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(message.data)

    await other.subscribe(f"operator.deadletter.{ROOM}.*", cb=hear)
    await other.flush()
    assert len(await room.listed()) == 1
    await other.flush()
    assert heard == []
    with pytest.raises(nats.errors.NoRespondersError):
        await room.gate.operator.request("operator.deadletter.diagnostics.list", b"", timeout=WAIT_SECONDS)
