"""Watching over access: what employees and agents may do about people's accounts. Standard library only."""

from __future__ import annotations

WATCH = "security.watch"
"""To see what was abnormal."""
ACT = "security.act"
"""To acknowledge it, and to stop and restore accounts."""
CASE_READ = "case.read"
"""To see which customer and vehicles a case is about. An agent's token needs no scope of that name: who may look at the
vehicle may look at the case because of which they do."""
FLEET_FAILURES_READ = "fleet.failures.read"
"""To see why commands failed in the whole fleet: about no vehicle and no person."""
ACTIONS = frozenset({WATCH, ACT, CASE_READ, FLEET_FAILURES_READ})
EMPLOYEE = "employee"
"""The role (RFC 9068, 2.2.3.1) in the token of an employee."""
MAX_EMPLOYEE_NAME = 64
EMPLOYEES, AGENTS = "employee", "agent"


def employee_name(subject: str) -> str:
    """Return how the record names an employee: as the operator of that name, but for how they came."""
    return f"{EMPLOYEES}/{subject}"


def agent_name(actor: str, most: int) -> str:
    """Return how the record names an agent, in at most so many characters."""
    return f"{AGENTS}/{actor}"[:most]
