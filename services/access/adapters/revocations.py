"""Hearing from the other replicas of this service that a right has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1.grant_pb2 import ENDED_RIGHT_CASE, GrantRevoked
from google.protobuf.message import DecodeError

from protocol.subjects import GRANT_REVOKED_SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from services.access.usecases.grants import InvalidateCaches

_log = structlog.get_logger()


async def follow_revocations(
    client: Client, invalidate: InvalidateCaches, invalidate_cases: Callable[[], None]
) -> None:
    """Call `invalidate` for every revocation that is published from now on, `invalidate_cases` for one of a case: that
    may name no principal, and is no reason to forget everybody.

    A plain subscription: what is missed while the broker is away is made good by the age limit of
    what is remembered, so nothing needs to be kept for a replica that may never come back.
    """

    async def arrived(message: Msg) -> None:
        try:
            told = GrantRevoked.FromString(message.data)
        except DecodeError:
            _log.error("revocation_unreadable")
            invalidate()
            return
        if told.kind == ENDED_RIGHT_CASE:
            invalidate_cases()
            return
        invalidate(principal=told.principal, credential=told.credential)

    await client.subscribe(GRANT_REVOKED_SUBJECT, cb=arrived)
