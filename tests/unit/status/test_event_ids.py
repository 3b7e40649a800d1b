"""Ids of updates: one place each, the same everywhere, and telling nothing."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from services.live_updates.ids import UpdateIdKeyError
from services.status.adapters.event_ids import EventIds
from services.status.domain.updates import UNKNOWN_PLACE, LogPosition, base36

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
EPOCH = base36(1_768_228_200_000_000)


def test_an_id_is_a_place_and_every_replica_agrees() -> None:
    mine, another = EventIds(KEY), EventIds(KEY)
    places = [LogPosition(EPOCH, sequence) for sequence in (0, 1, 2, 255, 256, 2**63 - 1)]
    ids = [mine.id_of(place) for place in places]
    assert len(set(ids)) == len(ids)
    assert [another.position_of(each) for each in ids] == places
    assert [another.id_of(place) for place in places] == ids


def test_an_id_tells_nothing_of_its_neighbours() -> None:
    ids = [EventIds(KEY).id_of(LogPosition(EPOCH, sequence)) for sequence in range(1_000)]
    assert all(len(each) == 22 for each in ids)
    assert sorted(ids) != ids
    same_letters = sum(
        a == b for first, second in itertools.pairwise(ids) for a, b in zip(first, second, strict=True)
    )
    assert same_letters < 999 * 22 / 64 * 2, "neighbours look alike"


def test_under_another_key_it_is_a_place_in_no_log() -> None:
    found = EventIds(bytes(32)).position_of(EventIds(KEY).id_of(LogPosition(EPOCH, 7)))
    assert found.epoch != EPOCH


def test_an_id_from_before_is_a_place_that_is_not_kept() -> None:
    assert EventIds(KEY).position_of(f"{EPOCH}-42") == UNKNOWN_PLACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "a-",
        "-1",
        "a-1-1",
        "A-1",
        "a-x",
        "a-" + "1" * 19,
        "a-1\n",
        "é-1",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "B",
    ],
)
def test_what_is_no_id_is_a_place_that_is_not_kept(text: str) -> None:
    assert EventIds(KEY).position_of(text) == UNKNOWN_PLACE


def test_a_file_without_a_secret_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content in ("", "x" * 31, " " * 40):
        file.write_text(content)
        with pytest.raises(UpdateIdKeyError):
            EventIds.read(file)
    file.write_text("x" * 32 + "\n")
    place = LogPosition(EPOCH, 3)
    written = EventIds.read(file).id_of(place)
    file.write_text("x" * 32)
    assert EventIds.read(file).position_of(written) == place
    with pytest.raises(UpdateIdKeyError):
        EventIds(b"short")
