"""How much of dead letters is kept, and what becomes of those that wait; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, false

from services.platform.consumer import ConsumerPlan, Delivery, PoisonMessage, RetryLater
from services.platform.database import Database, open_database
from services.platform.dead_letter_keeper import MOST_ATTEMPTS, DeadLetterKeeper, DeadLetterWriter
from services.platform.dead_letters import DeadLetter, DeadLetters, KeptLetter, LetterLimits
from services.platform.kept_data import purge
from services.platform.kept_tables import letters_line
from services.platform.outbox import OutgoingMessage
from services.platform.storage import StorageUnavailableError
from services.platform.subscriptions import Subscription
from services.telematics.senders import sender_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.platform.consumer import Unhandled

METADATA = MetaData()
LETTERS = DeadLetters(METADATA, sender_of)
START = datetime(2031, 1, 1, tzinfo=UTC)
VIN, OTHER = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
LIMITS = LetterLimits(payload_bytes=10, per_sender=3, keep=timedelta(days=2))


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(empty_database_url)
    await opened.write(METADATA.create_all)
    yield opened
    await opened.close()


def about(vin: str, number: int = 0, payload: bytes = b"x", kind: str = "result") -> DeadLetter:
    return DeadLetter(f"vehicle.{vin}.evt.{kind}", payload, f"reason {number}", START)


async def reasons(database: Database, vin: str) -> list[str]:
    found = await LETTERS.newest(database, 200)
    return [letter.reason for letter in reversed(found) if vin in letter.subject]


async def test_of_each_vehicle_the_newest_are_kept_and_the_others_counted(database: Database) -> None:
    await LETTERS.dead_letter(database, [about(OTHER)], LIMITS)
    for start in range(0, 40, 8):  # more in one batch than are kept, and more in several
        await LETTERS.dead_letter(database, [about(VIN, n) for n in range(start, start + 8)], LIMITS)
    assert await reasons(database, VIN) == ["reason 37", "reason 38", "reason 39"]
    assert await reasons(database, OTHER) == ["reason 0"]
    kept = [letter for letter in await LETTERS.newest(database, 10) if VIN in letter.subject]
    assert sum(letter.count + letter.dropped for letter in kept) == 40


async def test_a_payload_is_cut_and_a_cut_one_is_not_whole(database: Database) -> None:
    await LETTERS.dead_letter(
        database, [about(VIN, payload=b"0123456789"), about(OTHER, payload=b"0123456789a")], LIMITS
    )
    cut, whole = await LETTERS.newest(database, 2)
    assert (cut.payload_bytes, cut.whole) == (11, False)
    assert (whole.payload_bytes, whole.whole) == (10, True)
    assert await LETTERS.payload(database, cut.letter_id) == b"0123456789"
    assert await LETTERS.payload(database, 99) is None


async def test_a_reason_is_one_short_line(database: Database) -> None:
    long = DeadLetter("a.b", b"", "first\nsecond \u202egnp.exe\u200b " + "x" * 10_000, START)
    await LETTERS.dead_letter(database, [long])
    [kept] = await LETTERS.newest(database, 1)
    assert kept.reason.startswith("first second gnp.exe x")
    assert len(kept.reason) == 300


async def test_what_merges_is_counted_onto_the_newest_of_its_kind_for_an_hour(database: Database) -> None:
    def muted(count: int, at: datetime = START) -> DeadLetter:
        return DeadLetter(f"vehicle.{VIN}.evt.result", b"", "OVER_QUOTA", at, merges=True, count=count)

    await LETTERS.dead_letter(database, [muted(1), muted(1_000)])
    await LETTERS.dead_letter(database, [muted(500), about(VIN, 7)])
    await LETTERS.dead_letter(database, [muted(2, START + timedelta(hours=2))])
    counts = [(letter.reason, letter.count) for letter in await LETTERS.newest(database, 9)]
    assert counts == [("OVER_QUOTA", 2), ("reason 7", 1), ("OVER_QUOTA", 1_501)]


async def test_the_old_go(database: Database) -> None:
    await LETTERS.dead_letter(database, [about(VIN)])
    line = letters_line(LETTERS, LIMITS.keep)
    await database.write(lambda c: purge(c, line, START + timedelta(days=1), false()))
    assert await reasons(database, VIN) == ["reason 0"]
    await database.write(lambda c: purge(c, line, START + timedelta(days=2, seconds=1), false()))
    assert await reasons(database, VIN) == []


async def test_what_an_outbox_could_not_send_is_seen(database: Database) -> None:
    dead_letter_writer = DeadLetterWriter(database, LETTERS, lambda: START)
    message = OutgoingMessage("m-1", "vehicle", f"vehicle.{VIN}.cmd.door", b"order", START)
    await dead_letter_writer.set_aside(message, "not sent: OverflowError")
    [letter] = await LETTERS.newest(database, 5)
    assert letter == KeptLetter(1, message.subject, "not sent: OverflowError", START, 5, None)


class Handler:
    """Takes what is in `known`; waits for the rest, unless it is in `poison`. `breaks` on some."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        self.poison: set[bytes] = set()
        self.breaks: set[bytes] = set()
        self.asked: list[list[bytes]] = []
        self.away = False

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        self.asked.append([each.data for each in deliveries])
        if self.away:
            raise StorageUnavailableError("away")
        if self.breaks.intersection(self.asked[-1]):
            raise RuntimeError("a defect")
        left: list[Unhandled] = []
        for each in deliveries:
            if each.data in self.poison:
                left.append(PoisonMessage(each, "nonsense"))
            elif each.data not in self.known:
                left.append(RetryLater(each, "WRONG_EPOCH: not yet"))
        return left


