"""The right that a capability tells of, which ends sooner or later than the capability itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.status.domain.rights import EndingCause, WatchRight

if TYPE_CHECKING:
    from services.platform.capability import Capability

OWNER = "OWNER"
"""The role in a capability."""


def watch_right(capability: Capability) -> WatchRight:
    """Return the right behind this capability, for a stream to run on."""
    return WatchRight(
        capability.subject,
        capability.actor,
        capability.read_at,
        capability.ends_at,
        EndingCause.TOKEN if capability.ends_with == EndingCause.TOKEN.value else EndingCause.GRANT,
        capability.credential,
        capability.key_id,
        capability.since,
        is_owner=capability.role == OWNER,
        case=capability.case,
    )
