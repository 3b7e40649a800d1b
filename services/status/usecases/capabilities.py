"""Whether a vehicle can be reached, and when it may be woken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from services.status.domain.reachability import reach_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.status.domain.reachability import LastSign, VehicleReach
    from services.status.usecases.door_status import Losses


@dataclass(frozen=True, slots=True)
class WakeUpQuestion:
    """Which vehicle is to be woken, and for whose command."""

    vin: str
    subject: str
    by_owner: bool


class WakeUpBudgets(Protocol):
    """Who counts wake-ups."""

    async def next_wake_up_us(self, question: WakeUpQuestion) -> int | None:
        """Return when, microseconds since 1970; None when nobody can tell."""


class LastSigns(Protocol):
    """Finds what the last report of a vehicle says of whether it can be reached."""

    async def last_sign(self, vin: str) -> LastSign | None:
        """Return it; None before the first."""


async def read_reach(
    signs: LastSigns,
    losses: Losses,
    budgets: WakeUpBudgets,
    now_us: Callable[[], int],
    question: WakeUpQuestion,
) -> VehicleReach:
    """Return whether the vehicle can be reached; of one that cannot, when it may be woken. Raises
    StorageUnavailableError.
    """
    last = await signs.last_sign(question.vin)
    received_at_us = last.received_at_us if last is not None else 0
    reach = reach_of(
        last,
        now_us(),
        lost_at_us=losses.lost_at_us(question.vin, received_at_us),
        cloud_is_cut_off=losses.is_lost(question.vin, received_at_us),
    )
    if not reach.state.needs_wake_up:
        return reach
    return replace(reach, wake_up_at_us=await budgets.next_wake_up_us(question))
