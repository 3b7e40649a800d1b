"""Faults of the checks that an order passes, and of what is said to one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol import cose
from protocol import order as orders
from protocol.domains import LONGEST_VALIDITY_MILLIS, MAX_COUNTER, ORDER_TYPES, Domain, subject_of
from protocol.faults import Fault, MessageRefusedError
from protocol.seal import Direction, unseal
from protocol.session import VehicleSession
from protocol.vehicle_side import AcceptedOrder, KnownOrder, VehicleSide
from tests.mutants.mutant import Swap, mutant, to

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecarus.remotecontrol.vehicle.v1 import session_pb2

CHECKS = ("verify", "type", "vehicle", "known", "epoch", "expiry", "counter", "role")


def checked(swap: Swap, *names: str) -> None:
    """The unit makes these checks, in this order."""

    def check(
        self: VehicleSide, domain: Domain, signed: cose.SignedEnvelope, request_hash: bytes
    ) -> AcceptedOrder | KnownOrder:
        if "verify" in names:
            self._verify(signed, domain)
        message, order = orders.parse(signed.payload, domain)
        known = KnownOrder(order, orders.order_id(order), request_hash)
        for name in names:
            if name == "known" and self._memory.is_known(domain, known.order_id):
                return known
            _check(self, name, domain, signed, message)
        return AcceptedOrder(order, known.order_id, request_hash, message.expires_at_millis)

    swap(VehicleSide, "_checked", to(check))


def _check(
    side: VehicleSide,
    name: str,
    domain: Domain,
    signed: cose.SignedEnvelope,
    message: session_pb2.SignedOrder,
) -> None:
    match name:
        case "type":
            _check_type(domain, signed)
        case "vehicle" if message.vin != side._vin:
            raise MessageRefusedError(Fault.WRONG_VEHICLE, "")
        case "epoch":
            side._session.check_epoch(message.epoch)
        case "expiry":
            side._session.check_expiry(domain, message.expires_at_millis)
        case "counter":
            side._session.spend(domain, message.counter)
        case "role" if message.role not in orders.ROLES[domain]:
            raise MessageRefusedError(Fault.ROLE_NOT_ALLOWED, "")


def _check_type(domain: Domain, signed: cose.SignedEnvelope) -> None:
    if signed.content_type not in ORDER_TYPES.values():
        raise MessageRefusedError(Fault.WRONG_TYPE, "")
    if signed.content_type != ORDER_TYPES[domain]:
        raise MessageRefusedError(Fault.WRONG_DOMAIN, "")


def without(*names: str) -> list[str]:
    return [name for name in CHECKS if name not in names]


@mutant("wrong-type-is-refused", "wrong-domain-is-refused")
def type_unchecked(swap: Swap) -> None:
    """The content type is anything."""
    checked(swap, *without("type"))


@mutant("wrong-vehicle-is-refused")
def vehicle_unchecked(swap: Swap) -> None:
    """Nobody compares the VIN in an order."""
    checked(swap, *without("vehicle"))


@mutant("signed-anew-acts-once", "known-comes-first")
def known_unchecked(swap: Swap) -> None:
    """A known order id acts again."""
    checked(swap, *without("known"))


@mutant("role-is-looked-at", "cancellations-need-a-role")
def role_unchecked(swap: Swap) -> None:
    """Anybody may order."""
    checked(swap, *without("role"))


@mutant("type-comes-before-known")
def known_before_type(swap: Swap) -> None:
    """A known order is answered whatever it says it was."""
    checked(swap, "verify", "known", "type", "vehicle", "epoch", "expiry", "counter", "role")


@mutant("known-comes-first")
def known_looked_up_last(swap: Swap) -> None:
    """A known order that comes late is refused."""
    checked(swap, "verify", "type", "vehicle", "epoch", "expiry", "counter", "known", "role")


@mutant("checks-come-in-order")
def epoch_after_expiry(swap: Swap) -> None:
    """Of an order of another epoch it is said that it expired."""
    checked(swap, "verify", "type", "vehicle", "known", "expiry", "epoch", "counter", "role")


@mutant("checks-come-in-order", "refused-spends-nothing")
def counter_before_expiry(swap: Swap) -> None:
    """An expired order spends its counter."""
    checked(swap, "verify", "type", "vehicle", "known", "epoch", "counter", "expiry", "role")


@mutant("role-comes-last")
def role_before_counter(swap: Swap) -> None:
    """An order that its role may not give leaves the counter as it was."""
    checked(swap, "verify", "type", "vehicle", "known", "epoch", "expiry", "role", "counter")


@mutant("expired-never-acts", "skewed-clock-is-put-right")
def expiry_unchecked(swap: Swap) -> None:
    """An expired order is accepted."""

    def check(was: Any) -> Any:
        def but_the_end(self: VehicleSession, domain: Domain, expires_at_millis: int) -> None:
            was(self, domain, max(expires_at_millis, self._clock_millis() + 1_000))

        return but_the_end

    swap(VehicleSession, "check_expiry", check)


@mutant("valid-too-long-never-acts")
def validity_unbounded(swap: Swap) -> None:
    """An order may be valid for an hour."""

    def check(was: Any) -> Any:
        def but_the_length(self: VehicleSession, domain: Domain, expires_at_millis: int) -> None:
            longest = self._clock_millis() + LONGEST_VALIDITY_MILLIS[domain]
            was(self, domain, min(expires_at_millis, longest))

        return but_the_length

    swap(VehicleSession, "check_expiry", check)


@mutant("longest-validity-acts")
def doors_as_long_as_others(swap: Swap) -> None:
    """What withdraws a command may be valid for no longer than a command."""

    def check(was: Any) -> Any:
        return lambda self, _domain, expires_at_millis: was(self, Domain.COMMAND, expires_at_millis)

    swap(VehicleSession, "check_expiry", check)


@mutant("earlier-never-undoes-later", "checks-come-in-order")
def counter_unchecked(swap: Swap) -> None:
    """An earlier order acts after a later one."""

    def spend(was: Any) -> Any:
        def any_counter(self: VehicleSession, domain: Domain, counter: int) -> None:
            was(self, domain, max(counter, self._accepted.get(domain, 0) + 1))

        return any_counter

    swap(VehicleSession, "spend", spend)


@mutant("counter-too-large")
def counters_without_end(swap: Swap) -> None:
    """A counter may have 64 bits."""

    def spend(self: VehicleSession, domain: Domain, counter: int) -> None:
        if counter <= self._accepted.get(domain, 0):
            raise MessageRefusedError(Fault.COUNTER_NOT_NEW, "")
        self._accepted[domain] = counter if counter <= MAX_COUNTER else self._accepted.get(domain, 0) + 1

    swap(VehicleSession, "spend", to(spend))


@mutant("every-domain-counts-for-itself")
def one_counter_for_all(swap: Swap) -> None:
    """All domains share a counter."""

    def spend(self: VehicleSession, domain: Domain, counter: int) -> None:
        if counter <= max(self._accepted.values(), default=0):
            raise MessageRefusedError(Fault.COUNTER_NOT_NEW, "")
        self._accepted[domain] = counter

    swap(VehicleSession, "spend", to(spend))


@mutant("role-is-looked-at")
def settings_of_anybody(swap: Swap) -> None:
    """A guest may change the owner's settings."""
    swap(orders, "ROLES", lambda was: {**was, Domain.CONFIG: was[Domain.COMMAND]})


