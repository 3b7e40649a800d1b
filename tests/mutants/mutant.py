"""A mutant: the reference unit with one planted fault, and the rules of the conformance kit that must find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Swap:
    """Puts other parts into the reference unit, and the old ones back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def __call__(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """`make` gets what `owner.name` is and returns what it is from now on. Raises KeyError when there is none:
        a fault planted in what is not there any more is no fault.
        """
        self._before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, make(getattr(owner, name)))

    def undo(self) -> None:
        """As it was."""
        for owner, name, was in reversed(self._before):
            setattr(owner, name, was)
        self._before.clear()


@dataclass(frozen=True, slots=True)
class Mutant:
    """`fails` are the rules that must be violated, each. `besides` are played with them, so that they find what they
    look for. `stays_good`: a good order is obeyed all the same, before and after.
    """

    name: str
    fault: str
    plant: Callable[[Swap], None]
    fails: tuple[str, ...]
    besides: tuple[str, ...]
    link: str
    stays_good: bool


MUTANTS: dict[str, Mutant] = {}


def mutant(
    *fails: str, besides: tuple[str, ...] = (), link: str = "nats", stays_good: bool = True
) -> Callable[[Callable[[Swap], None]], Callable[[Swap], None]]:
    """Registers the function that plants the fault: its name is the mutant's, its docstring says what is wrong."""

    def register(plant: Callable[[Swap], None]) -> Callable[[Swap], None]:
        name = plant.__name__.replace("_", "-")
        assert name not in MUTANTS
        fault = " ".join((plant.__doc__ or "").split())
        MUTANTS[name] = Mutant(name, fault, plant, fails, besides, link, stays_good)
        return plant

    return register


def to(value: Any) -> Callable[[Any], Any]:
    """For Swap: this, whatever it was."""
    return lambda _was: value
