"""Who waits for a command's end, and how they learn of it.

Nothing is looked up again and again: the commit that ends a command wakes who waits for it in this process. Another
replica that may end it is told that somebody waits, and says so when it does; one that has ended it a moment ago says
so at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_REMEMBERED = 2_000
"""So many ends, and so many commands that other replicas wait for, are remembered."""


class Replicas(Protocol):
    """The other processes of this service. None of these fails, or waits."""

    def tell_awaited(self, command_id: str) -> None:
        """Say that this process waits for the end of this command."""

    def tell_ended(self, command_id: str) -> None:
        """Say that this command has ended, to those that wait for it."""


@dataclass(frozen=True, slots=True)
class WaitRight:
    """What somebody may look at a command by: who for whom, on which vehicle, with which key, because of which case."""

    subject: str
    actor: str
    vin: str
    credential: str = ""
    case: str = ""


class CommandWait:
    """Somebody's wait for one command, which is being accepted as long as it has no id."""

    right_ended = False
    """Whether what they waited by has ended: how the command stands is told to them no more."""

    def __init__(self, right: WaitRight | None) -> None:
        self.right = right
        self.command_id = ""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let them look."""
        self._woken.set()

    async def until_ended(self, seconds: float) -> bool:
        """Return True once they are to look, or False after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        return self._woken.is_set()


class CommandWaits:
    """At most `most` wait in this process, and `most_of_one` of one person: whoever comes then is answered at once."""

    def __init__(self, replicas: Replicas, most: int, most_of_one: int) -> None:
        self._replicas = replicas
        self._most = most
        self._most_of_one = most_of_one
        self._all: dict[CommandWait, None] = {}
        self._waits: dict[str, list[CommandWait]] = {}
        self._by_person: Counter[str] = Counter()
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._awaited_elsewhere: OrderedDict[str, None] = OrderedDict()
        self._closed = False

    @contextlib.contextmanager
    def waiting(self, person: str, right: WaitRight | None = None) -> Iterator[CommandWait | None]:
        """Have `person` wait by this right; None where too many do, or the process ends.

        It begins before the command is accepted, so that an end of the right meanwhile is not missed; `follow` says
        which command it is.
        """
        if (
            self._closed
            or self._by_person.total() >= self._most
            or self._by_person[person] >= self._most_of_one
        ):
            yield None
            return
        wait = CommandWait(right)
        self._by_person[person] += 1
        self._all[wait] = None
        try:
            yield wait
        finally:
            self._by_person[person] -= 1
            if not self._by_person[person]:
                del self._by_person[person]
            del self._all[wait]
            if wait.command_id:
                waits = self._waits[wait.command_id]
                waits.remove(wait)
                if not waits:
                    del self._waits[wait.command_id]

    def follow(self, wait: CommandWait, command_id: str) -> None:
        """Have it wait for this command. What ended before is not told: look at the command once after this."""
        wait.command_id = command_id
        self._waits.setdefault(command_id, []).append(wait)
        self._replicas.tell_awaited(command_id)

    def committed(self, command_ids: Iterable[str]) -> None:
        """Note that these have ended, in a commit of this process."""
        for command_id in command_ids:
            _remember(self._ended, command_id)
            self.ended(command_id)
            if command_id in self._awaited_elsewhere:
                del self._awaited_elsewhere[command_id]
                self._replicas.tell_ended(command_id)

    def ended(self, command_id: str) -> None:
        """Wake who waits for this command: it has ended, wherever."""
        for wait in self._waits.get(command_id, ()):
            wait.wake()

    def end_rights(self, has_ended: Callable[[WaitRight], bool]) -> None:
        """Let nobody wait any more whose right has ended, as `has_ended` says."""
        for wait in self._all:
            if wait.right is not None and has_ended(wait.right):
                wait.right_ended = True
                wait.wake()

    def awaited(self, command_id: str) -> None:
        """Note that another process waits for the end of this command."""
        if command_id in self._ended:
            self._replicas.tell_ended(command_id)
        else:
            _remember(self._awaited_elsewhere, command_id)

    def close(self) -> None:
        """Let nobody wait any more: whoever does is answered with how the command stands."""
        self._closed = True
        for wait in self._all:
            wait.wake()


def _remember(among: OrderedDict[str, None], command_id: str) -> None:
    among[command_id] = None
    if len(among) > MOST_REMEMBERED:
        among.popitem(last=False)
