"""The one way in which the protocol refuses: MessageRefusedError, with a code.

The codes are `vehicle.v1.ProtocolFault`'s, number for number.
"""

from __future__ import annotations

from enum import IntEnum


class Fault(IntEnum):
    """Why a message was refused."""

    TOO_LARGE = 1
    MALFORMED = 2
    NOT_FOR_US = 3
    UNKNOWN_KEY = 4
    REVOKED_KEY = 5
    EXPIRED_KEY = 6
    BAD_SIGNATURE = 7
    WRONG_TYPE = 8
    WRONG_VEHICLE = 9
    WRONG_DOMAIN = 10
    WRONG_EPOCH = 11
    EXPIRED = 12
    VALID_TOO_LONG = 13
    COUNTER_NOT_NEW = 14
    COUNTER_TOO_LARGE = 15
    ROLE_NOT_ALLOWED = 16
    WRONG_REQUEST = 17
    STALE_SESSION = 18
    MANIFEST_ROLLBACK = 19


SYNCHRONISATION = frozenset(
    {
        Fault.UNKNOWN_KEY,
        Fault.EXPIRED_KEY,
        Fault.WRONG_EPOCH,
        Fault.EXPIRED,
        Fault.VALID_TOO_LONG,
        Fault.COUNTER_NOT_NEW,
        Fault.COUNTER_TOO_LARGE,
    }
)
"""The sender is out of step: the vehicle's answer carries session information, and the cloud may sign again."""

ANSWERED = SYNCHRONISATION | {
    Fault.WRONG_TYPE,
    Fault.WRONG_VEHICLE,
    Fault.WRONG_DOMAIN,
    Fault.ROLE_NOT_ALLOWED,
}
"""The vehicle answers these. All others could come from anybody who reaches the broker, and an answer to noise
would cost a signature and the battery; the key faults are answered because keys are rotated in earnest."""


REPETITIONS = frozenset({Fault.COUNTER_NOT_NEW, Fault.STALE_SESSION})
"""To the cloud, what was dealt with before and came again: dropped without a word."""


class MessageRefusedError(ValueError):
    """These bytes are not a message to act on. `fault` says why to programs, the text to people.

    The text never holds keys, signatures or a VIN.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.name}: {detail}")
        self.fault = fault
        self.detail = detail
