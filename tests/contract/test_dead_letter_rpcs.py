"""A room's dead letters as an operator sees them and has them ingested, over real mTLS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import dead_letter_service_pb2 as contract
from ecarus.remotecontrol.access.v1.dead_letter_service_pb2_grpc import DeadLetterServiceStub
from sqlalchemy import MetaData

from protocol.streams import VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.runtime import dead_letter_replay
from services.runtime.consumer import ConsumerPlan, Delivery, PoisonMessage
from services.runtime.database import open_database
from services.runtime.dead_letter_api import dead_letter_api
from services.runtime.dead_letter_replay import REPLAYED_AT_ONCE, DeadLetterReplay
from services.runtime.dead_letters import DeadLetter, DeadLetters, LetterLimits
from services.runtime.server import RoomServer
from services.runtime.storage import StorageUnavailable
from services.runtime.subscriptions import Subscription
from tests.contract.runtime_room import VIN, reason_of, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.runtime.capability import CapabilityVerifier
    from services.runtime.database import Database
    from services.runtime.settings import RoomSettings

SUBJECT = event_subject(VIN, EventKind.CONFIG)
PLAN = ConsumerPlan(VEHICLE_EVENTS, "config-test", (event_subject("*", EventKind.CONFIG),))
METADATA = MetaData()
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

    async def handle(self, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails_with is not None:
            raise self.fails_with
        known = [d for d in deliveries if d.data in self.understands]
        self.taken += known
        return [PoisonMessage(d, self.why_not) for d in deliveries if d not in known]


@dataclass
class Letters:
    """A room with dead letters, and the operator's questions to it."""

    running: Any
    database: Database
    handler: Handler
    stub: Any = None

    async def dead_lettered(self, *texts: str, subject: str = SUBJECT, reason: str = "no") -> None:
        letters = [DeadLetter(subject, t.encode(), reason, START) for t in texts]
        await LETTERS.dead_letter(self.database, letters, LetterLimits(per_sender=1_000))

    async def listed(self, **request: int) -> list[Any]:
        return list((await self.stub.ListDeadLetters(contract.ListDeadLettersRequest(**request))).letters)

    async def replay(self, letter_id: int) -> Any:
        return await self.stub.ReplayDeadLetter(contract.ReplayDeadLetterRequest(id=letter_id))

    async def replay_waiting(self, after: int = 0) -> Any:
        request = contract.ReplayWaitingDeadLettersRequest(after=after)
        return await self.stub.ReplayWaitingDeadLetters(request)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(f"sqlite:///{tmp_path}/room.sqlite3")
    await database.write(METADATA.create_all)
    yield database
    await database.close()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def room_name() -> str:
    return "config"


@pytest.fixture
def build_room(database: Database, handler: Handler) -> Any:
    hours = iter(range(1, 1_000))
    replay = DeadLetterReplay(
        database,
        LETTERS,
        [Subscription(PLAN, handler.handle)],
        lambda: START + timedelta(hours=next(hours)),
    )

    def build(settings: RoomSettings, verifier: CapabilityVerifier) -> RoomServer:
        return RoomServer(
            settings,
            [],
            lambda _server: None,
            {},
            verifier,
            lambda _error: None,
            besides=[dead_letter_api(replay)],
        )

    return build


@pytest.fixture
def grpc_workload() -> str:
    return "operator"


@pytest.fixture
def grpc_stub_cls() -> type[DeadLetterServiceStub]:
    return DeadLetterServiceStub


@pytest.fixture
def room(grpc_server: Any, database: Database, handler: Handler, grpc_stub: Any) -> Letters:
    return Letters(grpc_server, database, handler, grpc_stub)


async def test_a_letter_is_seen_and_taken_in_once_the_room_understands_it(room: Letters) -> None:
    await room.dead_lettered("garbage", reason="not understood")
    (letter,) = await room.listed()
    received = letter.received_at.ToDatetime(UTC)
    assert (letter.id, letter.subject, letter.reason) == (1, SUBJECT, "not understood")
    assert (received, letter.payload_bytes, letter.HasField("replayed_at")) == (START, 7, False)
    assert await room.replay(1) == contract.DeadLetterReplay(letter=letter, problem="not understood")
    assert await room.listed() == [letter]

    room.handler.understands = {b"garbage"}
    done = await room.replay(1)
    assert done.problem == ""
    assert done.letter.replayed_at.ToDatetime(UTC) == START + timedelta(hours=1)
    assert await room.listed() == [done.letter]
    assert room.handler.taken == [Delivery(SUBJECT, b"garbage")]


