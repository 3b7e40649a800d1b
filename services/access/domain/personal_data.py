"""What a person may ask about their data: an export, and to be erased. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

MOST_DOWNLOADS = 3
EXPORT_TIME = timedelta(hours=1)
AFTER_A_STOP = timedelta(days=7)
"""For so long a person who was locked or restricted can take an erasure back after they have their account again:
whoever had it meanwhile may have asked.
"""
ACCOUNT_STOPPED = "ACCOUNT_STOPPED"
OPEN_CASE = "OPEN_CASE"
SERVICE_AWAY = "SERVICE_AWAY"
ERASED_LOCK = "The person asked to be erased."
"""The reason in the account's lock while it is being done."""


class PersonalDataUnknownError(Exception):
    """None of this id is the caller's, or it can be fetched no longer."""


class ErasureBegunError(Exception):
    """It is being done, or is done."""


class TooManyExportsError(Exception):
    """A file of this person's is being made, or as many as may be at once."""


@dataclass(frozen=True, slots=True)
class PersonalExport:
    """That a person asked for what is kept about them."""

    export_id: str
    person: str
    requested_at: datetime
    expires_at: datetime
    downloads: int = 0

    def is_ready(self, at: datetime) -> bool:
        """Return whether its file can be fetched."""
        return at < self.expires_at and self.downloads < MOST_DOWNLOADS


class ErasureStage(Enum):
    """How far an erasure is."""

    WAITING = "WAITING"
    DEFERRED = "DEFERRED"
    ERASING = "ERASING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


CAN_BE_TAKEN_BACK = (ErasureStage.WAITING, ErasureStage.DEFERRED)


@dataclass(frozen=True, slots=True)
class PersonErasure:
    """That a person asked to be erased. `person` is empty once they are, or took it back."""

    erasure_id: str
    person: str
    requested_at: datetime
    due_at: datetime
    stage: ErasureStage = ErasureStage.WAITING
    in_the_way: str = ""
    ended_at: datetime | None = None

    def taken_back(self, at: datetime) -> PersonErasure:
        """Return it after its person took it back. Raises ErasureBegunError."""
        if self.stage is ErasureStage.CANCELLED:
            return self
        if self.stage not in CAN_BE_TAKEN_BACK:
            raise ErasureBegunError
        return replace(self, stage=ErasureStage.CANCELLED, person="", in_the_way="", ended_at=at)
