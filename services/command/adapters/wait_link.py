"""What replicas of this service tell each other of who waits for a command's end. Core NATS, never stored: what is lost
makes somebody wait until their time is up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError

from protocol.subjects import COMMAND_AWAITED_SUBJECT, COMMAND_ENDED_SUBJECT
from services.command.adapters.outbox_messages import ended_command
from services.platform.background import BackgroundTasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nats.aio.msg import Msg

    from services.command.usecases.waiting import CommandWaits
    from services.platform.broker_client import BrokerClient
    from services.platform.outbox import OutgoingMessage

_COMMAND_ID = re.compile(rb"cmd-[0-9a-f-]{1,60}")
_log = structlog.get_logger()


class BrokerReplicas:
    """The other processes of this service (usecases.waiting.Replicas). Each hears its own messages, too: a process
    whose own commit ends a command finds nobody to tell.
    """

    def __init__(self, client: BrokerClient) -> None:
        self._client = client
        self._tasks = BackgroundTasks("command_waits")

    def tell_awaited(self, command_id: str) -> None:
        """Say that this process waits for the end of this command."""
        self._tasks.start(self._publish(COMMAND_AWAITED_SUBJECT, command_id))

    def tell_ended(self, command_id: str) -> None:
        """Say that this command has ended, to those that wait for it."""
        self._tasks.start(self._publish(COMMAND_ENDED_SUBJECT, command_id))

    async def listen(self, waits: CommandWaits) -> None:
        """Begin to hear the others."""

        async def awaited(message: Msg) -> None:
            if _COMMAND_ID.fullmatch(message.data):
                waits.awaited(message.data.decode())

        async def ended(message: Msg) -> None:
            if _COMMAND_ID.fullmatch(message.data):
                waits.ended(message.data.decode())

        await self._client.subscribe(COMMAND_AWAITED_SUBJECT, cb=awaited)
        await self._client.subscribe(COMMAND_ENDED_SUBJECT, cb=ended)

    async def _publish(self, subject: str, command_id: str) -> None:
        try:
            await self._client.publish(subject, command_id.encode())
        except NatsError as error:
            _log.warning("command_wait_not_told", subject=subject, reason=str(error))


def note_ended(waits: CommandWaits, messages: Iterable[OutgoingMessage]) -> None:
    """Wake who waits for what these messages of a commit say the end of."""
    waits.committed(filter(None, map(ended_command, messages)))