async def test_a_letter_that_was_taken_is_not_handed_over_again(room: Letters) -> None:
    await room.dead_lettered("a")
    room.handler.understands = {b"a"}
    first = await room.replay(1)
    assert await room.replay(1) == first
    assert await room.replay_waiting() == contract.ReplayWaitingDeadLettersResponse()
    assert len(room.handler.taken) == 1


async def test_all_that_wait_are_taken_oldest_first_and_those_not_understood_stay(room: Letters) -> None:
    texts = [str(n) for n in range(REPLAYED_AT_ONCE + 5)]
    await room.dead_lettered(*texts)
    room.handler.understands = {t.encode() for t in texts} - {b"3"}
    first = await room.replay_waiting()
    second = await room.replay_waiting(first.next_after)
    assert (len(first.replays), second.HasField("next_after")) == (REPLAYED_AT_ONCE, False)
    stay = [one.letter.id for one in (*first.replays, *second.replays) if one.problem]
    assert stay == [4]
    assert [d.data.decode() for d in room.handler.taken] == [t for t in texts if t != "3"]
    again = await room.replay_waiting()
    assert [(one.letter.id, one.problem) for one in again.replays] == [(4, "not understood")]


async def test_whatever_the_handler_meets_the_letter_stays_and_the_operator_is_told(
    room: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    await room.dead_lettered("a")
    await room.dead_lettered("b", subject="nobody.takes.this")
    room.handler.understands = {b"a"}

    room.handler.fails_with = StorageUnavailable("away")
    error = await refused(room.replay(1))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    room.handler.fails_with = RuntimeError("a \ud800 defect")
    assert (await room.replay(1)).problem == "RuntimeError: a \\ud800 defect"
    room.handler.hangs = True
    monkeypatch.setattr(dead_letter_replay, "HANDLER_SECONDS", 0.05)
    assert "perhaps taken" in (await room.replay(1)).problem
    assert "takes nothing" in (await room.replay(2)).problem

    room.handler.hangs, room.handler.fails_with = False, None
    assert not any(letter.HasField("replayed_at") for letter in await room.listed())
    assert (await room.replay(1)).letter.HasField("replayed_at")


async def test_one_page_holds_fifty_unless_it_is_told_and_any_of_them_fits(room: Letters) -> None:
    assert await room.listed() == []
    await room.dead_lettered(
        *("x" for _ in range(201)), reason="\N{GRINNING FACE}" * 2_000, subject="s" * 256
    )
    first = await room.stub.ListDeadLetters(contract.ListDeadLettersRequest())
    assert (len(first.letters), first.letters[0].id, first.more) == (50, 201, True)
    assert first.letters[0].reason == "\N{GRINNING FACE}" * 300
    most = await room.listed(page_size=200)
    assert [letter.id for letter in most] == list(range(201, 1, -1))
    last = await room.stub.ListDeadLetters(contract.ListDeadLettersRequest(before=most[-1].id))
    assert ([letter.id for letter in last.letters], last.more) == ([1], False)


async def test_the_operator_is_told_what_is_wrong(room: Letters) -> None:
    for call in (
        room.listed(page_size=201),
        room.listed(page_size=-1),
        room.listed(before=0),
        room.replay(0),
        room.replay_waiting(-1),
    ):
        error = await refused(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    error = await refused(room.replay(7))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
    assert error.details() == "there is no letter 7"


@pytest.mark.parametrize(
    "workload", ["edge", "room/config", "room/diagnostics", "team/operator", f"vehicle/{VIN}"]
)
async def test_nobody_else_sees_or_replays_letters(room: Letters, workload: str) -> None:
    await room.dead_lettered("a")
    async with room.running.channel(workload) as channel:
        stub = DeadLetterServiceStub(channel)
        for call in (
            stub.ListDeadLetters(contract.ListDeadLettersRequest()),
            stub.ReplayDeadLetter(contract.ReplayDeadLetterRequest(id=1)),
            stub.ReplayWaitingDeadLetters(contract.ReplayWaitingDeadLettersRequest()),
        ):
            assert (await refused(call)).code() is grpc.StatusCode.PERMISSION_DENIED
    assert room.handler.taken == []
