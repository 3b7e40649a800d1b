"""A second place behind a URL: what was put there is what is there, and nothing smaller takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from services.audit.adapters.second_place import FolderSecondPlace, UrlSecondPlace, open_second_place
from services.audit.domain.history import HistoryBrokenError, TreeHead
from services.audit.usecases.signing import SecondPlaceError
from tests.support.audit_log import KEYS, ORIGIN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

URL = "https://second.test/audit/checkpoint"
SMALL, LARGE, FORK = (
    KEYS.sign(TreeHead(size, bytes([root]) * 32)) for size, root in ((2, 1), (4, 2), (4, 3))
)


class Shelf:
    """A server that keeps one file. `status` is what it answers in place of doing so; 0: it is away."""

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.status: int | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        if self.status == 0:
            raise httpx.ConnectError("away")
        if self.status is not None:
            return httpx.Response(self.status)
        if request.method == "PUT":
            self.data = request.content
            return httpx.Response(204)
        return httpx.Response(404) if self.data is None else httpx.Response(200, content=self.data)


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
