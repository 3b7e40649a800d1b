"""The cloud's side: orders out; answers and session information in.

What costs time is apart from what is stored. AnswerReader opens and verifies without any state; ReplayGuard is
one transaction on the sessions. An order goes out in three steps: `ReplayGuard.reserve_slot` gives it its slot
in the vehicle's session, the signer signs it (signing.sign_order), and `ReplayGuard.issue` records what was signed,
before it is sealed to the vehicle and sent.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2
from google.protobuf.message import DecodeError

from protocol import cose
from protocol import order as orders
from protocol.domains import (
    LONGEST_VALIDITY_MILLIS,
    REFUSED_ON,
    ContentType,
    Domain,
    subject_of,
)
from protocol.faults import Fault, MessageRefusedError
from protocol.seal import Direction, unseal
from protocol.session import CHALLENGE_BYTES, CHALLENGE_RECENT_MILLIS, CloudSession, NotReachableError
from protocol.signed_answers import REFUSED, parse_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.keys import OpenKeys, VehicleKeys
    from protocol.order import VehicleCommand
    from protocol.vehicle_side import Answer

MAX_MESSAGE_ID_CHARACTERS = 128


class SlotConflictError(RuntimeError):
    """Another process changed the session between `slot` and `issue`: begin again with `slot`."""


@dataclass(frozen=True, slots=True)
class SessionSlot:
    """Where an order stands in the vehicle's session: what SignedOrder says of epoch, counter and expiry."""

    epoch: bytes
    counter: int
    expires_at_millis: int


@dataclass(frozen=True, slots=True)
class IssuedOrder:
    """An order that was signed. One order may be signed several times, each with another hash."""

    vin: str
    domain: Domain
    order_id: str
    command_id: str
    request_hash: bytes
    issued_at_millis: int


@dataclass(frozen=True, slots=True)
class OpenedAnswer:
    """A vehicle's signed response to an order. `answer` is OrderRefused where the protocol refused it."""

    message_id: str
    issued: IssuedOrder
    answer: Answer | session_pb2.OrderRefused


class VehicleKeyLookup(Protocol):
    """Which keys a vehicle enrolled."""

    def find(self, vin: str) -> VehicleKeys | None:
        """Return its keys; None when it is not enrolled, or not any more."""


class CloudStore(Protocol):
    """Where the cloud keeps sessions and what it issued. One transaction."""

    def load(self, vin: str) -> CloudSession | None:
        """Return the vehicle's session, locked against others until the transaction ends."""

    def save(self, vin: str, session: CloudSession) -> None:
        """Replace it."""

    def remember(self, issued: IssuedOrder) -> None:
        """Keep it for as long as an answer may come (a day)."""

    def find(self, vin: str, request_hash: bytes) -> IssuedOrder | None:
        """Return what was issued to this vehicle under this hash."""


def next_slot(
    session: CloudSession | None, domain: Domain, valid_millis: int, now_millis: int
) -> tuple[SessionSlot, CloudSession]:
    """See ReplayGuard.reserve_slot; and the session in which the place is taken, for the next order of the same
    batch.
    """
    if valid_millis <= 0:
        raise ValueError("an order that is already over")
    if session is None or not session.epoch:
        raise NotReachableError("no session information of this vehicle yet")
    session, counter = session.issue(domain)
    valid_millis = min(valid_millis, LONGEST_VALIDITY_MILLIS[domain])
    expires_at_millis = max(1, now_millis + session.clock_lead_millis + valid_millis)
    return SessionSlot(session.epoch, counter, expires_at_millis), session


