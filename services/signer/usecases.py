"""What this room does: sign what is proven and allowed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from services.signer.domain import Proof, Right, Verdict, Wish, beyond_the_right, objection, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

Order = TypeVar("Order")
Order_contra = TypeVar("Order_contra", contravariant=True)


class AccessAway(Exception):
    """Nobody can tell whether there is a right: nothing is signed."""


@dataclass(frozen=True, slots=True)
class Question:
    """May `actor`, on behalf of `subject`, do `action` to `vin` now, with what it was asked for with?"""

    subject: str
    actor: str
    vin: str
    action: str
    credential: str = ""


class Rights(Protocol):
    """The access room's answer."""

    async def rights(self, questions: Sequence[Question]) -> list[Right | None]:
        """For each the right that allows it now; None where none does. Raises AccessAway."""


class Pen(Protocol[Order_contra]):
    """Where the key is."""

    def sign(self, order: Order_contra, role: int, shortened_by: timedelta) -> bytes:
        """The envelope of this order, given in this role, with its end so much earlier than it came."""


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


CANCELS_AS = 3
"""The role of the cloud's own cancellations, GRANT_ROLE_DIGITAL_KEY: the least that a vehicle takes one from."""
_NOT_SHORTENED = timedelta()


async def sign_orders(
    rights: Rights, pen: Pen[Order], requests: Sequence[Request[Order]], now: Callable[[], datetime]
) -> list[Answer]:
    """An answer for each, in order. Raises AccessAway."""
    found = await _judged(rights, requests, now)
    answers = []
    for request, (verdict, right) in zip(requests, found, strict=True):
        if verdict is not Verdict.SIGNED or request.wish is None:
            answers.append(Answer(verdict))
        elif request.wish.withdrawn_at is not None or right is None:
            answers.append(Answer(verdict, pen.sign(request.order, CANCELS_AS, _NOT_SHORTENED)))
        else:
            cut = beyond_the_right(request.wish, right, now())
            answers.append(Answer(verdict, pen.sign(request.order, right.role, cut)))
    return answers


async def review_orders(
    rights: Rights, requests: Sequence[Request[Order]], now: Callable[[], datetime]
) -> list[Verdict]:
    """What sign_orders would say of each. Raises AccessAway."""
    return [verdict for verdict, _ in await _judged(rights, requests, now)]


async def _judged(
    rights: Rights, requests: Sequence[Request[Order]], now: Callable[[], datetime]
) -> list[tuple[Verdict, Right | None]]:
    objections = [_objection(request, now()) for request in requests]
    unobjected = [r for r, verdict in zip(requests, objections, strict=True) if verdict is None]
    questions = [
        Question(
            request.proof.subject,
            request.proof.actor,
            request.wish.vin,
            request.wish.action,
            request.proof.credential,
        )
        for request in unobjected
        if request.proof and request.wish
    ]
    found = iter(await rights.rights(questions) if questions else [])
    judged: list[tuple[Verdict, Right | None]] = []
    for request, verdict in zip(requests, objections, strict=True):
        if verdict is not None or request.wish is None:
            judged.append((verdict or Verdict.NOT_PROVEN, None))
            continue
        right = next(found)
        # The right was asked for while time went on.
        judged.append((_objection(request, now()) or verdict_of(request.wish, right, now()), right))
    return judged


def _objection(request: Request[Order], now: datetime) -> Verdict | None:
    if request.proof is None or request.wish is None:
        return Verdict.NOT_PROVEN
    return objection(request.wish, request.proof, now)