async def test_what_waits_is_handed_over_again_until_it_is_taken(database: Database) -> None:
    now = [START]
    handler = Handler()
    plan = ConsumerPlan("VEHICLE_EVENTS", "test", ("vehicle.*.evt.result",))
    keeper = DeadLetterKeeper(database, LETTERS, [Subscription(plan, handler.handle)], lambda: now[0])
    dead_letter_writer = DeadLetterWriter(database, LETTERS, lambda: START)
    texts = (b"soon", b"never", b"nonsense", b"breaks", b"buried")
    await dead_letter_writer.dead_letter(
        [
            PoisonMessage(
                Delivery(f"vehicle.{VIN}.evt.result", text), "WRONG_EPOCH: not yet", waits=text != b"buried"
            )
            for text in texts
        ]
    )
    handler.poison, handler.breaks = {b"nonsense"}, {b"breaks"}
    await keeper.look()
    assert handler.asked == []  # the hello has a moment to come
    handler.away = True
    now[0] += timedelta(seconds=5)
    with pytest.raises(StorageUnavailableError):
        await keeper.look()
    handler.away = False
    await keeper.look()
    handler.known = {b"soon"}
    for _ in range(400):
        now[0] += timedelta(seconds=1)
        await keeper.look()
    asked = [text for batch in handler.asked if len(batch) == 1 or b"breaks" not in batch for text in batch]
    assert asked.count(b"never") in {MOST_ATTEMPTS, MOST_ATTEMPTS + 1}
    assert asked.count(b"nonsense") <= 2
    assert b"buried" not in asked
    kept = {
        await LETTERS.payload(database, letter.letter_id): (letter.reason, letter.replayed_at is not None)
        for letter in await LETTERS.newest(database, 9)
    }
    assert kept == {
        b"soon": ("WRONG_EPOCH: not yet", True),
        b"never": ("WRONG_EPOCH: not yet", False),
        b"nonsense": ("nonsense", False),
        b"breaks": ("RuntimeError: a defect", False),
        b"buried": ("WRONG_EPOCH: not yet", False),
    }
