"""The audit hook: every server tells who changed what, and every refusal, as they are answered.

It is beside the record, not the record: what a command did is audited in the transaction that did it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from services.platform.call import Call
from services.platform.errors import Refusal
from services.platform.logs import masked_id, person_tag
from services.product import RESOURCE

if TYPE_CHECKING:
    from services.platform.capability import Capability

Audit = Callable[[Call, Refusal | None], None]
"""Called with each refused call and its refusal, and with None for each call that made a change."""

_log = structlog.get_logger("audit")


def log_call(call: Call, refusal: Refusal | None) -> None:
    """One line of the log: never a token, a key or a resource's whole name."""
    _log.info(
        "call_audited",
        method=call.method,
        outcome=refusal.reason.code if refusal else "OK",
        detail=refusal.detail if refusal else None,
        correlation_id=call.correlation_id,
        peer=call.peer,
        **_caller(call.capability),
    )


def unfailing(audit: Audit) -> Audit:
    """Return the same hook, of which no failure reaches the call: what it would tell has already happened."""

    def tell(call: Call, refusal: Refusal | None) -> None:
        try:
            audit(call, refusal)
        except Exception as error:  # noqa: BLE001  # what only observes never fails what it observes
            _log.error(
                "audit_failed",
                method=call.method,
                correlation_id=call.correlation_id,
                reason=type(error).__name__,
            )

    return tell


def _caller(capability: Capability | None) -> dict[str, str]:
    if capability is None:
        return {}
    return {
        "subject": person_tag(capability.subject),
        "actor": person_tag(capability.actor),
        "source": capability.source,
        **({"case": capability.case} if capability.case else {}),
        RESOURCE: masked_id(capability.resource),
    }
