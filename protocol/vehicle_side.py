"""The vehicle's side: orders in; answers, session information and reports out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from google.protobuf.message import DecodeError

from protocol import cose
from protocol import order as orders
from protocol.domains import ANSWER_FIELDS, ORDER_TYPES, REFUSED_ON, ContentType, Domain, subject_of
from protocol.faults import ANSWERED, SYNCHRONISATION, Fault, MessageRefusedError
from protocol.reports import ReportSealer
from protocol.seal import Direction, seal, unseal
from protocol.session import CHALLENGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from protocol.keys import OpenKeys, Signer
    from protocol.manifest import Trust
    from protocol.order import VehicleCommand
    from protocol.session import VehicleSession

Answer = (
    report_pb2.CommandReceived | report_pb2.CommandResult | report_pb2.CancelResult | report_pb2.ConfigReport
)
Report = report_pb2.StatusReport | report_pb2.DiagnosticsReport

_ANSWERS: Mapping[type[Answer], Domain] = {
    report_pb2.CommandReceived: Domain.RECEIVED,
    report_pb2.CommandResult: Domain.RESULT,
    report_pb2.CancelResult: Domain.CANCELLED,
    report_pb2.ConfigReport: Domain.CONFIGURED,
}
_REPORTS: Mapping[type[Report], Domain] = {
    report_pb2.StatusReport: Domain.STATUS,
    report_pb2.DiagnosticsReport: Domain.DIAGNOSTICS,
}


class VehicleMemory(Protocol):
    """What the vehicle keeps across reboots."""

    def is_known(self, domain: Domain, order_id: str) -> bool:
        """Return whether this order was taken before: it waits, runs, or has its answer. For settings: whether
        these or newer ones were applied.
        """

    def keep_manifest(self, endorsed_by: bytes, endorsed: bytes) -> None:
        """Remember this for Trust.restore. On the disk when it returns."""


@dataclass(frozen=True, slots=True)
class OutgoingEnvelope:
    """Publish this on the vehicle's subject of `domain`."""

    domain: Domain
    message_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class AcceptedOrder:
    """Act on it, if nothing physical forbids it. Its counter is spent: it will not be accepted again.

    Look at `expires_at_millis` (by the session's clock) again before each door.
    """

    order: VehicleCommand
    order_id: str
    request_hash: bytes
    expires_at_millis: int


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """Taken before: do not act, send the stored answer again (if there is one yet)."""

    order: VehicleCommand
    order_id: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """Refused: do not act. Publish `answer` where there is one, within a budget of the caller's."""

    fault: Fault
    detail: str
    answer: OutgoingEnvelope | None


