"""Whether the broker takes messages, judged by those that it did not confirm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.platform.health import HealthCondition

SUBJECTS_REFUSED = 3
"""So many subjects in a row that the broker takes nothing on are no single recipient's doing."""


class RefusedMessages:
    """Keeps `condition` true to it. One recipient whose messages are refused, for its quota or their size, is no sign;
    many are, and so is a `probe` that fails: it publishes something, and raises what `failures` names.
    """

    def __init__(
        self,
        condition: HealthCondition,
        probe: Callable[[], Awaitable[None]] | None,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._condition = condition
        self._probe = probe
        self._failures = failures
        self._refused: set[str] = set()
        self._refused_before: set[str] = set()

    def note(self, subjects: Sequence[str], confirmed: Sequence[bool]) -> None:
        """Messages on these subjects were published, and these confirmed."""
        if any(confirmed):
            if self._refused:
                self._clear()
        elif subjects:
            self._refused.update(subjects[:SUBJECTS_REFUSED])
            self._condition.bad("the broker confirms nothing")

    async def look(self) -> None:
        """Find out whether the broker takes messages again, or refused those of few recipients only."""
        if not self._refused or self._probe is None:
            return
        lately, self._refused_before = self._refused - self._refused_before, set(self._refused)
        try:
            await self._probe()
        except self._failures as error:
            self._condition.bad(str(error) or "no answer")
        else:
            if len(lately) < SUBJECTS_REFUSED:
                self._clear()

    def _clear(self) -> None:
        self._refused.clear()
        self._refused_before.clear()
        self._condition.good()
