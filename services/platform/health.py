"""What must hold for a process to be of use, and who is told when it does not.

A condition is good until somebody who knows better says otherwise. It counts as failing once it has been bad for its
patience, so that an election of the broker or a slow moment takes nobody out, and is good again at once. The standard
health service tells of it under several names, because not everything stops with one part:

- "": everything holds. For operators and their alarms.
- the full names of the gRPC services: calls can be answered (CALLS). Envoy and the other services act on it.
- COMMANDS, STREAMS: what these need holds. Envoy acts on it for the routes that take commands or begin streams.
- ALIVE: nothing has gone wrong that only a restart can mend. For whoever supervises the process.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

import structlog

from services.platform.clock import CLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


CALLS = "calls"
COMMANDS = "commands"
STREAMS = "streams"
ALIVE = "alive"
GROUPS = (CALLS, COMMANDS, STREAMS, ALIVE)

LOOK_SECONDS = 0.5
_log = structlog.get_logger()


class HealthCondition:
    """One thing that must hold. Made by `Health.condition`."""

    def __init__(
        self,
        name: str,
        patience_seconds: float,
        needed_by: frozenset[str],
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self.needed_by = needed_by
        self.reason = ""
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._bad_since: float | None = None

    @property
    def failing(self) -> bool:
        """Whether it has been bad for longer than there is patience."""
        return self._bad_since is not None and self._monotonic() - self._bad_since >= self._patience_seconds

    def good(self) -> None:
        """Note that it holds."""
        self._bad_since = None
        self.reason = ""

    def bad(self, reason: str, *, since: float | None = None, surely: bool = False) -> None:
        """Note that it does not hold, for this reason, from now on or `since` then. What is sure needs no patience."""
        if surely:
            self._bad_since = -inf
        elif self._bad_since is None:
            self._bad_since = self._monotonic() if since is None else since
        self.reason = reason


class Health:
    """The conditions of one process. `monotonic` counts seconds."""

    def __init__(self, monotonic: Callable[[], float] = CLOCK.monotonic) -> None:
        self._monotonic = monotonic
        self._conditions: list[HealthCondition] = []
        self._failing: dict[str, str] = {}
        self._failing_groups: frozenset[str] = frozenset()

    def condition(
        self, name: str, *, patience_seconds: float = 0.0, needed_by: Iterable[str] = ()
    ) -> HealthCondition:
        """Add one; `needed_by` are the groups that cannot go on without it. Good from the start."""
        condition = HealthCondition(name, patience_seconds, frozenset(needed_by), self._monotonic)
        self._conditions.append(condition)
        return condition

    @property
    def failing(self) -> dict[str, str]:
        """What does not hold, by name, with the reason, as of the last look."""
        return self._failing

    def serves(self, group: str) -> bool:
        """Return whether all that this group needs holds, as of the last look; "" needs everything."""
        return group not in self._failing_groups if group else not self._failing

    def look(self) -> None:
        """Bring `failing` and `serves` up to date, and log what has changed."""
        bad = [condition for condition in self._conditions if condition.failing]
        failing = {condition.name: condition.reason for condition in bad}
        for name in failing.keys() - self._failing.keys():
            _log.warning("health_condition_failing", condition=name, reason=failing[name])
        for name in self._failing.keys() - failing.keys():
            _log.info("health_condition_restored", condition=name)
        self._failing = failing
        self._failing_groups = frozenset[str]().union(*(condition.needed_by for condition in bad))

    async def keep(self, tell: Callable[[], Awaitable[None]] | None = None) -> None:
        """Look until cancelled, and `tell` whenever something has changed, where somebody is to be told."""
        told: tuple[bool, frozenset[str]] | None = None
        while True:
            self.look()
            state = (not self._failing, self._failing_groups)
            if tell is not None and state != told:
                await tell()
                told = state
            await asyncio.sleep(LOOK_SECONDS)