class VehicleSide:
    """One vehicle, for one epoch. Not for several threads.

    Raises MessageRefusedError from its constructor when `trust` has no usable report key: such a vehicle needs
    a manifest first (Trust.adopt, Trust.restore).
    """

    def __init__(
        self,
        vin: str,
        signer: Signer,
        open_keys: OpenKeys,
        trust: Trust,
        session: VehicleSession,
        report_key: X25519PrivateKey,
        memory: VehicleMemory,
        wall_seconds: Callable[[], int],
    ) -> None:
        self._vin = vin
        self._signer = signer
        self._open_keys = open_keys
        self._trust = trust
        self._session = session
        self._memory = memory
        self._wall_seconds = wall_seconds
        cloud_key = trust.report_key(wall_seconds())
        self._report_public_key = report_key.public_key().public_bytes_raw()
        self._report_key_id = cloud_key.key_id
        self._reports = ReportSealer(vin, session.epoch, report_key, cloud_key)

    @property
    def trust(self) -> Trust:
        """The manifest in use."""
        return self._trust

    def open_order(self, domain: Domain, data: bytes) -> AcceptedOrder | KnownOrder | RefusedOrder:
        """Return what came on the subject of `domain` (COMMAND, CANCEL, CONFIG). Never raises, whatever `data` is.

        The checks, in this order, each with its own fault: size, decoding (with the seal), key, signature,
        type, vehicle and domain, known order, epoch, expiry, counter, role.
        """
        try:
            envelope = unseal(data, self._open_keys, Direction.TO_VEHICLE, self._vin)
            signed = cose.decode(envelope)
        except MessageRefusedError as refused:
            return RefusedOrder(refused.fault, refused.detail, None)
        request_hash = orders.request_hash(envelope)
        try:
            return self._checked(domain, signed, request_hash)
        except MessageRefusedError as refused:
            return RefusedOrder(
                refused.fault, refused.detail, self._refusal(domain, request_hash, refused.fault)
            )

    def open_challenge(self, data: bytes) -> bytes:
        """Return the challenge of a session request. Raise MessageRefusedError."""
        return self.open_session_request(data).challenge

    def open_session_request(self, data: bytes) -> session_pb2.SessionRequest:
        """Return a session request: answer its challenge with `seal_hello`, within a budget, because a request can be
        replayed. Raise MessageRefusedError.
        """
        signed = cose.decode(unseal(data, self._open_keys, Direction.TO_VEHICLE, self._vin))
        self._verify(signed, Domain.CHALLENGE)
        if signed.content_type != ContentType.CHALLENGE:
            raise MessageRefusedError(Fault.WRONG_TYPE, "not a session request")
        try:
            request = session_pb2.SessionRequest.FromString(signed.payload)
        except DecodeError as error:
            raise MessageRefusedError(Fault.MALFORMED, "not a session request") from error
        if request.vin != self._vin:
            raise MessageRefusedError(Fault.WRONG_VEHICLE, "for another vehicle")
        if len(request.challenge) != CHALLENGE_BYTES:
            raise MessageRefusedError(Fault.MALFORMED, "a challenge of a wrong size")
        return request

    def open_manifest(self, data: bytes) -> None:
        """Adopt a manifest, and keep it before it is used. Raises MessageRefusedError.

        The keys of reports stay those of the epoch: begin a new one when the manifest revokes the report key.
        """
        endorsed = unseal(data, self._open_keys, Direction.TO_VEHICLE, self._vin)
        trust = self._trust.adopt(endorsed, self._wall_seconds())
        if trust != self._trust:
            self._memory.keep_manifest(trust.endorsed_by, trust.endorsed)
            self._trust = trust

    def seal_hello(self, hello: report_pb2.Hello, message_id: str, challenge: bytes = b"") -> bytes:
        """Session information for Domain.HELLO: at boot, on every connect, and as answer to a challenge."""
        info = self._session_info(message_id)
        info.challenge = challenge
        info.hello.CopyFrom(hello)
        return self._sealed(Domain.HELLO, ContentType.SESSION, info.SerializeToString())

    def seal_answer(self, message_id: str, request_hash: bytes, answer: Answer) -> OutgoingEnvelope:
        """Return an answer to the order with this hash. Signed anew at each call; keep the message id and the hash to
        sign it again after a reboot. Raises ValueError when it is longer than a sealed message may be.
        """
        domain = _ANSWERS[type(answer)]
        field, content_type = ANSWER_FIELDS[domain]
        return self._answer(domain, field, content_type, message_id, request_hash, answer)

    def seal_report(self, report: Report) -> OutgoingEnvelope:
        """Return a report under the epoch's session key. Its message id is its place: epoch and counter."""
        domain = _REPORTS[type(report)]
        data = self._reports.seal(domain, report.SerializeToString())
        return OutgoingEnvelope(domain, data[2:26].hex(), data)

    def _checked(
        self, domain: Domain, signed: cose.SignedEnvelope, request_hash: bytes
    ) -> AcceptedOrder | KnownOrder:
        self._verify(signed, domain)
        if signed.content_type not in ORDER_TYPES.values():
            raise MessageRefusedError(Fault.WRONG_TYPE, "not an order")
        if signed.content_type != ORDER_TYPES[domain]:
            raise MessageRefusedError(Fault.WRONG_DOMAIN, "an order of another domain")
        message, order = orders.parse(signed.payload, domain)
        if message.vin != self._vin:
            raise MessageRefusedError(Fault.WRONG_VEHICLE, "for another vehicle")
        order_id = orders.order_id(order)
        if self._memory.is_known(domain, order_id):
            return KnownOrder(order, order_id, request_hash)
        self._session.check_epoch(message.epoch)
        self._session.check_expiry(domain, message.expires_at_millis)
        self._session.spend(domain, message.counter)
        if message.role not in orders.ROLES[domain]:
            raise MessageRefusedError(Fault.ROLE_NOT_ALLOWED, "a role that may not order this")
        return AcceptedOrder(order, order_id, request_hash, message.expires_at_millis)

    def _verify(self, signed: cose.SignedEnvelope, domain: Domain) -> None:
        key = self._trust.verify_key(signed.key_id, self._wall_seconds())
        cose.verify(signed, key, subject_of(self._vin, domain))

    def _refusal(self, domain: Domain, request_hash: bytes, fault: Fault) -> OutgoingEnvelope | None:
        if fault not in ANSWERED:
            return None
        message_id = secrets.token_hex(16)
        refused = session_pb2.OrderRefused(fault=session_pb2.ProtocolFault.ValueType(fault))
        if fault in SYNCHRONISATION:
            refused.session.CopyFrom(self._session_info(message_id))
        try:
            return self._answer(
                REFUSED_ON[domain], "refused", ContentType.FAULT, message_id, request_hash, refused
            )
        except MessageRefusedError:  # every key to seal to is revoked: there is nobody to tell
            return None

    def _answer(
        self,
        domain: Domain,
        field: str,
        content_type: ContentType,
        message_id: str,
        request_hash: bytes,
        answer: Answer | session_pb2.OrderRefused,
    ) -> OutgoingEnvelope:
        message = session_pb2.SignedAnswer(
            vin=self._vin,
            message_id=message_id,
            epoch=self._session.epoch,
            counter=self._session.next_counter(domain),
            request_hash=request_hash,
        )
        getattr(message, field).CopyFrom(answer)
        data = self._sealed(domain, content_type, message.SerializeToString())
        return OutgoingEnvelope(domain, message_id, data)

    def _session_info(self, message_id: str) -> session_pb2.SessionInfo:
        info = session_pb2.SessionInfo(
            vin=self._vin,
            message_id=message_id,
            manifest_version=self._trust.version,
            report_public_key=self._report_public_key,
            report_key_id=self._report_key_id,
        )
        self._session.describe(info)
        return info

    def _sealed(self, domain: Domain, content_type: ContentType, payload: bytes) -> bytes:
        envelope = cose.sign(self._signer, content_type, subject_of(self._vin, domain), payload)
        key = self._trust.seal_key(self._wall_seconds())
        return seal(envelope, key, Direction.TO_CLOUD, self._vin)
