"""Step-up authentication (RFC 9470): how it is asked for, and what a capability says of it.

The access service judges most requests by itself. Where only the service behind can tell whether a request needs it,
the capability carries until when the caller's authentication is good enough, and what to ask for otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.options.v1 import options_pb2

from services.platform import errors
from services.platform.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.descriptor import Descriptor

CHALLENGE = "www-authenticate"
"""The header of a challenge (RFC 9110, 11.6.1)."""
BEARER = "Bearer"
"""The scheme of a token that whoever has it may use (RFC 6750)."""


@dataclass(frozen=True, slots=True)
class StepUpState:
    """Until when (seconds since 1970) the caller's authentication is good enough, and what is asked for past it.

    Without `acr_values` the bearer cannot get any stronger: it is an API key. `scheme` is how the challenge begins, and
    `parameters` what else it says: those of the way in which the token came.
    """

    until: float
    acr_values: tuple[str, ...] = ()
    max_age_seconds: int = 0
    scheme: str = BEARER
    parameters: str = ""

    def is_met(self, now: float) -> bool:
        """Return whether the authentication is good enough at this moment."""
        return now < self.until

    def refusal(self, what: str) -> Refusal:
        """Return the refusal of `what` ("To weaken a setting") where it is not."""
        if not self.acr_values:
            return not_made_for(what)
        return challenge(self.acr_values, self.max_age_seconds, what, self.scheme, self.parameters)


def challenge(
    acr_values: Sequence[str], max_age_seconds: int, what: str, scheme: str = BEARER, parameters: str = ""
) -> Refusal:
    """Return the refusal that asks for a newer token, with the challenge as RFC 9470 writes it.

    It begins with `scheme`, and ends with what else is said of it.
    """
    words = " ".join(acr_values)
    said = [
        'error="insufficient_user_authentication"',
        'error_description="A stronger or more recent authentication is required"',
        f'acr_values="{words}"',
        f'max_age="{max_age_seconds}"',
        *([parameters] if parameters else []),
    ]
    return Refusal(
        errors.STEP_UP_REQUIRED,
        f"{what} needs a sign-in of class {' or '.join(acr_values)} that is at most {max_age_seconds} s old; "
        "sign in again and send the same request, under the same X-Correlation-ID, with the new token.",
        facts={"acrValues": words, "maxAge": max_age_seconds},
        headers={CHALLENGE: f"{scheme} {', '.join(said)}"},
    )


def not_made_for(what: str) -> Refusal:
    """Return the refusal of a bearer that cannot step up."""
    return Refusal(
        errors.ACTION_NOT_GRANTED,
        f"{what} needs more than this bearer was made for, and it cannot be made stronger; use an API key that was "
        "created for it, or a token of a fresh sign-in.",
    )


def state_in(claims: Mapping[str, Any]) -> StepUpState | None:
    """Return what a capability's claims say of it; None where they say nothing."""
    told = claims.get("step_up")
    if told is None:
        return None
    until = told.get("until")
    return StepUpState(
        math.inf if until is None else float(until),
        tuple(str(each) for each in told["acr_values"]),
        int(told["max_age"]),
        str(told.get("scheme", BEARER)),
        str(told.get("parameters", "")),
    )


def claims_of(state: StepUpState) -> dict[str, Any]:
    """Return the same as a capability's claims."""
    told: dict[str, Any] = {"acr_values": list(state.acr_values), "max_age": state.max_age_seconds}
    if state.scheme != BEARER:
        told |= {"scheme": state.scheme, "parameters": state.parameters}
    return {"step_up": told if state.until == math.inf else {**told, "until": state.until}}


class WeakeningRules:
    """Which changes of the fields of a message weaken security, as the fields' `weakens` option says."""

    def __init__(self, message: Descriptor) -> None:
        self._rules = {
            field.name: field.GetOptions().Extensions[options_pb2.weakens]
            for field in message.fields
            if field.GetOptions().HasExtension(options_pb2.weakens)
        }

    @property
    def fields(self) -> frozenset[str]:
        """The fields that have one."""
        return frozenset(self._rules)

    def weakened(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """Return the fields whose change is for the worse. Raises KeyError for a field that is in neither."""
        return [name for name, rule in self._rules.items() if _is_weaker(rule, before[name], after[name])]


def _is_weaker(rule: options_pb2.Weakening, before: Any, after: Any) -> bool:
    if after == before:
        return False
    if rule.HasField("becoming"):
        return bool(after == rule.becoming)
    if rule.loosening:
        order = list(rule.loosening)
        return order.index(after) > order.index(before)
    return bool(rule.growing and after > before)
