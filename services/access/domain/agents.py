"""Agents: people of a call centre who act for a customer who called them. What they may do, and how long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.access.domain import step_up
from services.access.domain.accounts import Source

if TYPE_CHECKING:
    from datetime import datetime

    from services.access.domain.accounts import Caller

LONGEST_SECONDS = 300
"""A token with which an agent acts is good for so long: a call."""
APPROVAL_TIME = timedelta(seconds=120)
"""For so long an emergency that a second agent has approved may be asked for."""
TELL_AGAIN_SECONDS = 300.0
"""Owners are told once in this time of the same agent, who does the same because of the same case."""
_CASE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLOSED = frozenset({step_up.GIVE, step_up.RESTORE})


class NotAnotherAgentError(Exception):
    """An emergency is approved by an agent, of the same case, for another one."""


@dataclass(frozen=True, slots=True)
class EmergencyApproval:
    """A second agent's word that `agent` may unlock in an emergency, because of this case."""

    vin: str
    subject: str
    agent: str
    case: str
    approved_by: str
    at: datetime

    @property
    def ends_at(self) -> datetime:
        """When it is too late."""
        return self.at + APPROVAL_TIME


@dataclass(frozen=True, slots=True)
class AgentAct:
    """What an agent asks for in a customer's name; `what` is the action, with its mode where it has one."""

    vin: str
    subject: str
    agent: str
    case: str
    what: str
    at: datetime


def check_approval(approval: EmergencyApproval) -> None:
    """Raise NotAnotherAgentError unless an agent approves another one's emergency."""
    if approval.approved_by in {approval.agent, approval.subject} or not approval.case:
        raise NotAnotherAgentError


def is_case(text: object) -> bool:
    """Return whether it is the number of a case: 1-64 letters, digits, dots, underscores and hyphens."""
    return isinstance(text, str) and _CASE.fullmatch(text) is not None


def fault_of(
    *, acts_for_another: bool, source: Source, has_vin: bool, case: object, seconds: float
) -> str | None:
    """Return what is wrong with a token as far as agents go; None when nothing is.

    An agent acts through the call centre's client, for one vehicle, because of one case, and no longer than a call
    takes; and nobody else comes through that client.
    """
    if not acts_for_another:
        return "a token of the call centre names the agent (act)" if source is Source.CALL_CENTER else None
    if source is not Source.CALL_CENTER:
        return "only the call centre's client acts for somebody else (act)"
    if not has_vin:
        return "an agent's token is for one vehicle (vin)"
    if not is_case(case):
        return "an agent's token names its case (case)"
    if seconds > LONGEST_SECONDS:
        return f"an agent's token is good for {LONGEST_SECONDS} s at most"
    return None


def is_closed_to(caller: Caller, line: str, *, closed: bool) -> bool:
    """Return whether the caller may not ask for it because it is an agent: for what it does to rights, factors or
    ownership (`line` of the step-up table), or because it is closed to agents in so many words.
    """
    return caller.is_agent and (closed or line in _CLOSED)
