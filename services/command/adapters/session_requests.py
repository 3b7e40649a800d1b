"""Requests for session information: what a vehicle is asked that nothing is known of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from protocol.seal import Direction, seal
from protocol.subjects import CommandKind, command_subject
from services.command.adapters.outbox_messages import TO_VEHICLES
from services.platform.background import BackgroundTasks
from services.platform.logs import masked_id
from services.platform.outbox import OutgoingMessage
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Protocol

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import RefusedReport

    from protocol.keys import VehicleKeys
    from services.platform.jetstream import Broker
    from services.telematics.keys import VehicleKeyDirectory
    from services.telematics.order_signer import OrderSigningClient

    class Challenges(Protocol):
        """Where challenges are kept."""

        async def challenge(self, vins: Sequence[str]) -> list[bytes]:
            """Return a new challenge for each vehicle. Raises StorageUnavailableError."""


ASK_AGAIN_SECONDS = 5.0
TELL_SECONDS = 60.0
"""How often a vehicle is told at most of what was not taken of its messages."""
_KEEP_SECONDS = 30
_MOST_REMEMBERED = 100_000
_log = structlog.get_logger()


class SessionRequests:
    """Asks a vehicle that nothing is known of for its session information. `monotonic` counts seconds."""

    def __init__(
        self,
        keys: VehicleKeyDirectory,
        challenges: Challenges,
        signer: OrderSigningClient,
        broker: Broker,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._keys = keys
        self._challenges = challenges
        self._signer = signer
        self._broker = broker
        self._monotonic = monotonic
        self._now = now
        self._asked: dict[str, float] = {}
        self._background_tasks = BackgroundTasks("session_requests")

    async def ask(self, vin: str) -> None:
        """Ask, unless it was asked moments ago: each request costs the vehicle an answer."""
        at = self._monotonic()
        if at - self._asked.get(vin, -ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
            return
        if len(self._asked) >= _MOST_REMEMBERED:
            self._asked.clear()
        self._asked[vin] = at
        await self._ask(vin, ())

    async def ask_self_check(self, vin: str) -> bool:
        """Ask, and for a self-check with it; False where nothing was sent. Who calls sees to it that this is seldom.

        Raises StorageUnavailableError.
        """
        return await self._send(vin, (), self_check=True)

    def tell(self, vin: str, refused: Sequence[RefusedReport]) -> None:
        """Ask, and tell the vehicle what was not taken of its messages. Who calls sees to it that this is seldom."""
        self._background_tasks.start(self._tell(vin, refused))

    async def _tell(self, vin: str, refused: Sequence[RefusedReport]) -> None:
        _log.info("vehicle_told_of_refused_reports", vin=masked_id(vin), kinds=len(refused))
        await self._ask(vin, refused)

    async def _ask(self, vin: str, refused: Sequence[RefusedReport]) -> None:
        try:
            await self._send(vin, refused)
        except StorageUnavailableError as error:
            _log.warning("session_request_waits_for_store", reason=str(error))

    async def _send(self, vin: str, refused: Sequence[RefusedReport], *, self_check: bool = False) -> bool:
        await self._keys.fetch([vin])
        keys = self._keys.find(vin)
        if keys is None:
            return False
        challenges = await self._challenges.challenge([vin])
        envelopes = await self._signer.sign_session_requests(
            [(vin, challenges[0])], refused, self_check=self_check
        )
        if envelopes is None or not envelopes[0]:
            return False
        message_id = f"session.{challenges[0].hex()}"
        message = sealed(vin, keys, CommandKind.SESSION, message_id, envelopes[0], self._now())
        return (await self._broker.publish_all([message]))[0]


def sealed(
    vin: str, keys: VehicleKeys, kind: CommandKind, message_id: str, envelope: bytes, at: datetime
) -> OutgoingMessage:
    """Return the message to publish, sealed to the vehicle."""
    data = seal(envelope, keys.seal_key, Direction.TO_VEHICLE, vin)
    return OutgoingMessage(message_id, TO_VEHICLES, command_subject(vin, kind), data, at, _KEEP_SECONDS)
