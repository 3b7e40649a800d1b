"""A second place behind a URL: what was put there is what is there, and nothing smaller takes its place."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import httpx
import pytest

from services.audit.adapters.second_place import (
    FolderSecondPlace,
    UrlSecondPlace,
    open_second_place,
    replace_file,
)
from services.audit.domain.history import HistoryBrokenError, SignedTree, TreeHead
from services.audit.usecases.signing import SecondPlaceError
from tests.support.audit_log import KEYS, ORIGIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

URL = "https://second.test/audit/checkpoint"
SMALL, LARGE, FORK = (
    KEYS.sign(TreeHead(size, bytes([root]) * 32)) for size, root in ((2, 1), (4, 2), (4, 3))
)


class Shelf:
    """A server that keeps one file. `status` is what it answers in place of doing so; 0: it is away. `meanwhile` comes
    to it before the next PUT; `tagged`: it says which content a GET gave, and minds the conditions of a PUT.
    """

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.status: int | None = None
        self.meanwhile: bytes | None = None
        self.tagged = True

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        if self.status == 0:
            raise httpx.ConnectError("away")
        if self.status is not None:
            return httpx.Response(self.status)
        if request.method == "PUT":
            self.data, self.meanwhile = self.meanwhile or self.data, None
            if self.tagged and not self._may_put(request):
                return httpx.Response(412)
            self.data = request.content
            return httpx.Response(204)
        if self.data is None:
            return httpx.Response(404)
        return httpx.Response(200, content=self.data, headers={"etag": self._tag()} if self.tagged else {})

    def _may_put(self, request: httpx.Request) -> bool:
        if "if-none-match" in request.headers:
            return self.data is None
        return request.headers["if-match"] == self._tag()

    def _tag(self) -> str:
        return f'"{hashlib.sha256(self.data or b"").hexdigest()}"'


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def place(shelf: Shelf) -> AsyncIterator[UrlSecondPlace]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(shelf.answer))
    place = UrlSecondPlace(URL, ORIGIN, KEYS.public, client)
    yield place
    await place.close()


async def test_what_was_put_there_is_there(place: UrlSecondPlace, shelf: Shelf) -> None:
    assert await place.read() is None
    for signed in (SMALL, LARGE, LARGE):
        await place.write(signed)
        assert await place.read() == signed
    assert shelf.data == LARGE.note


@pytest.mark.parametrize("signed", [SMALL, FORK], ids=["smaller", "another of the size"])
async def test_what_is_later_stays(place: UrlSecondPlace, shelf: Shelf, signed: object) -> None:
    await place.write(LARGE)
    with pytest.raises(SecondPlaceError, match="4 leaves is there"):
        await place.write(signed)  # type: ignore[arg-type]  # a signed tree
    assert shelf.data == LARGE.note


@pytest.mark.parametrize("before", [None, SMALL], ids=["empty", "smaller"])
async def test_what_came_between_looking_and_writing_stays(
    place: UrlSecondPlace, shelf: Shelf, before: SignedTree | None
) -> None:
    if before is not None:
        await place.write(before)
    shelf.meanwhile = LARGE.note
    with pytest.raises(SecondPlaceError, match="meanwhile"):
        await place.write(FORK)
    assert shelf.data == LARGE.note


async def test_a_server_without_tags_takes_checkpoints_too(place: UrlSecondPlace, shelf: Shelf) -> None:
    shelf.tagged = False
    for signed in (SMALL, LARGE):
        await place.write(signed)
        assert await place.read() == signed


def test_two_processes_of_one_number_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In containers every process has the number 1: while one writes, the other writes and is done."""
    flush = os.fsync
    done: list[bool] = []

    def slowly(file: int) -> None:
        if not done:
            done.append(True)
            replace_file(tmp_path / "checkpoint", b"the other's")
            assert (tmp_path / "checkpoint").read_bytes() == b"the other's"
        flush(file)

    monkeypatch.setattr(os, "fsync", slowly)
    replace_file(tmp_path / "checkpoint", b"the first's, which is longer")
    assert (tmp_path / "checkpoint").read_bytes() == b"the first's, which is longer"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("status", [0, 500, 403, 302])
async def test_one_that_is_away_is_not_taken_for_an_empty_one(
    place: UrlSecondPlace, shelf: Shelf, status: int
) -> None:
    await place.write(SMALL)
    shelf.status = status
    with pytest.raises(SecondPlaceError):
        await place.read()
    with pytest.raises(SecondPlaceError):
        await place.write(LARGE)
    assert shelf.data == SMALL.note


async def test_nonsense_is_no_checkpoint_and_is_not_written_over(place: UrlSecondPlace, shelf: Shelf) -> None:
    shelf.data = b"a page of a proxy"
    with pytest.raises(HistoryBrokenError):
        await place.read()
    with pytest.raises(SecondPlaceError):
        await place.write(LARGE)
    assert shelf.data == b"a page of a proxy"


async def test_it_is_a_folder_or_a_url() -> None:
    folder = open_second_place("/var/second", ORIGIN, KEYS.public)
    assert isinstance(folder, FolderSecondPlace)
    with pytest.raises(SecondPlaceError, match="no such folder"):
        await folder.read()
    url = open_second_place(URL, ORIGIN, KEYS.public)
    assert isinstance(url, UrlSecondPlace)
    await url.close()
