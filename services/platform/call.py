"""What is known of the call being served."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.platform.capability import Capability
    from services.platform.session import Session


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `capability` is None for RPCs between services, whose callers are known by certificate, and for those
    about a caller, who have a session.
    """

    method: str
    correlation_id: str
    peer: str
    capability: Capability | None
    metadata: dict[str, str]
    changes: bool = False
    """Whether it is to change something."""
    session: Session | None = None
    _recorded: list[bool] = field(default_factory=list, compare=False, repr=False)

    @property
    def is_recorded(self) -> bool:
        """Whether the audit entry of its decision is part of a commit."""
        return bool(self._recorded)

    def note_recorded(self) -> None:
        """Note that the audit entry of its decision is part of a commit."""
        self._recorded.append(True)

    def caller_session(self) -> Session:
        """Return the session of a call that needs one."""
        if self.session is None:
            raise LookupError(f"{self.method} is served without a session")
        return self.session

    def granted(self) -> Capability:
        """Return the capability of a call whose policy asks for one."""
        if self.capability is None:
            raise LookupError(f"{self.method} is served without a capability")
        return self.capability


_current: ContextVar[Call] = ContextVar("call")


def bind(call: Call) -> None:
    """Make it the current call of this task."""
    _current.set(call)


def call_being_served() -> Call | None:
    """Return the call this task serves; None outside of one."""
    return _current.get(None)


def current_call() -> Call:
    """Return the call this task serves. Raises LookupError outside of one."""
    return _current.get()
