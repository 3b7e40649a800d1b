"""What the order of a vehicle's epochs tells: that it boots again and again, or that two units speak for it.

An epoch is one boot of one unit. It begins once, and when the next has begun it is over for good. So an epoch that
speaks after a later one was heard is another unit's, which holds the same keys: a clone, or a unit that was
replaced and not switched off.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from services.platform.clock import CLOCK
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.session import CloudSession

TWO_UNITS = "TWO_UNITS: an epoch that had ended speaks again, so that two units hold this vehicle's keys"
REBOOTS = "REBOOT_LOOP: 5 epochs or more within 10 minutes"
LOOP_EPOCHS = 5
LOOP_MILLIS = 600_000
DOUBLED_MILLIS = 3_600_000
"""How long two units are reckoned with after the last sign of them."""
_MOST_REMEMBERED = 100_000
_log = structlog.get_logger()


class EpochWatch:
    """Looks at the epochs that vehicles enter. Times are milliseconds since 1970, `now_millis` by the cloud's clock."""

    def __init__(self, now_millis: Callable[[], int] = CLOCK.milliseconds) -> None:
        self._now_millis = now_millis
        self._doubled: OrderedDict[str, int] = OrderedDict()

    def entered(
        self, vin: str, before: CloudSession, after: CloudSession, arrived_at_millis: int
    ) -> str | None:
        """Return what is odd about the epoch that the vehicle entered by a message that arrived then; None: nothing."""
        if any(record.epoch == after.epoch for record in before.ended):
            return self._two_units(vin) if arrived_at_millis > before.current.order else None
        lately = self._now_millis() - LOOP_MILLIS
        if sum(record.order > lately for record in (after.current, *after.ended)) < LOOP_EPOCHS:
            return None
        _log.error("vehicle_reboots_again_and_again", vin=masked_id(vin))
        return REBOOTS

    def refused(self, vin: str, session: CloudSession, epoch: bytes, arrived_at_millis: int) -> str | None:
        """Return what is odd about a hello of this epoch that was refused as stale; None: it is a repetition."""
        ended = any(record.epoch == epoch for record in session.ended)
        return self._two_units(vin) if ended and arrived_at_millis > session.current.order else None

    def has_two_units(self, vin: str) -> bool:
        """Return whether two units have spoken for this vehicle lately, as far as this process knows."""
        return self._now_millis() - self._doubled.get(vin, -DOUBLED_MILLIS) < DOUBLED_MILLIS

    def _two_units(self, vin: str) -> str:
        self._doubled[vin] = self._now_millis()
        self._doubled.move_to_end(vin)
        if len(self._doubled) > _MOST_REMEMBERED:
            self._doubled.popitem(last=False)
        _log.error("vehicle_has_two_units", vin=masked_id(vin))
        return TWO_UNITS
