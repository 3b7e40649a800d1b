"""One bad row or message is its own misfortune: finding it among many, and leaving it alone for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import structlog

from services.platform.clock import CLOCK
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence

Item = TypeVar("Item")

LEFT_ALONE_SECONDS = 60.0
_MOST_LEFT_ALONE = 1_000
_log = structlog.get_logger()


async def by_halves(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Awaitable[None]],
    failed: Callable[[Item, Exception], Awaitable[None] | None],
) -> None:
    """Do `work` for all together; where it raises, for either half, until what it raises for is alone and `failed`.

    Raises StorageUnavailableError, which is nobody's misfortune in particular.
    """
    if not items:
        return
    try:
        await work(items)
    except StorageUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is: one of them must not be the others' end
        if len(items) == 1:
            waits = failed(items[0], error)
            if waits is not None:
                await waits
            return
        half = len(items) // 2
        await by_halves(items[:half], work, failed)
        await by_halves(items[half:], work, failed)


class Quarantine:
    """Rows whose work failed, by their ids: a sweep leaves them alone for LEFT_ALONE_SECONDS, and goes on."""

    def __init__(self, monotonic: Callable[[], float] = CLOCK.monotonic) -> None:
        self._monotonic = monotonic
        self._until: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, row_id: Hashable, error: Exception) -> None:
        """Leave it alone; the operator reads why."""
        _log.error("row_left_alone", row=str(row_id), exc_info=error)
        if len(self._until) >= _MOST_LEFT_ALONE:
            self._until.pop(next(iter(self._until)))
        self._until[row_id] = self._monotonic() + LEFT_ALONE_SECONDS

    def without(self, row_ids: Collection[Item]) -> list[Item]:
        """Return those that are not left alone now."""
        if self._until:
            now = self._monotonic()
            self._until = {row_id: until for row_id, until in self._until.items() if until > now}
        return [row_id for row_id in row_ids if row_id not in self._until]
