"""What agents do: a second one's approval of an emergency, and what owners are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from services.access.adapters.recent import ExpiringCache
from services.access.adapters.store.tables import add_or_replace, approvals, outbox, write_audit
from services.access.domain.agents import APPROVAL_TIME, TELL_AGAIN_SECONDS, EmergencyApproval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from services.access.domain.agents import AgentAct
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage

_MAX_TOLD = 100_000


class SqlAgentRecord:
    """usecases.agents.AgentRecord on a database. `message_of` makes what owners are told; `sent` hears of it after its
    commit.
    """

    def __init__(
        self,
        database: Database,
        message_of: Callable[[AgentAct | EmergencyApproval], OutgoingMessage],
        sent: Callable[[Sequence[OutgoingMessage]], None],
    ) -> None:
        self._database = database
        self._message_of = message_of
        self._sent = sent
        self._told: ExpiringCache[tuple[str, ...], bool] = ExpiringCache(_MAX_TOLD)

    async def approve(self, approval: EmergencyApproval) -> None:
        """Keep it, with its audit row and what owners are told. Raises StorageUnavailableError."""
        message = self._message_of(approval)
        await self._database.write(lambda connection: _approve(connection, approval, message))
        self._sent([message])

    async def is_approved(self, vin: str, subject: str, agent: str, case: str, *, at: datetime) -> bool:
        """Return whether another agent approved an emergency of this one not long ago. Raises
        StorageUnavailableError.
        """
        query = select(approvals.c.approved_at).where(
            approvals.c.vin == vin,
            approvals.c.subject == subject,
            approvals.c.agent == agent,
            approvals.c.case_number == case,
            approvals.c.approved_at > at - APPROVAL_TIME,
        )
        return await self._database.read(lambda c: c.execute(query).first() is not None)

    async def notify(self, act: AgentAct) -> None:
        """Tell owners of what an agent asks for, once for each call, with its audit row. Raises
        StorageUnavailableError.
        """
        which = (act.vin, act.subject, act.agent, act.case, act.what)
        if self._told.get(which, act.at.timestamp()) is not None:
            return
        message = self._message_of(act)

        def write(connection: Connection) -> None:
            outbox.add(connection, [message])
            write_audit(
                connection,
                "AGENT_ACTED",
                by=act.agent,
                at=act.at,
                principal=act.subject,
                vin=act.vin,
                named=act.case,
            )

        await self._database.write(write)
        self._told.put(which, True, act.at.timestamp() + TELL_AGAIN_SECONDS)
        self._sent([message])


def _approve(connection: Connection, approval: EmergencyApproval, message: OutgoingMessage) -> None:
    key = {
        "vin": approval.vin,
        "subject": approval.subject,
        "agent": approval.agent,
        "case_number": approval.case,
    }
    # The same again begins anew. Nothing else is deleted here: a legal hold may be on it, which retention obeys.
    add_or_replace(
        connection, approvals, {**key, "approved_by": approval.approved_by, "approved_at": approval.at}
    )
    write_audit(
        connection,
        "EMERGENCY_APPROVED",
        by=approval.approved_by,
        at=approval.at,
        principal=approval.subject,
        vin=approval.vin,
        named=approval.case,
    )
    outbox.add(connection, [message])
