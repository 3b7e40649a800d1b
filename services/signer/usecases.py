"""What this room does: sign what is proven and allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from services.signer.domain import Proof, Verdict, Wish, objection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

Order = TypeVar("Order")
Order_contra = TypeVar("Order_contra", contravariant=True)


class AccessAway(Exception):
    """Nobody can tell whether there is a right: nothing is signed."""


class Rights(Protocol):
    """The access room's answer."""

    async def roles(self, questions: Sequence[tuple[str, str, str]]) -> list[int | None]:
        """For each (subject, VIN, action) the role that allows it now, as the contract numbers it; None where
        none does. Raises AccessAway.
        """


class Pen(Protocol[Order_contra]):
    """Where the key is."""

    def sign(self, order: Order_contra, role: int) -> bytes:
        """The envelope of this order, given in this role."""


@dataclass(frozen=True, slots=True)
class Request(Generic[Order]):
    """One order with what it asks for and what proves that; both None when it is not well-formed or not proven."""

    order: Order
    wish: Wish | None
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict, and the envelope of what was signed."""

    verdict: Verdict
    envelope: bytes = b""


async def sign_orders(
    rights: Rights, pen: Pen[Order], requests: Sequence[Request[Order]], now: Callable[[], datetime]
) -> list[Answer]:
    """An answer for each, in order. Raises AccessAway."""
    objections = [_objection(request, now()) for request in requests]
    unobjected = [r for r, verdict in zip(requests, objections, strict=True) if verdict is None]
    questions = [
        (request.proof.subject, request.wish.vin, request.wish.action)
        for request in unobjected
        if request.proof and request.wish
    ]
    roles = iter(await rights.roles(questions) if questions else [])
    answers = []
    for request, verdict in zip(requests, objections, strict=True):
        role = next(roles) if verdict is None else None
        if verdict is not None:
            answers.append(Answer(verdict))
        elif role is None:
            answers.append(Answer(Verdict.NOT_ALLOWED))
        else:
            # The right was asked for while time went on.
            late = _objection(request, now())
            answers.append(Answer(late) if late else Answer(Verdict.SIGNED, pen.sign(request.order, role)))
    return answers


def _objection(request: Request[Order], now: datetime) -> Verdict | None:
    if request.proof is None or request.wish is None:
        return Verdict.NOT_PROVEN
    return objection(request.wish, request.proof, now)