class AnswerReader:
    """Accepts vehicles: size, decoding, key, signature, type and vehicle. Knows no session.

    `check` looks at the fields of what is signed, and raises MessageRefusedError.
    """

    def __init__(
        self,
        open_keys: OpenKeys,
        enrolment: VehicleKeyLookup,
        check: Callable[[session_pb2.SessionInfo | session_pb2.SignedAnswer], None] = lambda _: None,
    ) -> None:
        self._open_keys = open_keys
        self._enrolment = enrolment
        self._check = check

    def hello(self, vin: str, data: bytes) -> session_pb2.SessionInfo:
        """Return the session information that came on Domain.HELLO. Raises MessageRefusedError."""
        signed, _ = self._verified(vin, Domain.HELLO, data)
        if signed.content_type != ContentType.SESSION:
            raise MessageRefusedError(Fault.WRONG_TYPE, "not session information")
        try:
            info = session_pb2.SessionInfo.FromString(signed.payload)
        except DecodeError as error:
            raise MessageRefusedError(Fault.MALFORMED, "not session information") from error
        _check_names(vin, info)
        if not info.HasField("hello"):
            raise MessageRefusedError(Fault.MALFORMED, "session information without a hello")
        self._check(info)
        return info

    def answer(self, vin: str, domain: Domain, data: bytes) -> session_pb2.SignedAnswer:
        """Return the answer that came on `domain` (RECEIVED, RESULT, CANCELLED, CONFIGURED), to be admitted by a
        ReplayGuard. Raises MessageRefusedError.
        """
        return self.signed_answer(vin, domain, data)[0]

    def signed_answer(self, vin: str, domain: Domain, data: bytes) -> tuple[session_pb2.SignedAnswer, bytes]:
        """Return the same, and the envelope that the vehicle signed, without its seal: who has the vehicle's public key
        can verify it. Raises MessageRefusedError.
        """
        signed, envelope = self._verified(vin, domain, data)
        message = parse_answer(signed, domain)
        _check_names(vin, message)
        self._check(message)
        return message, envelope

    def _verified(self, vin: str, domain: Domain, data: bytes) -> tuple[cose.SignedEnvelope, bytes]:
        envelope = unseal(data, self._open_keys, Direction.TO_CLOUD, vin)
        signed = cose.decode(envelope)
        keys = self._enrolment.find(vin)
        if keys is None or signed.key_id != keys.verify_key_id:
            raise MessageRefusedError(Fault.UNKNOWN_KEY, "not signed by the enrolled vehicle")
        cose.verify(signed, keys.verify_key, subject_of(vin, domain))
        return signed, envelope


