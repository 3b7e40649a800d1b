"""Rights that end, as the other services tell of them over NATS."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.door.v1 import room_event_pb2
from google.protobuf.message import DecodeError

from protocol import streams, subjects
from services.command.adapters import vehicle_translate
from services.command.usecases.rights import end_rights
from services.platform.consumer import ConsumerPlan, PoisonMessage
from services.platform.storage import StorageUnavailableError
from services.telematics.order_signer import MOST_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.command.domain.commands import RequestedOrder
    from services.command.usecases.ports import CommandDependencies
    from services.command.usecases.rights import CommandRightsReview, VehicleQueue
    from services.command.usecases.waiting import CommandWaits, WaitRight
    from services.platform.consumer import Delivery
    from services.telematics.order_signer import OrderSigningClient

ENDED = ConsumerPlan(
    streams.ROOM_EVENTS,
    "command-rights",
    (subjects.GRANT_REVOKED_SUBJECT, subjects.SETTINGS_WITHDRAWN_SUBJECT),
    shared=False,  # each replica may have something in its hands that is about to leave
)
_log = structlog.get_logger()


class CommandRevocationHandler:
    """Handles what ENDED delivers. Repeated it changes nothing."""

    def __init__(
        self,
        deps: CommandDependencies,
        review: CommandRightsReview,
        queue: VehicleQueue,
        waits: CommandWaits,
    ) -> None:
        self._deps = deps
        self._review = review
        self._queue = queue
        self._waits = waits

    async def handle(self, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
        """End what these rights carried. Raises StorageUnavailableError, also while nobody can tell of a right."""
        poison: list[PoisonMessage] = []
        for delivery in deliveries:
            try:
                if delivery.subject == subjects.SETTINGS_WITHDRAWN_SUBJECT:
                    withdrawn = room_event_pb2.SettingsWithdrawn.FromString(delivery.data)
                    if not subjects.is_vin(withdrawn.vin):
                        raise ValueError("settings of no vehicle")  # noqa: TRY301  # judged like what does not decode
                    await self._queue.take_out_settings(withdrawn.vin)
                else:
                    told = grant_pb2.GrantRevoked.FromString(delivery.data)
                    self._waits.end_rights(partial(_rested_on, told))  # before the command's end wakes them
                    ended = vehicle_translate.right_ended(told)
                    if ended is not None:
                        await end_rights(self._deps, self._review, self._queue, ended)
            except (DecodeError, ValueError) as error:
                poison.append(PoisonMessage(delivery, f"not the end of a right: {error}"))
        return poison


def _rested_on(told: grant_pb2.GrantRevoked, right: WaitRight) -> bool:
    """Return whether this right rested on what has ended, by what the message names, whatever kind it says it is.

    What may be left of it does not count: who waits in vain looks again.
    """
    if told.credential:
        return told.credential == right.credential
    if told.case_number:
        return told.case_number == right.case
    return told.principal in {right.subject, right.actor} and told.vin in {"", right.vin}


class SignerReview:
    """usecases.rights.CommandRightsReview by way of the signer, which accepts the order's own proof and asks access."""

    def __init__(self, signer: OrderSigningClient) -> None:
        self._signer = signer

    async def ended(self, commands: Sequence[RequestedOrder]) -> set[str]:
        """Return the ids of those to which there is no right any more. Raises StorageUnavailableError when nobody can
        tell.
        """
        gone: set[str] = set()
        for start in range(0, len(commands), MOST_AT_ONCE):
            some = commands[start : start + MOST_AT_ONCE]
            verdicts = await self._signer.review(
                [signing.RequestedOrder.FromString(command.order) for command in some]
            )
            if verdicts is None:
                raise StorageUnavailableError("nobody can tell whether the right has ended")
            for command, verdict in zip(some, verdicts, strict=True):
                if verdict == signing.SIGNING_VERDICT_NOT_ALLOWED:
                    gone.add(command.command_id)
        if gone:
            _log.info("rights_ended", commands=sorted(gone))
        return gone
