"""The car's end of the protocol: opens what comes, seals what goes, one epoch after another."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.domains import Domain
from protocol.faults import MessageRefusedError
from protocol.keys import key_id
from protocol.session import EPOCH_BYTES, VehicleSession
from protocol.vehicle_side import (
    AcceptedOrder,
    Answer,
    KnownOrder,
    OutgoingEnvelope,
    RefusedOrder,
    Report,
    VehicleMemory,
    VehicleSide,
)

if TYPE_CHECKING:
    from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

    from protocol.manifest import Trust
    from vehicle.clock import Clock
    from vehicle.messages.credentials import Credentials

MESSAGE_ID_BYTES = 16


class NoReportKeyError(RuntimeError):
    """The manifest in use leaves no key of the cloud to report to: the car needs another before it can speak."""


class Channel:
    """One boot of one car's agent. Its first epoch begins with it; nothing of an epoch is ever stored.

    Raises NoReportKeyError. What seals raises MessageRefusedError when every key of the cloud to seal to is revoked.
    """

    def __init__(
        self, vin: str, credentials: Credentials, trust: Trust, memory: VehicleMemory, clock: Clock
    ) -> None:
        self._vin = vin
        self._credentials = credentials
        self._memory = memory
        self._clock = clock
        self._begin_epoch(trust)

    def begin_epoch(self) -> None:
        """From now on, what was signed for the epoch before is worth nothing. Raises NoReportKeyError."""
        self._begin_epoch(self._side.trust)

    def open_order(self, domain: Domain, data: bytes) -> AcceptedOrder | KnownOrder | RefusedOrder:
        """Return what came on the subject of `domain` (COMMAND, CANCEL, CONFIG). Never raises, whatever `data` is.

        The checks, in this order, each with its own fault: size, decoding (with the seal), key, signature,
        type, vehicle and domain, known order, epoch, expiry, counter, role.
        """
        return self._side.open_order(domain, data)

    def deadline_millis(self, accepted: AcceptedOrder) -> int:
        """Return when an order that was just accepted expires, by Clock.uptime_millis."""
        return self._began_at_millis + accepted.expires_at_millis

    def open_session_request(self, data: bytes) -> session_pb2.SessionRequest:
        """Return a session request: answer its challenge with `seal_hello`, within a budget, because a request can be
        replayed. Raise MessageRefusedError.
        """
        return self._side.open_session_request(data)

    def adopt(self, data: bytes) -> bool:
        """Adopt a manifest; False when it is the one in use. Raises MessageRefusedError, OSError."""
        before = self._side.trust
        self._side.open_manifest(data)
        return self._side.trust != before

    @property
    def is_report_key_gone(self) -> bool:
        """Whether the manifest in use revoked, or does not name any more, the cloud's key that the keys of this
        epoch's reports were agreed with. Then begin another.
        """
        return all(
            key.is_revoked or key_id(key.public_bytes) != self._report_key_id
            for key in self._side.trust.report_keys
        )

    def seal_hello(
        self, hello: report_pb2.Hello, message_id: str, challenge: bytes = b""
    ) -> OutgoingEnvelope:
        """Session information, with the clock as it stands."""
        return OutgoingEnvelope(Domain.HELLO, message_id, self._side.seal_hello(hello, message_id, challenge))

    def seal_answer(self, message_id: str, request_hash: bytes, answer: Answer) -> OutgoingEnvelope:
        """Return an answer to the order with this hash. Signed anew at each call; keep the message id and the hash to
        sign it again after a reboot. Raises ValueError when it is longer than a sealed message may be.
        """
        return self._side.seal_answer(message_id, request_hash, answer)

    def seal_report(self, report: Report) -> OutgoingEnvelope:
        """Return a report under the epoch's session key. Its message id is its place: epoch and counter."""
        return self._side.seal_report(report)

    def _begin_epoch(self, trust: Trust) -> None:
        try:
            self._report_key_id = trust.report_key(self._wall_seconds()).key_id
        except MessageRefusedError as refused:
            raise NoReportKeyError(refused.detail) from refused
        self._began_at_millis = began_at_millis = self._clock.uptime_millis()
        self._side = VehicleSide(
            self._vin,
            self._credentials.signer,
            self._credentials.open_keys,
            trust,
            VehicleSession(
                secrets.token_bytes(EPOCH_BYTES), lambda: self._clock.uptime_millis() - began_at_millis
            ),
            X25519PrivateKey.generate(),
            self._memory,
            self._wall_seconds,
        )

    def _wall_seconds(self) -> int:
        return int(self._clock.now().timestamp())


def new_message_id() -> str:
    """Unlike any other."""
    return secrets.token_hex(MESSAGE_ID_BYTES)
