"""What every service does with a batch of vehicles' messages, whatever they say: whose each is, and what to do with one
that is not accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.faults import REPETITIONS, Fault
from protocol.subjects import vin_of
from services.platform.consumer import PoisonMessage, RetryLater

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.faults import MessageRefusedError
    from services.platform.consumer import Delivery, Unhandled

NO_VIN = "no VIN in the subject"


def by_vehicle(deliveries: Iterable[Delivery]) -> tuple[list[tuple[str, Delivery]], list[Unhandled]]:
    """Return each delivery with the VIN in its subject, and those that have none."""
    addressed: list[tuple[str, Delivery]] = []
    unhandled: list[Unhandled] = []
    for delivery in deliveries:
        try:
            addressed.append((vin_of(delivery.subject), delivery))
        except ValueError:  # its text would name what stands where a VIN belongs
            unhandled.append(PoisonMessage(delivery, NO_VIN))
    return addressed, unhandled


def disposition(delivery: Delivery, refused: MessageRefusedError) -> list[Unhandled]:
    """Return what becomes of a message that is not accepted: nothing of a repetition, which was dealt with."""
    if refused.fault in REPETITIONS:
        return []
    if refused.fault is Fault.WRONG_EPOCH:  # its hello is on its way
        return [RetryLater(delivery, str(refused))]
    return [PoisonMessage(delivery, str(refused))]


def noticed(delivery: Delivery, what: str) -> PoisonMessage:
    """Return a message that was dealt with, and shows something that the operator is to know: told of like a
    dead letter.
    """
    return PoisonMessage(delivery, f"NOTICED: {what}", merges=True, accepted=True)


def left_out(delivery: Delivery, members: Iterable[str]) -> PoisonMessage:
    """Return a message that was accepted without these members, which were not understood: told of like a dead
    letter.
    """
    return PoisonMessage(delivery, f"CUT: accepted without {', '.join(members)}", merges=True, accepted=True)
