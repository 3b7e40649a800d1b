"""Witnesses: what continues the log is cosigned; one that is away or lies stops nothing, and is said."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from services.audit.adapters.witnesses import WitnessRound, read_witnesses
from tests.support.audit_log import KEYS, ORIGIN, AuditLog, opened_log
from tests.support.tlog_witness import TIME, TrueWitness, serving
from tlog.checkpoints import CHECKPOINT, open_checkpoint
from tlog.hashing import leaf_hash
from tlog.notes import MAX_SIGNATURES, NoteError, NoteKey, cosignature_line, split

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def log(database_url: str, tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with opened_log(database_url, tmp_path) as log:
        yield log


@pytest.fixture
def witness() -> Iterator[TrueWitness]:
    with serving(TrueWitness(ORIGIN, KEYS.public)) as witness:
        yield witness


@pytest.fixture
async def asking(log: AuditLog, witness: TrueWitness) -> AsyncIterator[WitnessRound]:
    round_ = WitnessRound(log.tree, read_witnesses(witness.setting))
    yield round_
    await round_.close()


async def latest(log: AuditLog, *witnesses: TrueWitness) -> list[str]:
    """Who cosigned the last checkpoint, as it is published."""
    await log.sequencer.step()
    data = (log.folder / "log" / CHECKPOINT).read_bytes()
    return open_checkpoint(data, ORIGIN, KEYS.public, [each.key for each in witnesses]).cosigned_by()


async def test_each_checkpoint_is_cosigned_and_published_so(
    log: AuditLog, witness: TrueWitness, asking: WitnessRound
) -> None:
    await asking.ask()
    assert witness.asked == []
    for end in (1, 5, 300):
        await log.grow(await log.tree.size(), end)
        assert await latest(log, witness) == []
        await asking.ask()
        assert await latest(log, witness) == [witness.name]
        assert witness.seen[0] == end
    await asking.ask()
    assert len(witness.asked) == 3
    kept = await log.tree.latest_checkpoint()
    assert kept is not None
    note = open_checkpoint(kept.note, ORIGIN, KEYS.public, [witness.key]).note
    assert [each.time for each in note.signatures] == [None, TIME]


async def test_a_witness_that_has_seen_more_than_we_know_says_how_much(
    log: AuditLog, witness: TrueWitness, asking: WitnessRound
) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    await asking.ask()
    await log.grow(3, 7)
    await log.sequencer.step()
    again = WitnessRound(log.tree, read_witnesses(witness.setting))  # a start that knows nothing
    await again.ask()
    await again.close()
    assert [body.split(b"\n")[0] for body in witness.asked] == [b"old 0", b"old 0", b"old 3"]
    assert await latest(log, witness) == [witness.name]


async def test_starts_of_an_idle_ledger_leave_one_cosignature(log: AuditLog, witness: TrueWitness) -> None:
    """A note has room for few lines: a ledger with more of them would be broken for good."""
    await log.grow(0, 3)
    await log.sequencer.step()
    for number in range(MAX_SIGNATURES + 1):
        witness.time = TIME + number
        start = WitnessRound(log.tree, read_witnesses(witness.setting))
        await start.ask()
        await start.close()
    assert len(witness.asked) == 1
    assert await latest(log, witness) == [witness.name]
    assert log.failing() == {}


async def test_replicas_that_ask_at_once_leave_one_cosignature(log: AuditLog, witness: TrueWitness) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    signed = await log.tree.latest_checkpoint()
    assert signed is not None
    text, before = split(signed.note)
    lines = [cosignature_line(text, witness.name, witness.private, TIME + number) for number in range(3)]
    other = cosignature_line(text, "witness.test/other", OTHER, TIME)
    await log.tree.add_signatures(3, lines[:2])
    await log.tree.add_signatures(3, [lines[2], other])
    kept = await log.tree.latest_checkpoint()
    assert kept is not None
    assert split(kept.note) == (text, [*before, lines[0], other])


OTHER = Ed25519PrivateKey.from_private_bytes(b"x" * 32)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, b""), "status 500"),
        ((404, b""), "status 404"),
        ((422, b""), "status 422"),
        ((409, b"99\n"), "seen 99 leaves"),
        ((409, b"-1\n"), "not which"),
        ((409, b"3"), "not which"),
        ((409, b"9" * 30 + b"\n"), "not which"),
        ((409, b"1\n"), "status 409"),
        ((200, b""), "no cosignature"),
        ((200, b"nonsense\n"), "no cosignature"),
        ((200, b"\xff\n"), "no cosignature"),
        ((200, b"x" * 20_000), "too much"),
        (
            (200, cosignature_line("another text\n", "witness.test/w1", OTHER, TIME).encode()),
            "no cosignature",
        ),
    ],
)
async def test_a_witness_that_lies_stops_nothing_and_is_said(
    log: AuditLog, witness: TrueWitness, asking: WitnessRound, answer: tuple[int, bytes], reason: str
) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    witness.answer = answer
    with capture_logs() as logs:
        await asking.ask()
        await asking.ask()
    said = [each for each in logs if each["event"] == "witness_did_not_cosign"]
    assert len(said) == 1
    assert (said[0]["witness"], reason in said[0]["reason"]) == ("witness.test/w1", True)
    assert await latest(log, witness) == []
    assert log.failing() == {}
    await log.grow(3, 5)
    witness.answer = None
    await log.sequencer.step()
    await asking.ask()
    assert await latest(log, witness) == [witness.name]


async def test_a_false_signature_under_the_witness_s_name_is_not_published(
    log: AuditLog, witness: TrueWitness, asking: WitnessRound
) -> None:
    await log.grow(0, 3)
    await log.sequencer.step()
    forged = witness.key.id + TIME.to_bytes(8, "big") + bytes(64)
    witness.answer = (200, f"— {witness.name} {base64.b64encode(forged).decode()}\n".encode())
    await asking.ask()
    assert await latest(log, witness) == []


async def test_one_that_is_away_keeps_no_other_from_cosigning(log: AuditLog, witness: TrueWitness) -> None:
    with serving(TrueWitness(ORIGIN, KEYS.public, "witness.test/gone", OTHER)) as gone:
        setting = f"{gone.setting}, {witness.setting}"
    round_ = WitnessRound(log.tree, read_witnesses(setting))
    await log.grow(0, 3)
    await log.sequencer.step()
    with capture_logs() as logs:
        await round_.ask()
    await round_.close()
    assert ["does not answer" in each["reason"] for each in logs if each["log_level"] == "warning"] == [True]
    assert await latest(log, gone, witness) == [witness.name]


async def test_a_witness_does_not_cosign_a_fork(
    log: AuditLog, witness: TrueWitness, asking: WitnessRound
) -> None:
    witness.seen = (2, leaf_hash(b"another log's"))
    await log.grow(0, 3)
    await log.sequencer.step()
    await asking.ask()
    assert await latest(log, witness) == []


@pytest.mark.parametrize(
    "setting",
    [
        "x", KEYS.public[0].vkey() + " http://w.test/", "{vkey}", "{vkey} ftp://w.test", "{vkey} http://",
        "{vkey} http://w.test, {vkey} http://w.test",
    ],
)  # fmt: skip
def test_what_names_no_witness_is_refused(setting: str) -> None:
    with pytest.raises((ValueError, NoteError)):
        read_witnesses(setting.replace("{vkey}", TrueWitness(ORIGIN, []).key.vkey()))


def test_witnesses_are_named_by_key_and_url() -> None:
    key = TrueWitness(ORIGIN, []).key
    [witness] = read_witnesses(f" {key.vkey()} https://w.test/below/ ,")
    assert (witness.key, witness.url) == (key, "https://w.test/below")
    assert NoteKey.of_vkey(key.vkey()) == key
    assert read_witnesses("") == []
