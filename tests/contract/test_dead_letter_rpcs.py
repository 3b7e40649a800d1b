"""A service's dead letters as an operator sees them and has them ingested, over real mTLS."""

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
from services.platform import dead_letter_replay
from services.platform.consumer import ConsumerPlan, Delivery, PoisonMessage
from services.platform.database import open_database
from services.platform.dead_letter_api import dead_letter_api
from services.platform.dead_letter_replay import REPLAYED_AT_ONCE, DeadLetterReplay
from services.platform.dead_letters import DeadLetter, DeadLetters, LetterLimits
from services.platform.server import GrpcServer
from services.platform.storage import StorageUnavailableError
from services.platform.subscriptions import Subscription
from services.telematics.senders import sender_of
from tests.contract.platform_service import VIN, reason_of, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from services.platform.capability import CapabilityVerifier
    from services.platform.database import Database
    from services.platform.settings import ServiceSettings

SUBJECT = event_subject(VIN, EventKind.CONFIG)
PLAN = ConsumerPlan(VEHICLE_EVENTS, "config-test", (event_subject("*", EventKind.CONFIG),))
METADATA = MetaData()
LETTERS = DeadLetters(METADATA, sender_of)
START = datetime(2031, 1, 1, tzinfo=UTC)


@dataclass
class Handler:
    """A service's handler that learns: what it understands it takes, the rest is poison."""

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
    """A service with dead letters, and the operator's questions to it."""

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

    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        return GrpcServer(
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
def service(grpc_server: Any, database: Database, handler: Handler, grpc_stub: Any) -> Letters:
    return Letters(grpc_server, database, handler, grpc_stub)


async def test_a_letter_is_seen_and_taken_in_once_the_room_understands_it(service: Letters) -> None:
    await service.dead_lettered("garbage", reason="not understood")
    (letter,) = await service.listed()
    received = letter.received_at.ToDatetime(UTC)
    assert (letter.id, letter.subject, letter.reason) == (1, SUBJECT, "not understood")
    assert (received, letter.payload_bytes, letter.HasField("replayed_at")) == (START, 7, False)
    assert await service.replay(1) == contract.DeadLetterReplay(letter=letter, problem="not understood")
    assert await service.listed() == [letter]

    service.handler.understands = {b"garbage"}
    done = await service.replay(1)
    assert done.problem == ""
    assert done.letter.replayed_at.ToDatetime(UTC) == START + timedelta(hours=1)
    assert await service.listed() == [done.letter]
    assert service.handler.taken == [Delivery(SUBJECT, b"garbage")]


async def test_a_letter_that_was_taken_is_not_handed_over_again(service: Letters) -> None:
    await service.dead_lettered("a")
    service.handler.understands = {b"a"}
    first = await service.replay(1)
    assert await service.replay(1) == first
    assert await service.replay_waiting() == contract.ReplayWaitingDeadLettersResponse()
    assert len(service.handler.taken) == 1


async def test_all_that_wait_are_taken_oldest_first_and_those_not_understood_stay(service: Letters) -> None:
    texts = [str(n) for n in range(REPLAYED_AT_ONCE + 5)]
    await service.dead_lettered(*texts)
    service.handler.understands = {t.encode() for t in texts} - {b"3"}
    first = await service.replay_waiting()
    second = await service.replay_waiting(first.next_after)
    assert (len(first.replays), second.HasField("next_after")) == (REPLAYED_AT_ONCE, False)
    stay = [one.letter.id for one in (*first.replays, *second.replays) if one.problem]
    assert stay == [4]
    assert [d.data.decode() for d in service.handler.taken] == [t for t in texts if t != "3"]
    again = await service.replay_waiting()
    assert [(one.letter.id, one.problem) for one in again.replays] == [(4, "not understood")]


async def test_whatever_the_handler_meets_the_letter_stays_and_the_operator_is_told(
    service: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.dead_lettered("a")
    await service.dead_lettered("b", subject="nobody.takes.this")
    service.handler.understands = {b"a"}

    service.handler.fails_with = StorageUnavailableError("away")
    error = await refused(service.replay(1))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
    service.handler.fails_with = RuntimeError("a \ud800 defect")
    assert (await service.replay(1)).problem == "RuntimeError: a \\ud800 defect"
    service.handler.hangs = True
    monkeypatch.setattr(dead_letter_replay, "HANDLER_SECONDS", 0.05)
    assert "perhaps taken" in (await service.replay(1)).problem
    assert "takes nothing" in (await service.replay(2)).problem

    service.handler.hangs, service.handler.fails_with = False, None
    assert not any(letter.HasField("replayed_at") for letter in await service.listed())
    assert (await service.replay(1)).letter.HasField("replayed_at")


async def test_one_page_holds_fifty_unless_it_is_told_and_any_of_them_fits(service: Letters) -> None:
    assert await service.listed() == []
    await service.dead_lettered(
        *("x" for _ in range(201)), reason="\N{GRINNING FACE}" * 2_000, subject="s" * 256
    )
    first = await service.stub.ListDeadLetters(contract.ListDeadLettersRequest())
    assert (len(first.letters), first.letters[0].id, first.more) == (50, 201, True)
    assert first.letters[0].reason == "\N{GRINNING FACE}" * 300
    most = await service.listed(page_size=200)
    assert [letter.id for letter in most] == list(range(201, 1, -1))
    last = await service.stub.ListDeadLetters(contract.ListDeadLettersRequest(before=most[-1].id))
    assert ([letter.id for letter in last.letters], last.more) == ([1], False)


async def test_the_operator_is_told_what_is_wrong(service: Letters) -> None:
    for call in (
        service.listed(page_size=201),
        service.listed(page_size=-1),
        service.listed(before=0),
        service.replay(0),
        service.replay_waiting(-1),
    ):
        error = await refused(call)
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    error = await refused(service.replay(7))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
    assert error.details() == "there is no letter 7"


@pytest.mark.parametrize(
    "workload", ["edge", "room/config", "room/diagnostics", "team/operator", f"vehicle/{VIN}"]
)
async def test_nobody_else_sees_or_replays_letters(service: Letters, workload: str) -> None:
    await service.dead_lettered("a")
    async with service.running.channel(workload) as channel:
        stub = DeadLetterServiceStub(channel)
        for call in (
            stub.ListDeadLetters(contract.ListDeadLettersRequest()),
            stub.ReplayDeadLetter(contract.ReplayDeadLetterRequest(id=1)),
            stub.ReplayWaitingDeadLetters(contract.ReplayWaitingDeadLettersRequest()),
        ):
            assert (await refused(call)).code() is grpc.StatusCode.PERMISSION_DENIED
    assert service.handler.taken == []
