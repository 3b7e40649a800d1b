"""What goes on all the time: the tree is signed once a second while it grows, published, and shown to witnesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.audit.domain.history import HistoryBrokenError
from services.audit.usecases.signing import SecondPlaceError, sign_new
from tlog.tiles import TileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.audit.adapters.publication import LogPublication
    from services.audit.adapters.store import SqlTree
    from services.audit.usecases.signing import SigningDependencies
    from services.platform.health import HealthCondition

SIGN_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 10.0
"""So often the second place is read although nothing is new."""
_log = structlog.get_logger()


class Sequencer:
    """Signs and publishes. `intact` says whether the database is the one that was signed for, `signing` whether the
    second place can be used; `monotonic` counts seconds.
    """

    def __init__(
        self,
        deps: SigningDependencies,
        tree: SqlTree,
        publication: LogPublication,
        intact: HealthCondition,
        signing: HealthCondition,
        monotonic: Callable[[], float],
    ) -> None:
        self._deps = deps
        self._tree = tree
        self._publication = publication
        self._intact = intact
        self._signing = signing
        self._monotonic = monotonic
        self._seen = -1
        self._again_at = 0.0

    async def step(self) -> None:
        """Sign what is new, and publish what was signed. Raises StorageUnavailableError."""
        size = await self._tree.size()
        if size != self._seen or self._deps.history.reason or self._monotonic() >= self._again_at:
            if await self._sign():
                self._seen, self._again_at = size, self._monotonic() + LOOK_AGAIN_SECONDS
            else:
                self._seen = -1
        if not self._deps.history.reason:
            await self._publication.publish()

    async def _sign(self) -> bool:
        try:
            signed = await sign_new(self._deps)
        except HistoryBrokenError as error:
            self._intact.bad(str(error), surely=True)
            self._signing.good()
            return False
        except TileError as error:
            reason = f"the tree's hashes are not all there: {error}"
            self._deps.history.broken(reason)
            self._intact.bad(reason, surely=True)
            return False
        except SecondPlaceError as error:
            self._signing.bad(str(error))
            return False
        self._intact.good()
        self._signing.good()
        if signed is not None:
            _log.info("checkpoint_signed", size=signed.head.size)
        return True
