"""Which orders are obeyed: the ten checks of docs/vehicle-protocol.md, and the epoch they look at."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import session_pb2

from tests.tcu.wire import REPORT, Envelope, RefusedError, ReportSealer, Trust, key_id, parsed, raw, unseal

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_COUNTER = 2**48 - 1
ORDERS = {
    "cmd.door": ("rdc-command+v1", "door", 30_000, {1, 2, 3}),
    "cmd.cancel": ("rdc-tombstone+v1", "cancel", 60_000, {1, 2, 3}),
    "cmd.config": ("rdc-config+v1", "config", 60_000, {1}),
}
WITH_SESSION = {
    "UNKNOWN_KEY",
    "EXPIRED_KEY",
    "WRONG_EPOCH",
    "EXPIRED",
    "VALID_TOO_LONG",
    "COUNTER_NOT_NEW",
    "COUNTER_TOO_LARGE",
}
ANSWERED = WITH_SESSION | {"WRONG_TYPE", "WRONG_VEHICLE", "WRONG_DOMAIN", "ROLE_NOT_ALLOWED"}


class OrderRefusedError(RefusedError):
    """A fault in something that is an envelope: its request hash is known."""

    def __init__(self, fault: str, request_hash: bytes) -> None:
        super().__init__(fault)
        self.request_hash = request_hash


@dataclass(frozen=True)
class Order:
    domain: str
    body: Any
    order_id: str
    request_hash: bytes
    expires_at_millis: int


@dataclass
class Epoch:
    """One boot. None of it is stored."""

    clock: Callable[[], int]
    trust: Trust
    vin: str
    wall: int
    epoch: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    accepted: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The keys of reports are agreed once, with the first report key in its time."""
        own = X25519PrivateKey.generate()
        self.cloud_key = self.trust.first(REPORT, self.wall)
        self.reports = ReportSealer(self.vin, self.epoch, own, self.cloud_key)
        self._own = raw(own)

    def next_counter(self, domain: str) -> int:
        self.sent[domain] = self.sent.get(domain, 0) + 1
        return self.sent[domain]

    def info(self, version: int, message_id: str) -> Any:
        """SessionInfo without hello and challenge."""
        found = session_pb2.SessionInfo(
            vin=self.vin,
            message_id=message_id,
            epoch=self.epoch,
            clock_millis=self.clock(),
            manifest_version=version,
            report_public_key=self._own,
            report_key_id=key_id(self.cloud_key),
        )
        for domain, counter in self.accepted.items():
            found.counters.add(domain=domain, counter=counter)
        return found


@dataclass
class Gate:
    """What comes in, opened and checked. `is_known` asks the disk."""

    vin: str
    seal_key: X25519PrivateKey
    wall: Callable[[], int]
    is_known: Callable[[str, str], bool]

    def order(self, domain: str, data: bytes, trust: Trust, epoch: Epoch) -> tuple[bool, Order]:
        """Whether it is known, and the order. Raises RefusedError; OrderRefusedError from the signing key on."""
        envelope = unseal(data, self.seal_key, self.vin)
        signed = Envelope.read(envelope)
        request_hash = hashlib.sha256(envelope).digest()
        try:
            return self._checked(domain, signed, request_hash, trust, epoch)
        except RefusedError as refused:
            raise OrderRefusedError(str(refused), request_hash) from refused

    def session_request(self, data: bytes, trust: Trust) -> tuple[bytes, bool]:
        """Its challenge, and whether it asks for a self-check. Raises RefusedError."""
        signed = Envelope.read(unseal(data, self.seal_key, self.vin))
        self._verify("cmd.session", signed, trust)
        if signed.content_type != "rdc-challenge+v1":
            raise RefusedError("WRONG_TYPE")
        request = parsed(session_pb2.SessionRequest, signed.payload)
        if request.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        if len(request.challenge) != 16:
            raise RefusedError("MALFORMED")
        return bytes(request.challenge), request.self_check

    def _verify(self, domain: str, signed: Envelope, trust: Trust) -> None:
        signed.verify(trust.signer(signed.kid, self.wall()), f"vehicle.{self.vin}.{domain}".encode())

    def _checked(
        self, domain: str, signed: Envelope, request_hash: bytes, trust: Trust, epoch: Epoch
    ) -> tuple[bool, Order]:
        content_type, member, longest, roles = ORDERS[domain]
        self._verify(domain, signed, trust)
        if signed.content_type != content_type:
            is_orders = signed.content_type in {one[0] for one in ORDERS.values()}
            raise RefusedError("WRONG_DOMAIN" if is_orders else "WRONG_TYPE")
        message = parsed(session_pb2.SignedOrder, signed.payload)
        if message.WhichOneof("order") != member:
            raise RefusedError("WRONG_TYPE")
        body = getattr(message, member)
        ids = {
            "door": lambda: [body.command_id],
            "cancel": lambda: [body.cancel_id, body.command_id],
            "config": lambda: [str(body.version)],
        }[member]()
        if not all(1 <= len(one) <= 128 for one in ids):
            raise RefusedError("MALFORMED")
        if message.vin != self.vin:
            raise RefusedError("WRONG_VEHICLE")
        order = Order(domain, body, ids[0], request_hash, message.expires_at_millis)
        if self.is_known(domain, order.order_id):
            return True, order
        left = message.expires_at_millis - epoch.clock()
        for is_wrong, fault in (
            (message.epoch != epoch.epoch, "WRONG_EPOCH"),
            (left <= 0, "EXPIRED"),
            (left > longest, "VALID_TOO_LONG"),
            (message.counter > LAST_COUNTER, "COUNTER_TOO_LARGE"),
            (message.counter <= epoch.accepted.get(domain, 0), "COUNTER_NOT_NEW"),
        ):
            if is_wrong:
                raise RefusedError(fault)
        epoch.accepted[domain] = message.counter
        if message.role not in roles:
            raise RefusedError("ROLE_NOT_ALLOWED")
        return False, order
