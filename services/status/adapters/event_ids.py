"""The ids of updates as readers see them: a position in the log, sealed (services.live_updates.ids)."""

from __future__ import annotations

from services.live_updates.ids import UpdateIds
from services.status.domain.updates import UNKNOWN_PLACE, LogPosition, base36


class EventIds(UpdateIds):
    """Seals and opens positions under a key of 32 bytes."""

    def id_of(self, position: LogPosition) -> str:
        """Return the id of the update at `position`."""
        return self.sealed(int(position.epoch, 36), position.sequence)

    def position_of(self, event_id: str) -> LogPosition:
        """Return the place an id stands for; UNKNOWN_PLACE for what no stream of ours has sent in this form.

        A browser sends whatever id it saw last, for ever: refusing it would end its stream for good, and tell nobody.
        """
        opened = self.opened(event_id)
        return UNKNOWN_PLACE if opened is None else LogPosition(base36(opened[0]), opened[1])
