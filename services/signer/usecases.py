"""What this service does: sign what is proven and allowed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from services.signer.domain import (
    AuthorizationEvidence,
    CurrentRight,
    SigningOutcome,
    SigningRequest,
    beyond_the_right,
    denial_reason,
    verdict_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

Order = TypeVar("Order")
Order_contra = TypeVar("Order_contra", contravariant=True)


class AccessUnavailableError(Exception):
    """Nobody can tell whether there is a right: nothing is signed."""


@dataclass(frozen=True, slots=True)
class PermissionQuery:
    """Whether `actor`, on behalf of `subject`, may do `action` to `vin` now, with what it was asked for with."""

    subject: str
    actor: str
    vin: str
    action: str
    credential: str = ""


class Rights(Protocol):
    """The access service's answer."""

    async def rights(self, questions: Sequence[PermissionQuery]) -> list[CurrentRight | None]:
        """For each the right that allows it now; None where none does. Raises AccessUnavailableError."""


class OrderSigner(Protocol[Order_contra]):
    """Where the key is."""

    def sign(self, order: Order_contra, role: int, shortened_by: timedelta) -> bytes:
        """Return the envelope of this order, given in this role, with its end so much earlier than it came."""


@dataclass(frozen=True, slots=True)
class EvidencedOrder(Generic[Order]):
    """One order with what it asks for and what proves that; both None when it is not well-formed or not proven."""

    order: Order
    signing_request: SigningRequest | None
    proof: AuthorizationEvidence | None


@dataclass(frozen=True, slots=True)
class SigningResult:
    """The verdict, and the envelope of what was signed."""

    verdict: SigningOutcome
    envelope: bytes = b""


CANCELS_AS = 3
"""The role of the cloud's own cancellations, GRANT_ROLE_DIGITAL_KEY: the least that a vehicle takes one from."""
_NOT_SHORTENED = timedelta()


async def sign_orders(
    rights: Rights,
    order_signer: OrderSigner[Order],
    requests: Sequence[EvidencedOrder[Order]],
    now: Callable[[], datetime],
) -> list[SigningResult]:
    """Return an answer for each, in order. Raises AccessUnavailableError."""
    found = await _decide(rights, requests, now)
    answers = []
    for request, (verdict, right) in zip(requests, found, strict=True):
        if verdict is not SigningOutcome.SIGNED or request.signing_request is None:
            answers.append(SigningResult(verdict))
        elif request.signing_request.cancelled_at is not None or right is None:
            answers.append(
                SigningResult(verdict, order_signer.sign(request.order, CANCELS_AS, _NOT_SHORTENED))
            )
        else:
            cut = beyond_the_right(request.signing_request, right, now())
            answers.append(SigningResult(verdict, order_signer.sign(request.order, right.role, cut)))
    return answers


async def review_orders(
    rights: Rights, requests: Sequence[EvidencedOrder[Order]], now: Callable[[], datetime]
) -> list[SigningOutcome]:
    """Return what sign_orders would say of each. Raises AccessUnavailableError."""
    return [verdict for verdict, _ in await _decide(rights, requests, now)]


async def _decide(
    rights: Rights, requests: Sequence[EvidencedOrder[Order]], now: Callable[[], datetime]
) -> list[tuple[SigningOutcome, CurrentRight | None]]:
    denials = [_denial_reason(request, now()) for request in requests]
    undenied = [r for r, verdict in zip(requests, denials, strict=True) if verdict is None]
    questions = [
        PermissionQuery(
            request.proof.subject,
            request.proof.actor,
            request.signing_request.vin,
            request.signing_request.action,
            request.proof.credential,
        )
        for request in undenied
        if request.proof and request.signing_request
    ]
    found = iter(await rights.rights(questions) if questions else [])
    decided: list[tuple[SigningOutcome, CurrentRight | None]] = []
    for request, verdict in zip(requests, denials, strict=True):
        if verdict is not None or request.signing_request is None:
            decided.append((verdict or SigningOutcome.NOT_PROVEN, None))
            continue
        right = next(found)
        # The right was asked for while time went on.
        decided.append(
            (_denial_reason(request, now()) or verdict_of(request.signing_request, right, now()), right)
        )
    return decided


def _denial_reason(request: EvidencedOrder[Order], now: datetime) -> SigningOutcome | None:
    if request.proof is None or request.signing_request is None:
        return SigningOutcome.NOT_PROVEN
    return denial_reason(request.signing_request, request.proof, now)