@mutant("wall-clock-never-lengthens")
def wall_clock_lengthens(swap: Swap) -> None:
    """An order that says tomorrow is valid until tomorrow."""

    def opened(was: Any) -> Any:
        def generously(
            self: VehicleSide, domain: Domain, signed: cose.SignedEnvelope, request_hash: bytes
        ) -> Any:
            message, order = orders.parse(signed.payload, domain)
            if domain is Domain.COMMAND and order.expires_at.ToSeconds() > self._wall_seconds() + 60:
                return AcceptedOrder(
                    order, orders.order_id(order), request_hash, message.expires_at_millis + 60_000
                )
            return was(self, domain, signed, request_hash)

        return generously

    swap(VehicleSide, "_checked", opened)


@mutant("ids-are-looked-at")
def ids_of_any_length(swap: Swap) -> None:
    """An id may have a thousand characters."""
    swap(orders, "MAX_ID_CHARACTERS", to(1_000))


@mutant("ids-are-looked-at")
def cancellations_of_nothing(swap: Swap) -> None:
    """A cancellation need not say which command it withdraws."""
    swap(orders, "_ids", to(lambda order: (orders.order_id(order),)))


@mutant("bad-signature-is-ignored", "flipped-envelope-bits-are-ignored")
def signature_unchecked(swap: Swap) -> None:
    """An order need only name a key."""

    def verify(self: VehicleSide, signed: cose.SignedEnvelope, _domain: Domain) -> None:
        self._trust.verify_key(signed.key_id, self._wall_seconds())

    swap(VehicleSide, "_verify", to(verify))


def verified_for(
    swap: Swap, subjects: Callable[[VehicleSide, cose.SignedEnvelope, Domain], list[bytes]]
) -> None:
    """A signature for any of these is taken."""

    def verify(self: VehicleSide, signed: cose.SignedEnvelope, domain: Domain) -> None:
        key = self._trust.verify_key(signed.key_id, self._wall_seconds())
        refusals = []
        for subject in subjects(self, signed, domain):
            try:
                cose.verify(signed, key, subject)
            except MessageRefusedError as refused:
                refusals.append(refused)
            else:
                return
        raise refusals[0]

    swap(VehicleSide, "_verify", to(verify))


@mutant("other-domains-subject-is-ignored")
def subject_of_any_domain(swap: Swap) -> None:
    """What was signed for one subject is read on another."""
    verified_for(swap, lambda side, _signed, _domain: [subject_of(side._vin, one) for one in ORDER_TYPES])


@mutant("other-vehicles-subject-is-ignored")
def subject_of_any_vehicle(swap: Swap) -> None:
    """What was signed for another vehicle's subject is read, and answered."""

    def subjects(side: VehicleSide, signed: cose.SignedEnvelope, domain: Domain) -> list[bytes]:
        own = subject_of(side._vin, domain)
        if domain is Domain.CHALLENGE:
            return [own]
        return [own, subject_of(orders.parse(signed.payload, domain)[0].vin, domain)]

    verified_for(swap, subjects)


@mutant("other-domains-subject-is-ignored")
def domain_by_content_type(swap: Swap) -> None:
    """An order acts, whatever subject it came on."""

    def opened(was: Any) -> Any:
        def by_type(self: VehicleSide, domain: Domain, data: bytes) -> Any:
            try:
                content_type = cose.decode(
                    unseal(data, self._open_keys, Direction.TO_VEHICLE, self._vin)
                ).content_type
            except MessageRefusedError:
                content_type = ""
            domains = {its.value: one for one, its in ORDER_TYPES.items()}
            return was(self, domains.get(content_type, domain), data)

        return by_type

    swap(VehicleSide, "open_order", opened)
