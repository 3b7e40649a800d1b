"""Hearing from the access service that a right has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.access.v1 import grant_pb2
from google.protobuf.message import DecodeError

from services.status.domain.rights import UPDATES_READ, EndingCause, RightEnding

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from services.platform.capability import CapabilityVerifier
    from services.status.domain.updates import LogPosition
    from services.status.usecases.hub import Hub

_CAUSES = {
    grant_pb2.ENDED_RIGHT_GRANT: EndingCause.GRANT,
    grant_pb2.ENDED_RIGHT_ACCOUNT: EndingCause.ACCOUNT,
    grant_pb2.ENDED_RIGHT_CREDENTIAL: EndingCause.CREDENTIAL,
    grant_pb2.ENDED_RIGHT_CASE: EndingCause.CASE,
}
_log = structlog.get_logger()


class Revocations:
    """Ends what a right carried that has ended: what is cached of it, and the streams that run on it."""

    def __init__(self, hub: Hub, verifier: CapabilityVerifier) -> None:
        self._hub = hub
        self._verifier = verifier

    def deliver(self, _subject: str, _position: LogPosition, payload: bytes) -> None:
        """One GrantRevoked."""
        try:
            told = grant_pb2.GrantRevoked.FromString(payload)
        except DecodeError:
            _log.error("revocation_unreadable")
            return
        if told.principal:
            self._verifier.evict(told.principal, told.vin)
        self._hub.right_ended(_ending_of(told))

    def place_changed(self, position: LogPosition) -> None:
        """Ignore where the tail begins: nothing of this service depends on it."""
        _log.info("revocations_followed", position=str(position))


def _ending_of(told: grant_pb2.GrantRevoked) -> RightEnding:
    """Return what the message says has ended, as far as it concerns streams."""
    left = next((right for right in told.remaining if right.action == UPDATES_READ), None)
    remaining_until = None
    if left is not None:
        remaining_until = _seconds(left.until) if left.HasField("until") else math.inf
    return RightEnding(
        _CAUSES.get(told.kind) or _guessed(told),
        _seconds(told.revoked_at),
        told.principal,
        told.vin,
        told.credential,
        remaining_until,
        remains_owner=told.remaining_role == grant_pb2.GRANT_ROLE_OWNER,
        case=told.case_number,
    )


def _guessed(told: grant_pb2.GrantRevoked) -> EndingCause:
    """Return what another version of the access service means: what it names says what has ended."""
    if told.credential:
        return EndingCause.CREDENTIAL
    return EndingCause.GRANT if told.vin else EndingCause.ACCOUNT


def _seconds(timestamp: Timestamp) -> float:
    return timestamp.seconds + timestamp.nanos / 1e9
