"""The second place (usecases.signing.SecondPlace): a folder, or a URL that takes GET and PUT."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from services.audit.domain.history import HistoryBrokenError, SignedTree, TreeHead
from services.audit.usecases.signing import SecondPlaceError
from tlog.checkpoints import CHECKPOINT, CheckpointError, open_checkpoint
from tlog.notes import MAX_NOTE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tlog.notes import NoteKey

_SECONDS = 5.0
_NOT_FOUND = 404
_PRECONDITION_FAILED = 412
_LOCK = ".lock"


class _SavedCheckpoints:
    """Reads what is a checkpoint of this log, signed by one of these keys."""

    def __init__(self, origin: str, keys: Sequence[NoteKey]) -> None:
        self._origin = origin
        self._keys = keys

    def read(self, data: bytes) -> SignedTree:
        """Return the checkpoint. Raises HistoryBrokenError."""
        try:
            found = open_checkpoint(data, self._origin, self._keys).checkpoint
        except CheckpointError as error:
            raise HistoryBrokenError(
                f"what is in the second place is no checkpoint of this log: {error}"
            ) from error
        return SignedTree(TreeHead(found.size, found.root), data)


class FolderSecondPlace:
    """A folder of another disk or machine; the file in it is called `checkpoint`."""

    def __init__(self, folder: Path, origin: str, keys: Sequence[NoteKey]) -> None:
        self._folder = folder
        self._saved = _SavedCheckpoints(origin, keys)

    async def read(self) -> SignedTree | None:
        """Return the checkpoint there; None where there was never one. Raises SecondPlaceError, HistoryBrokenError."""
        try:
            data = await asyncio.to_thread(self._read)
        except OSError as error:
            raise SecondPlaceError(f"{self._folder}: {error.strerror}") from error
        return None if data is None else self._saved.read(data)

    async def write(self, signed: SignedTree) -> None:
        """Put a checkpoint there in place of a smaller one; on the disk when this returns. Raises SecondPlaceError."""
        try:
            await asyncio.to_thread(self._write, signed)
        except OSError as error:
            raise SecondPlaceError(f"{self._folder}: {error.strerror}") from error

    async def close(self) -> None:
        """Do nothing: a folder is not held open."""

    def _read(self) -> bytes | None:
        if not self._folder.is_dir():
            raise FileNotFoundError(2, "no such folder", str(self._folder))
        try:
            with (self._folder / CHECKPOINT).open("rb") as file:
                return file.read(MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None

    def _write(self, signed: SignedTree) -> None:
        """Only one replica at a time looks what is there and writes."""
        with locked(self._folder):
            try:
                there = self._read()
                if there is not None:
                    _check_order(self._saved.read(there), signed)
            except HistoryBrokenError as error:
                raise SecondPlaceError(str(error)) from error
            replace_file(self._folder / CHECKPOINT, signed.note)


class UrlSecondPlace:
    """A URL of another machine: GET gives what PUT put there, 404 before the first."""

    def __init__(
        self, url: str, origin: str, keys: Sequence[NoteKey], client: httpx.AsyncClient | None = None
    ) -> None:
        self._url = url
        self._saved = _SavedCheckpoints(origin, keys)
        self._client = client or httpx.AsyncClient(timeout=_SECONDS)

    async def read(self) -> SignedTree | None:
        """Return the checkpoint there; None where there was never one. Raises SecondPlaceError, HistoryBrokenError."""
        return (await self._get())[0]

    async def _get(self) -> tuple[SignedTree | None, dict[str, str]]:
        """Return what is there, and what a PUT says so that it takes the place of that and of nothing else."""
        try:
            answer = await self._client.get(self._url)
        except httpx.HTTPError as error:
            raise SecondPlaceError(f"the second place does not answer: {type(error).__name__}") from error
        if answer.status_code == _NOT_FOUND:
            return None, {"if-none-match": "*"}
        if not answer.is_success:
            raise SecondPlaceError(f"the second place answers with status {answer.status_code}")
        tag = answer.headers.get("etag", "")
        strong = tag and not tag.startswith("W/")
        return self._saved.read(answer.content), {"if-match": tag} if strong else {}

    async def write(self, signed: SignedTree) -> None:
        """Put a checkpoint there in place of a smaller one. Raises SecondPlaceError."""
        try:
            there, only_where = await self._get()
        except HistoryBrokenError as error:
            raise SecondPlaceError(str(error)) from error
        if there is not None:
            _check_order(there, signed)
        try:
            answer = await self._client.put(
                self._url,
                content=signed.note,
                headers={"content-type": "text/plain; charset=utf-8", **only_where},
            )
        except httpx.HTTPError as error:
            raise SecondPlaceError(f"the second place does not answer: {type(error).__name__}") from error
        if answer.status_code == _PRECONDITION_FAILED:
            raise SecondPlaceError("another checkpoint came to the second place meanwhile")
        if not answer.is_success:
            raise SecondPlaceError(f"the second place answers with status {answer.status_code}")

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()


def open_second_place(where: str, origin: str, keys: Sequence[NoteKey]) -> FolderSecondPlace | UrlSecondPlace:
    """Return the second place at this URL, or in this folder."""
    if where.startswith("/"):
        return FolderSecondPlace(Path(where), origin, keys)
    return UrlSecondPlace(where, origin, keys)


def _check_order(there: SignedTree, signed: SignedTree) -> None:
    if there.head.size > signed.head.size or (
        there.head.size == signed.head.size and there.head.root != signed.head.root
    ):
        raise SecondPlaceError(f"a checkpoint of {there.head.size} leaves is there already")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other replicas; what was renamed in it is on the disk afterwards. Raises OSError.

    The lock is on a file that is opened for writing: network file systems lock nothing else.
    """
    here = os.open(folder, os.O_RDONLY)
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            os.fsync(here)
        finally:
            os.close(lock)
    finally:
        os.close(here)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, on the disk when this returns. Raises OSError."""
    # No process id: that is 1 in every container, and several may write the same folder.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
