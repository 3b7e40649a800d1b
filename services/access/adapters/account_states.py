"""Whether an account may be used, as it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import security_case_pb2

if TYPE_CHECKING:
    from services.access.domain.accounts import Account

_STATES = security_case_pb2.PrincipalState


def state_of(account: Account) -> security_case_pb2.PrincipalState.Value.ValueType:
    """Return whether an account may be used."""
    if account.locked_at is not None:
        return _STATES.LOCKED
    return _STATES.ACTIVE if account.restricted_at is None else _STATES.RESTRICTED
