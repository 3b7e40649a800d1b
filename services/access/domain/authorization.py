"""What a caller may ask for: decided from what it is to the vehicle and from what its bearer allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from services.access.domain import persons
from services.access.domain.abnormal import RESTRICTED_ACTIONS
from services.access.domain.grants import RESTORE, STATUS_READ, UPDATES_READ
from services.access.domain.watching import CASE_READ, FLEET_FAILURES_READ, WATCH

if TYPE_CHECKING:
    from services.access.domain.accounts import Caller
    from services.access.domain.permissions import EffectivePermissions
    from services.access.domain.step_up import Requirement


class DenialReason(Enum):
    """Why a caller may not do something to a vehicle."""

    ACCOUNT_LOCKED = "ACCOUNT_LOCKED"
    ACCOUNT_RESTRICTED = "ACCOUNT_RESTRICTED"
    VEHICLE_NOT_FOUND = "VEHICLE_NOT_FOUND"
    """The same for a vehicle that there is and for one that there is not."""
    ACTION_NOT_GRANTED = "ACTION_NOT_GRANTED"
    NOT_NOW = "NOT_NOW"
    """A grant allows it that is suspended, not accepted yet, or outside of its hours."""
    CLOSED_TO_AGENTS = "CLOSED_TO_AGENTS"
    """Not for who acts for somebody else."""
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    FOR_ONE_VEHICLE = "FOR_ONE_VEHICLE"
    """The bearer is good for some vehicles, and what is about a person is about all of theirs."""
    EMPLOYEES_ONLY = "EMPLOYEES_ONLY"
    """For who watches over access, and the caller is neither an employee nor an agent."""
    KEY_OUT_OF_SCOPE = "KEY_OUT_OF_SCOPE"
    """An API key that was not created for it."""
    SIGN_IN_NEEDED = "SIGN_IN_NEEDED"
    """An API key asks for what only the person does, signed in."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a capability is for: one action of one service, in a mode where that was asked for."""

    service: str
    action: str
    mode: str = ""
    step_up: tuple[str, Requirement] | None = None
    """The line of the step-up table that the service judges by itself, with what it asks for."""


def has_right_on(permissions: EffectivePermissions, caller: Caller, vin: str) -> bool:
    """Return whether the caller may know of this vehicle: they have a right on it, and their bearer is for it."""
    return bool(permissions.actions) and (caller.only_vins is None or vin in caller.only_vins)


def denial_of(
    permissions: EffectivePermissions, caller: Caller, vin: str, action: str
) -> DenialReason | None:
    """Return why the caller may not do `action` to `vin`; None when it may."""
    if permissions.locked:
        return DenialReason.ACCOUNT_LOCKED
    if not has_right_on(permissions, caller, vin):
        return DenialReason.VEHICLE_NOT_FOUND
    if permissions.restricted and action not in RESTRICTED_ACTIONS:
        return DenialReason.ACCOUNT_RESTRICTED
    if action not in permissions.actions:
        return DenialReason.NOT_NOW if action in permissions.dormant else DenialReason.ACTION_NOT_GRANTED
    return _denial_of_reach(caller, action)


def _denial_of_reach(caller: Caller, action: str) -> DenialReason | None:
    """Return why what the caller shows is not made for `action`."""
    if caller.scope is not None and action not in caller.scope:
        return DenialReason.OUT_OF_SCOPE if caller.carries is None else DenialReason.KEY_OUT_OF_SCOPE
    if action == RESTORE and caller.only_vins is not None and not (caller.carries or caller.is_agent):
        return DenialReason.FOR_ONE_VEHICLE  # what it restores is the account, with all of its vehicles
    return None


def denial_of_person(
    permissions: EffectivePermissions,
    caller: Caller,
    action: str,
    *,
    needs_step_up: bool,
    open_to_keys: bool = False,
) -> DenialReason | None:
    """Return why the caller may not ask for `action` about themselves, and no vehicle; None when they may.

    Where it is `open_to_keys`, an API key may ask whose scope names it.
    """
    if permissions.locked:
        return DenialReason.ACCOUNT_LOCKED
    by_key = open_to_keys and caller.carries is not None
    if not by_key and (denial := _denial_of_bearer(caller)) is not None:
        return denial
    if permissions.restricted and not persons.is_open_to_restricted(action, needs_step_up=needs_step_up):
        return DenialReason.ACCOUNT_RESTRICTED
    if caller.scope is not None and action not in caller.scope:
        return DenialReason.KEY_OUT_OF_SCOPE if by_key else DenialReason.OUT_OF_SCOPE
    # A webhook tells of vehicles, and outlives the token: who could not read them themselves has none. A key is asked
    # about when something is sent.
    reads = caller.scope is None or UPDATES_READ in caller.scope
    return None if by_key or reads or action not in persons.WEBHOOKS else DenialReason.OUT_OF_SCOPE


def _denial_of_bearer(caller: Caller) -> DenialReason | None:
    """Return why it is none with which a person asks about themselves."""
    if caller.is_agent:
        return DenialReason.CLOSED_TO_AGENTS
    if caller.carries is not None:
        return DenialReason.SIGN_IN_NEEDED
    return None if caller.only_vins is None else DenialReason.FOR_ONE_VEHICLE


def denial_of_watcher(permissions: EffectivePermissions, caller: Caller, action: str) -> DenialReason | None:
    """Return why the caller may not do `action` about people's accounts; None when it may. `permissions` are those of
    who acts, of whom their account alone counts.
    """
    if permissions.locked:
        return DenialReason.ACCOUNT_LOCKED
    if not (caller.is_employee or caller.is_agent):
        return DenialReason.EMPLOYEES_ONLY
    if not _is_in_scope_of_watcher(caller, action):
        return DenialReason.OUT_OF_SCOPE
    # An agent's vehicle is the one that their case is about.
    if caller.is_employee and caller.only_vins is not None:
        return DenialReason.FOR_ONE_VEHICLE
    if permissions.restricted and action not in {WATCH, CASE_READ, FLEET_FAILURES_READ}:
        return DenialReason.ACCOUNT_RESTRICTED
    return None


def _is_in_scope_of_watcher(caller: Caller, action: str) -> bool:
    """Return whether the scope of their token names it. An agent looks at their own case by what lets them look at the
    vehicle.
    """
    if action == CASE_READ and caller.is_agent:
        return caller.scope is None or not caller.scope.isdisjoint({CASE_READ, STATUS_READ})
    return caller.scope is not None and action in caller.scope
