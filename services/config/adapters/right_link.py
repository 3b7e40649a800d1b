"""Rights that end, as the access service tells of them over NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1 import grant_pb2
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from google.protobuf.message import DecodeError

from protocol.streams import ROOM_EVENTS
from protocol.subjects import GRANT_REVOKED_SUBJECT, is_vin
from services.config import usecases
from services.config.adapters import translate
from services.config.domain.config import ConfigRightEnded
from services.platform.consumer import ConsumerPlan, PoisonMessage
from services.platform.storage import StorageUnavailableError
from services.telematics.order_signer import MOST_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.config.domain.config import Push
    from services.config.usecases import SettingsCancellations
    from services.platform.consumer import Delivery
    from services.telematics.order_signer import OrderSigningClient

ENDED = ConsumerPlan(ROOM_EVENTS, "config-rights", (GRANT_REVOKED_SUBJECT,))
_log = structlog.get_logger()


class ConfigRevocationHandler:
    """Handles what ENDED delivers. Repeated it changes nothing."""

    def __init__(
        self, record: SettingsCancellations, signer: OrderSigningClient, now: Callable[[], datetime]
    ) -> None:
        self._record = record
        self._review = _SignerReview(signer)
        self._now = now

    async def handle(self, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
        """Give up what these rights carried. Raises StorageUnavailableError, also while nobody can tell of a right."""
        poison: list[PoisonMessage] = []
        for delivery in deliveries:
            try:
                ended = _right_ended(grant_pb2.GrantRevoked.FromString(delivery.data))
            except (DecodeError, ValueError) as error:
                poison.append(PoisonMessage(delivery, f"not the end of a right: {error}"))
            else:
                if ended is not None:
                    await usecases.end_rights(self._record, self._review, self._now, ended)
        return poison


class _SignerReview:
    """usecases.ConfigRightsReview by way of the signer, which accepts the order's own proof and asks access."""

    def __init__(self, signer: OrderSigningClient) -> None:
        self._signer = signer

    async def ended(self, pushes: Sequence[Push]) -> list[Push]:
        """Return those to which there is no right any more. Raises StorageUnavailableError when nobody can tell."""
        gone: list[Push] = []
        for start in range(0, len(pushes), MOST_AT_ONCE):
            some = pushes[start : start + MOST_AT_ONCE]
            verdicts = await self._signer.review([translate.requested_order(push) for push in some])
            if verdicts is None:
                raise StorageUnavailableError("nobody can tell whether the right has ended")
            not_allowed = signing.SIGNING_VERDICT_NOT_ALLOWED
            gone += [push for push, verdict in zip(some, verdicts, strict=True) if verdict == not_allowed]
        if gone:
            _log.info("rights_ended", settings=len(gone))
        return gone


def _right_ended(message: grant_pb2.GrantRevoked) -> ConfigRightEnded | None:
    """Return which settings the end of a right may concern; None where it concerns none: what agents asked for because
    of a case goes on when that is closed. Raises ValueError for what names nothing that could end.
    """
    if message.kind == grant_pb2.ENDED_RIGHT_CASE:
        return None
    if message.kind == grant_pb2.ENDED_RIGHT_CREDENTIAL:
        return ConfigRightEnded(None, None)
    if not message.principal or (message.vin and not is_vin(message.vin)):
        raise ValueError("a right of nobody, or on no vehicle")
    return ConfigRightEnded(message.principal, message.vin or None)
