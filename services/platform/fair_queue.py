"""What waits to be handled, so that no sender's messages stand in the way of the others'."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


class FairQueue(Generic[Key, Item]):
    """A line in which at most `share` items of each sender stand; what else it sent follows as they leave, in order.

    So whoever comes waits for no more than `share` items of any other sender.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._line: OrderedDict[Key, tuple[str, Item]] = OrderedDict()
        self._standing: dict[str, int] = {}
        self._behind: dict[str, OrderedDict[Key, Item]] = {}

    def __len__(self) -> int:
        """Return how many may be taken now."""
        return len(self._line)

    def put(self, key: Key, sender: str, item: Item) -> None:
        """Let it wait; one that waits already is replaced where it stands."""
        if key in self._line:
            self._line[key] = (sender, item)
            return
        standing = self._standing.get(sender, 0)
        if standing < self._share:
            self._standing[sender] = standing + 1
            self._line[key] = (sender, item)
        else:
            self._behind.setdefault(sender, OrderedDict())[key] = item

    def take(self, most: int) -> list[tuple[Key, str, Item]]:
        """Return the first `most`, in order, with their senders. A sender whose items alone wait may have all of
        them.
        """
        taken: list[tuple[Key, str, Item]] = []
        line, standing, behind = self._line, self._standing, self._behind
        pop = line.popitem
        for _ in range(most):
            if not line:
                break
            key, (sender, item) = pop(last=False)
            taken.append((key, sender, item))
            if behind and sender in behind:
                following = behind[sender]
                next_key, next_item = following.popitem(last=False)
                line[next_key] = (sender, next_item)
                if not following:
                    del behind[sender]
                continue
            left = standing[sender] - 1
            if left:
                standing[sender] = left
            else:
                del standing[sender]
        return taken
