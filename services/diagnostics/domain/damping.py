"""How often an alert that comes and goes is reported: rules only.

An alert is reported at once when it appears and when it is gone. One that comes back within the damping time after it
was told to be gone is reported once more and flaps from then on: whatever it does, it is reported once in the damping
time, with how often it changed, and as standing. When it has been calm for as long it is told to be gone, if it is, and
that is the end of it. So nobody is left believing that an alert is gone which stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.diagnostics.domain.diagnosis import AlertChange

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from services.diagnostics.domain.diagnosis import Alert, SelfCheck


@dataclass(frozen=True, slots=True)
class ToldAlert:
    """What those who watch were told of an alert, and what has become of it since.

    `told_standing`: they were told last, at `told_at`, that it stands. `flips` counts its changes since.
    """

    alert: Alert
    standing: bool
    told_standing: bool
    told_at: datetime
    flips: int = 0
    flapping: bool = False

    @property
    def owed(self) -> bool:
        """Whether they believe something that is not so, though it does not flap."""
        return self.standing is not self.told_standing and not self.flapping


def changed(
    known: ToldAlert | None, change: AlertChange, now: datetime, damping: timedelta, *, may_tell: bool
) -> tuple[ToldAlert, AlertChange | None]:
    """Return what is known of the alert after `change`, and what is told of it at once.

    Without `may_tell` nothing is told, because the vehicle has no more of its share: it is owed then.
    """
    standing = not change.cleared
    if known is None:
        known = ToldAlert(change.alert, standing, not standing, now)
        after = known if may_tell else replace(known, flips=1)
    else:
        after = replace(known, alert=change.alert, standing=standing, flips=known.flips + 1)
        if known.flapping or standing is known.told_standing:
            return after, None
    if not may_tell:
        return after, None
    comes_back = standing and known is not after and now - known.told_at < damping and not known.told_standing
    told = replace(after, told_standing=standing, told_at=now, flips=0, flapping=comes_back)
    return told, replace(change, flips=after.flips + 1) if comes_back else change


def due(
    known: ToldAlert, check: SelfCheck, now: datetime, damping: timedelta, *, may_tell: bool
) -> tuple[ToldAlert | None, AlertChange | None]:
    """Return what is left to know of the alert at `now`, None when nothing is, and what is told of it. `check` is the
    vehicle's last.
    """
    over = now - known.told_at >= damping
    flaps = known.flapping and known.flips > 0
    cleared = not flaps and not known.standing
    if not (known.owed or (over and (flaps or (known.flapping and cleared)))):
        return (None if over else known), None
    if not may_tell:
        return known, None
    told = AlertChange(check, known.alert, cleared, known.flips if flaps else 0, deferred=True)
    calm = over and not flaps and not known.owed
    return None if calm else replace(known, told_standing=not cleared, told_at=now, flips=0), told