class ReplayGuard:
    """Sessions and what was issued, in one transaction of `store`.

    `now_millis` is the cloud's clock, the same for all its processes. A caller that rolls back must not send.
    `entered` is called with the session before and after whenever a vehicle entered another epoch.
    """

    def __init__(
        self,
        store: CloudStore,
        now_millis: Callable[[], int],
        entered: Callable[[CloudSession, CloudSession], None] = lambda _before, _after: None,
    ) -> None:
        self._store = store
        self._now_millis = now_millis
        self._entered = entered

    def reserve_slot(self, vin: str, domain: Domain, valid_millis: int) -> SessionSlot:
        """Return the next place in the session, for an order that is valid for `valid_millis` from now (less, where the
        protocol says so). Nothing is stored before `issue`. Raises NotReachableError.

        The same order may be issued again: after a reboot of the vehicle, or a fault that says it was out of step.
        """
        slot, _ = next_slot(self._store.load(vin), domain, valid_millis, self._now_millis())
        return slot

    def issue(self, vin: str, order: VehicleCommand, slot: SessionSlot, envelope: bytes) -> bytes:
        """Record that `envelope` holds this order at this place; its request hash. Raises Overtaken."""
        session = self._store.load(vin)
        domain = orders.domain_of(order)
        if session is None or session.epoch != slot.epoch:
            raise SlotConflictError
        try:
            session, next_counter = session.issue(domain)
        except NotReachableError as error:
            raise SlotConflictError from error
        if next_counter != slot.counter:
            raise SlotConflictError
        self._store.save(vin, session)
        request_hash = orders.request_hash(envelope)
        self._store.remember(
            IssuedOrder(
                vin,
                domain,
                orders.order_id(order),
                orders.command_id(order),
                request_hash,
                self._now_millis(),
            )
        )
        return request_hash

    def challenge(self, vin: str) -> bytes:
        """Return a challenge for a session request. Only the answer to the last one is accepted."""
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        session = self._store.load(vin) or CloudSession()
        self._store.save(vin, session.challenged(challenge, self._now_millis()))
        return challenge

    def learn(self, info: session_pb2.SessionInfo) -> bool:
        """Take in session information that AnswerReader verified; whether it began another epoch.

        Raises MessageRefusedError; STALE_SESSION may be a repetition and is dropped without a word.
        """
        before = self._store.load(info.vin) or CloudSession()
        session = before.learn(info, self._now_millis())
        self._store.save(info.vin, session)
        if session.epoch == before.epoch:
            return False
        self._entered(before, session)
        return True

    def learn_unsolicited(self, info: session_pb2.SessionInfo) -> bool:
        """Return the same where challenges are somebody else's: an answer to one counts as a hello without."""
        received = session_pb2.SessionInfo()
        received.CopyFrom(info)
        received.challenge = b""
        return self.learn(received)

    def admit(self, domain: Domain, message: session_pb2.SignedAnswer) -> OpenedAnswer:
        """Take in an answer that AnswerReader verified. The checks, in this order: request, epoch, counter.

        Raises MessageRefusedError: COUNTER_NOT_NEW is a repetition, and was dealt with.
        """
        vin = message.vin
        issued = self._store.find(vin, message.request_hash)
        if issued is None:
            raise MessageRefusedError(Fault.WRONG_REQUEST, "answers nothing that was asked")
        field = message.WhichOneof("answer")
        answer = getattr(message, field) if field else None
        if answer is None or not _fits(issued, domain, answer):
            raise MessageRefusedError(Fault.WRONG_REQUEST, "answers another request than it names")
        session = self._store.load(vin) or CloudSession()
        if field == REFUSED and answer.HasField("session"):
            session = self._resynchronised(session, message, issued)
        self._store.save(vin, session.with_seen(message.epoch, domain, message.counter))
        return OpenedAnswer(message.message_id, issued, answer)

    def _resynchronised(
        self, session: CloudSession, message: session_pb2.SignedAnswer, issued: IssuedOrder
    ) -> CloudSession:
        """With the session information of a refusal: as good as a challenge's answer, if the order is recent
        and this refusal of it was not seen before.
        """
        info = message.refused.session
        if info.epoch != message.epoch or info.challenge or info.vin != message.vin:
            raise MessageRefusedError(Fault.MALFORMED, "a refusal with somebody else's session information")
        now = self._now_millis()
        if session.knows(message.epoch):  # a repetition must not be learned from: this raises
            session.with_seen(message.epoch, REFUSED_ON[issued.domain], message.counter)
        is_fresh = now - issued.issued_at_millis <= CHALLENGE_RECENT_MILLIS
        learned = session.learn(info, now, is_fresh=is_fresh)
        if learned.epoch != session.epoch:
            self._entered(session, learned)
        return learned


def _check_names(vin: str, message: session_pb2.SessionInfo | session_pb2.SignedAnswer) -> None:
    if message.vin != vin:
        raise MessageRefusedError(Fault.WRONG_VEHICLE, "of another vehicle")
    if not 1 <= len(message.message_id) <= MAX_MESSAGE_ID_CHARACTERS:
        raise MessageRefusedError(Fault.MALFORMED, "message id missing or too long")


def _fits(issued: IssuedOrder, domain: Domain, answer: Answer | session_pb2.OrderRefused) -> bool:
    """Return whether this can be an answer to that order. A cancellation may answer for the command it withdrew,
    but only that it was cancelled: whatever moved, moved for the command itself.
    """
    match answer:
        case report_pb2.CommandReceived():
            return issued.domain is Domain.COMMAND and answer.command_id == issued.command_id
        case report_pb2.CommandResult():
            cancelled = issued.domain is Domain.CANCEL and (
                answer.outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
            )
            return (issued.domain is Domain.COMMAND or cancelled) and answer.command_id == issued.command_id
        case report_pb2.CancelResult():
            return (issued.domain, issued.order_id, issued.command_id) == (
                Domain.CANCEL,
                answer.cancel_id,
                answer.command_id,
            )
        case report_pb2.ConfigReport():
            return issued.domain is Domain.CONFIG
        case session_pb2.OrderRefused():
            return REFUSED_ON[issued.domain] is domain
