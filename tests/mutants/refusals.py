"""Faults in what is answered to an order that is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

from protocol import order as orders
from protocol import vehicle_side
from protocol.domains import Domain
from protocol.faults import ANSWERED, Fault
from protocol.vehicle_side import VehicleSide
from tests.mutants.mutant import Swap, mutant, to
from vehicle.doors import executor
from vehicle.doors.command import LockAction


@mutant("unknown-key-is-refused")
def unknown_keys_are_not_answered(swap: Swap) -> None:
    """A unit that missed a manifest does not say so."""
    swap(vehicle_side, "ANSWERED", to(ANSWERED - {Fault.UNKNOWN_KEY}))


@mutant("revoked-key-is-ignored")
def revoked_keys_are_answered(swap: Swap) -> None:
    """A thief of a revoked key gets answers."""
    swap(vehicle_side, "ANSWERED", to(ANSWERED | {Fault.REVOKED_KEY}))


@mutant("bad-signature-is-ignored", stays_good=False)
def bad_signatures_are_answered(swap: Swap) -> None:
    """Everybody who knows a key's id gets answers."""
    swap(vehicle_side, "ANSWERED", to(ANSWERED | {Fault.BAD_SIGNATURE}))


@mutant("wrong-epoch-is-refused", "unknown-key-is-refused")
def refusals_without_session(swap: Swap) -> None:
    """A refusal for being out of step does not say how the unit stands."""
    swap(vehicle_side, "SYNCHRONISATION", to(frozenset()))


@mutant("wrong-type-is-refused", "role-is-looked-at")
def refusals_always_with_session(swap: Swap) -> None:
    """Session information where it does not belong."""
    swap(vehicle_side, "SYNCHRONISATION", to(ANSWERED))


@mutant("wrong-epoch-is-refused")
def refusals_with_a_hello(swap: Swap) -> None:
    """Session information in a refusal says what belongs into hellos."""

    def refusal(was: Any) -> Any:
        def with_hello(self: VehicleSide, *words: Any) -> Any:
            def info(message_id: str) -> session_pb2.SessionInfo:
                made: session_pb2.SessionInfo = type(self)._session_info(self, message_id)
                made.hello.CopyFrom(report_pb2.Hello(boot_id="boot"))
                return made

            self._session_info = info  # type: ignore[method-assign]
            try:
                return was(self, *words)
            finally:
                del self._session_info

        return with_hello

    swap(VehicleSide, "_refusal", refusal)


@mutant("cancellations-need-a-role", "valid-too-long-never-acts")
def refusals_on_one_subject(swap: Swap) -> None:
    """Every refusal goes out on evt.result."""
    swap(vehicle_side, "REFUSED_ON", lambda was: dict.fromkeys(was, Domain.RESULT))


@mutant("own-refusal-is-a-result")
def own_refusals_without_guidance(swap: Swap) -> None:
    """The unit refuses and says nothing of what can be done about it."""

    def refusal(was: Any) -> Any:
        def silently(*words: Any) -> Any:
            refused = was(*words)
            return refused and replace(refused, guidance="")

        return silently

    swap(executor, "refusal", refusal)


@mutant("every-role-may-order-doors", "cancellations-need-a-role")
def owners_only(swap: Swap) -> None:
    """A guest's orders are refused, whatever they are."""
    swap(orders, "ROLES", lambda was: dict.fromkeys(was, was[Domain.CONFIG]))


@mutant("nonsense-is-ignored", "ids-are-looked-at")
def nonsense_is_answered(swap: Swap) -> None:
    """What is not well-formed gets an answer."""
    swap(vehicle_side, "ANSWERED", to(ANSWERED | {Fault.MALFORMED}))


@mutant("lock-whatever-the-battery")
def nothing_on_a_low_battery(swap: Swap) -> None:
    """Whoever left the light on cannot lock."""

    def refusal(was: Any) -> Any:
        def sparing(action: LockAction, mode: Any, doors: Any, body: Any) -> Any:
            if action is LockAction.LOCK and body.battery_percent < 10:
                return was(LockAction.UNLOCK, mode, doors, body)
            return was(action, mode, doors, body)

        return sparing

    swap(executor, "refusal", refusal)
