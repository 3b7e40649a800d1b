"""How a denial is told: what it was for, and what its caller can do next."""

from __future__ import annotations

from services.access.domain import step_up
from services.access.domain.authorization import DenialReason
from services.access.domain.customer_cases import CaseNotOpenError
from services.access.domain.scopes import needed_for
from services.access.usecases.authorization import (
    AccessDeniedError,
    ApprovalRequiredError,
    StepUpRequiredError,
)
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.interceptor import resource_not_found
from services.platform.step_up import CHALLENGE, challenge, not_made_for
from services.product import ACTION_NOT_GRANTED_DETAIL

_WHAT = {
    step_up.UNLOCK: "To unlock",
    step_up.EMERGENCY: "An emergency unlock",
    step_up.WEAKEN: "To weaken a setting",
    step_up.GIVE: "To change who may access a vehicle",
    step_up.RESTORE: "To give an account its rights back",
    step_up.PERSONAL_DATA: "To have what is kept about a person, or have it erased,",
    step_up.SECURITY_WATCH: "To see what was abnormal about people's access",
    step_up.SECURITY_ACT: "To act upon people's access",
}
"""Every line of the step-up table, as the beginning of a sentence."""
_DENIED = {
    DenialReason.ACCOUNT_LOCKED: "This account is locked and commands nothing; contact customer support to unlock it.",
    DenialReason.ACCOUNT_RESTRICTED: "Something about the use of this account was abnormal: it reads and locks until "
    "you restore it, freshly signed in with a second factor (POST .../door/account/restore), or customer support does.",
    DenialReason.ACTION_NOT_GRANTED: ACTION_NOT_GRANTED_DETAIL,
    DenialReason.NOT_NOW: "Your access to this vehicle does not include {action} at this time: it is suspended, "
    "outside of its hours, or not accepted yet. GET .../door/grants shows it.",
    DenialReason.CLOSED_TO_AGENTS: "An agent changes no rights, factors, contact data or ownership; the customer does, "
    "signed in themselves.",
    DenialReason.SIGN_IN_NEEDED: "An API key asks nothing about the person it belongs to; send a token of their own "
    "sign-in.",
    DenialReason.FOR_ONE_VEHICLE: "This token is good for one vehicle, and this is about a person; send one without "
    "`vin`.",
    DenialReason.EMPLOYEES_ONLY: "This is for employees, whose token says that they are, and for agents about their "
    "customer.",
    DenialReason.KEY_OUT_OF_SCOPE: "This API key was not created for {action}; use one that was.",
}


def refusal_of_denial(denied: AccessDeniedError) -> Refusal:
    """Return how a denial is told, and what its caller can do next."""
    action = denied.action
    if denied.denial is DenialReason.VEHICLE_NOT_FOUND:
        return resource_not_found()
    if denied.denial is DenialReason.ACCOUNT_LOCKED:
        return Refusal(errors.ACCOUNT_LOCKED, _DENIED[denied.denial])
    if denied.denial is DenialReason.ACCOUNT_RESTRICTED:
        return Refusal(errors.REASONS["ACCOUNT_RESTRICTED"], _DENIED[denied.denial])
    if denied.denial in _DENIED:
        detail = _DENIED[denied.denial].format(action=action)
        return Refusal(errors.ACTION_NOT_GRANTED, detail, facts={"action": action})
    scope = needed_for(action)
    return Refusal(
        errors.ACTION_NOT_GRANTED,
        f"The token's scope does not include {action}; sign in for the scope {scope}.",
        facts={"action": action},
        headers={
            CHALLENGE: f'Bearer realm="remote-door-control", error="insufficient_scope", scope="{scope}"'
        },
    )


def refusal_of_sign_in(weak: StepUpRequiredError | ApprovalRequiredError | CaseNotOpenError) -> Refusal:
    """Return how is told what is still missing besides the right."""
    if isinstance(weak, CaseNotOpenError):
        return _refusal_of_case()
    if isinstance(weak, ApprovalRequiredError):
        return Refusal(
            errors.APPROVAL_REQUIRED,
            "An agent unlocks in an emergency only with a second agent's approval: have one of the same case approve "
            "it (POST .../door/emergency/approve), and send the same request again within two minutes.",
        )
    if weak.by_key:
        return not_made_for(_WHAT[weak.line])
    return challenge(weak.requirement.acr_values, weak.requirement.max_age_seconds, _WHAT[weak.line])


def _refusal_of_case() -> Refusal:
    """Return how an agent is told that the case is not open, as of a token that is not good."""
    return Refusal(
        errors.TOKEN_INVALID,
        "The token was not accepted: its case is closed, or is about another customer or vehicle. Open another case.",
        headers={
            CHALLENGE: 'Bearer realm="remote-door-control", error="invalid_token", '
            'error_description="the case is not open"'
        },
    )
