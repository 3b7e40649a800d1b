"""Whose message is whose, and how much each sender may say: what a service that knows its senders hands in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a message is not taken. `muted`: it came after the one that muted its sender."""

    reason: str
    muted: bool


class SenderQuotas(Protocol):
    """The quotas of one consumer. A sender here is a subject: who speaks, and of what."""

    @property
    def mutes(self) -> bool:
        """Whether anybody may be muted."""

    def excess(self, subject: str, size: int, at_ns: int, *, first: bool = True) -> Excess | None:
        """Return why this message, stored at `at_ns` since 1970, is beyond the sender's quota; None when it is not.

        It counts when it is delivered for the `first` time.
        """

    def dead_lettered(self, subject: str, at_ns: int) -> Excess | None:
        """Count a message of this sender that became a dead letter; return why it is muted, if it is from now on."""


class Senders(Protocol):
    """Those whose messages a service consumes."""

    def place_of(self, pattern: str) -> slice | None:
        """Return where the sender's name stands in subjects of this pattern; None when they have no sender."""

    def quotas(self) -> SenderQuotas:
        """Return new quotas, for one consumer."""
