"""The unit under test, as verbs: what the rules order it, wait for, and look at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2

from conformance.finding import RuleSkippedError, RuleViolatedError, require
from conformance.forge import UNCHANGED, Mutation
from conformance.orders import DRIVER, PASSENGER, is_locked, lock
from protocol.domains import REFUSED_ON, Domain
from protocol.faults import SYNCHRONISATION, Fault
from protocol.subjects import CommandKind, EventKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from conformance.cloud import Cloud, OutboundOrder, UnitMessage
    from conformance.hands import Hands
    from conformance.link import UnitLink
    from conformance.throwaway_broker import ThrowawayBroker
    from protocol.order import VehicleCommand

DEFAULT_PACE_SECONDS = 1.1
LONGEST_COMEBACK_SECONDS = 120.0
"""So that a rule that waits for a reboot is over before its time (runner.RULE_SECONDS)."""
SIGNED_AGAIN_AT_MOST = 3
ASKED_AT_MOST = 3
_OUT_OF_STEP = frozenset(int(fault) for fault in SYNCHRONISATION)


@dataclass(frozen=True, slots=True)
class UnitTimeouts:
    """Seconds. `answer`: for any answer; `comeback`: for a unit that reconnects or reboots; `quiet`: how long nothing
    must come after the last order that was answered; `pace`: between things that cost the unit's budget of
    faults, where one a second is plenty.
    """

    answer: float = 10.0
    comeback: float = 60.0
    quiet: float = 0.3
    pace: float = DEFAULT_PACE_SECONDS


class Unit:
    """One unit. `broker` is None where it is somebody else's."""

    def __init__(
        self,
        cloud: Cloud,
        hands: Hands,
        patience: UnitTimeouts,
        broker: ThrowawayBroker | None,
        *,
        over_mqtt: bool,
    ) -> None:
        self.over_mqtt = over_mqtt
        self.cloud = cloud
        self.hands = hands
        self.patience = patience
        self.broker = broker
        self.qos_missing: set[str] = set()
        self._link: UnitLink | None = None
        self._spoke = asyncio.Event()
        self._affordable_at = 0.0

    # -- the wires

    def attach(self, link: UnitLink) -> None:
        """Whatever is ordered goes out there."""
        self._link = link

    @property
    def link(self) -> UnitLink:
        """The broker, as the cloud sees it."""
        assert self._link is not None  # noqa: S101  # attached before any rule
        return self._link

    def receive(self, event: EventKind, data: bytes, has_qos_1: bool, stored: bool) -> bool:
        """Link's events come in here; whether it was accepted."""
        received = self.cloud.receive(event, data, stored=stored)
        if not has_qos_1:
            self.qos_missing.add(event.value)
        self._spoke.set()
        return received is not None

    async def until(self, condition: Callable[[], bool], what: str, seconds: float | None = None) -> None:
        """Wait until what the unit said fulfils it. Raises Violated when `what` does not come in time."""
        limit = self.patience.answer if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                while not condition():
                    self._spoke.clear()
                    await self._spoke.wait()
        except TimeoutError as error:
            raise RuleViolatedError(f"{what} did not come within {limit:g} s") from error

    async def afford(self, answers: int = 1) -> None:
        """Wait until the unit can be expected to have the budget for so many more answers to noise."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        begin = max(now, self._affordable_at)
        self._affordable_at = begin + answers * self.patience.pace
        await asyncio.sleep(begin + (answers - 1) * self.patience.pace - now)

    # -- orders out

    async def send(self, signed: OutboundOrder, times: int = 1) -> None:
        """Publish the same bytes so often."""
        for _ in range(times):
            await self.send_bytes(signed.domain, signed.data)

    async def send_bytes(self, domain: Domain, data: bytes) -> None:
        """Publish anything."""
        await self.link.publish(CommandKind(domain.value.removeprefix("cmd.")), data)

    async def order(
        self, order: VehicleCommand, mutation: Mutation = UNCHANGED, domain: Domain | None = None
    ) -> OutboundOrder:
        """Sign it and send it."""
        signed = self.cloud.sign(order, mutation, domain)
        await self.send(signed)
        return signed

    # -- answers in

    def answers(self, signed: OutboundOrder) -> list[UnitMessage]:
        """Return the answers to this signing of an order, on the subject where they belong; received apart."""
        event = _answered_on(signed)
        return [one for one in self.cloud.answers(signed.request_hash) if one.event is event]

    async def answer(self, signed: OutboundOrder, seconds: float | None = None) -> UnitMessage:
        """Return the first answer."""
        what = f"an answer on evt.{_answered_on(signed).value}"
        await self.until(lambda: bool(self.answers(signed)), what, seconds)
        return self.answers(signed)[0]

    async def stored_answer(self, signed: OutboundOrder, seconds: float | None = None) -> UnitMessage:
        """Return the first that the broker's stream has, from a unit that it did not confirm the answer to at once."""

        def stored() -> list[UnitMessage]:
            return [one for one in self.answers(signed) if self.cloud.is_stored(one)]

        await self.until(
            lambda: bool(stored()), "an answer that is stored", seconds or self.patience.comeback
        )
        return stored()[0]

    async def result(self, signed: OutboundOrder, seconds: float | None = None) -> Any:
        """Return the answer, which must not be a refusal by the protocol."""
        answer = await self.answer(signed, seconds)
        if isinstance(answer.payload, session_pb2.OrderRefused):
            raise RuleViolatedError(f"refused as {_fault_name(answer.payload.fault)}")
        return answer.payload

    async def succeeds(self, signed: OutboundOrder, seconds: float | None = None) -> report_pb2.CommandResult:
        """Return the result, which must be a success."""
        result: report_pb2.CommandResult = await self.result(signed, seconds)
        if result.outcome != report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            raise RuleViolatedError(f"a good order ended as {_told(result)}")
        return result

    async def insist(
        self, send: Callable[[], Awaitable[None]], answered: Callable[[], bool], what: str
    ) -> None:
        """Send what the unit may leave unanswered when its budget is spent, as it may be by what the broker delivered
        again; and once more, but not for ever. Raises Violated when `what` never came.
        """
        for left in reversed(range(ASKED_AT_MOST)):
            await self.afford()
            await send()
            try:
                await self.until(answered, what, self.patience.answer / ASKED_AT_MOST)
            except RuleViolatedError:
                if not left:
                    raise
            else:
                return

    async def provoked(self, signed: OutboundOrder) -> UnitMessage:
        """Send it, whether or not it was sent before; the answer that follows, from the budget."""
        said = len(self.answers(signed))
        what = f"an answer on evt.{_answered_on(signed).value}"
        await self.insist(lambda: self.send(signed), lambda: len(self.answers(signed)) > said, what)
        return self.answers(signed)[-1]

    async def known_result(self, order: VehicleCommand, mutation: Mutation = UNCHANGED) -> Any:
        """Sign a known order anew and send it; the stored result that answers it."""
        answer = await self.provoked(self.cloud.sign(order, mutation))
        if isinstance(answer.payload, session_pb2.OrderRefused):
            raise RuleViolatedError(f"a known order was refused as {_fault_name(answer.payload.fault)}")
        return answer.payload

    async def refusal(self, signed: OutboundOrder, *faults: Fault) -> session_pb2.OrderRefused:
        """Send it; it must be refused for one of these faults, with session information where that belongs."""
        return _refused((await self.provoked(signed)).payload, faults)

    async def refuses(self, order: VehicleCommand, mutation: Mutation, *faults: Fault) -> list[OutboundOrder]:
        """Return the same for an order that is signed anew whenever it is sent, because it spends its counter;
        all that was sent.
        """
        sent: list[OutboundOrder] = []

        async def send() -> None:
            sent.append(await self.order(order, mutation))

        def answers() -> list[UnitMessage]:
            return [answer for signed in sent for answer in self.answers(signed)]

        await self.insist(send, lambda: bool(answers()), "a refusal")
        _refused(answers()[0].payload, faults)
        return sent

    async def obeys(self, order: VehicleCommand, by: Any = None) -> Any:
        """Order it as a good cloud, which signs again what the unit found out of step; the result."""
        for _ in range(SIGNED_AGAIN_AT_MOST):
            signed = await self.order(order, Mutation(signer=by) if by else UNCHANGED)
            payload = (await self.answer(signed)).payload
            if not isinstance(payload, session_pb2.OrderRefused):
                return payload
            if payload.fault not in _OUT_OF_STEP:
                break
            await self.afford()
        raise RuleViolatedError(f"a good order was refused as {_fault_name(payload.fault)}")

    async def does(
        self, order: command_pb2.DoorCommand | VehicleCommand, by: Any = None
    ) -> report_pb2.CommandResult:
        """Order doors, and the unit must do it; the result."""
        result: report_pb2.CommandResult = await self.obeys(order, by)
        if result.outcome != report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            raise RuleViolatedError(f"a good order ended as {_told(result)}")
        return result

    async def fence(self) -> report_pb2.CommandResult:
        """Return a good order that moves nothing and is answered: all that was sent before it has been dealt with."""
        result = await self.does(lock(PASSENGER))
        await asyncio.sleep(self.patience.quiet)
        return result

    # -- what must be, and must not be

    async def at_rest(self) -> None:
        """Lock the doors that the rules move, and wait until nothing waits."""
        await self.catch_up()
        await self.does(lock(DRIVER, PASSENGER))
        await self.link.clear_copies()

    async def never_acts(self, *signed: OutboundOrder) -> None:
        """None of these unlocked the driver's door, which was locked before, or said that it did."""
        result = await self.fence()
        for one in signed:
            if self.hands.sees_actuations:
                count = await self.hands.actuations(one.order_id)
                require(count == 0, f"{count} actuations for an order that must not act")
        require(is_locked(result.status, DRIVER), "the door moved for an order that must not act")
        moved = {report_pb2.COMMAND_OUTCOME_SUCCEEDED, report_pb2.COMMAND_OUTCOME_PARTIAL}
        for answer in self.cloud.answers(*(one.request_hash for one in signed)):
            if isinstance(answer.payload, report_pb2.CommandResult):
                require(answer.payload.outcome not in moved, "it says that it did what it must not do")

    async def acted_once(self, signed: OutboundOrder) -> None:
        """One actuator was set in motion, once; as far as that can be seen."""
        if self.hands.sees_actuations:
            count = await self.hands.actuations(signed.order_id)
            require(count == 1, f"{count} actuations, not one")

    def says_nothing(self, signed: Sequence[OutboundOrder]) -> None:
        """No word was said of these. After `never_acts` or `fence`."""
        said = self.cloud.answers(*(one.request_hash for one in signed))
        require(not said, f"{len(said)} answers where none may be given")

    # -- manifests

    async def catch_up(self) -> None:
        """Send the manifests that it lacks, by its last hello; as far as it takes them."""
        keys = self.cloud.keys
        version = self.hellos()[-1].manifest_version
        if version >= keys.version:
            return
        for lacking in range(version + 1, keys.version + 1):
            await self.send_bytes(Domain.KEYS, self.cloud.seal(keys.endorsed(lacking)))
        await self.asked()

    # -- hellos

    def hellos(self) -> list[session_pb2.SessionInfo]:
        """Return all session information that came on evt.hello."""
        return [one.info for one in self.cloud.received if one.info is not None]

    def came_at_millis(self, hello: session_pb2.SessionInfo) -> int:
        """Return when it came, by the kit's clock."""
        return next(one.at_millis for one in self.cloud.received if one.info is hello)

    async def next_hello(self, after: int, what: str = "a hello") -> session_pb2.SessionInfo:
        """Return the hello after so many, from a unit that comes back."""
        await self.until(lambda: len(self.hellos()) > after, what, self.patience.comeback)
        return self.hellos()[after]

    async def asked(
        self, refused: Sequence[session_pb2.RefusedReport] = (), *, self_check: bool = False
    ) -> session_pb2.SessionInfo:
        """Return the hello that answers a session request made just now, which tells what was `refused` besides, or
        asks for a self-check.
        """
        challenges: set[bytes] = set()

        async def ask() -> None:
            await self.link.clear_copies()
            challenge, data = self.cloud.challenge(refused=refused, self_check=self_check)
            challenges.add(challenge)
            await self.send_bytes(Domain.CHALLENGE, data)

        def answers() -> list[session_pb2.SessionInfo]:
            return [info for info in self.hellos() if info.challenge in challenges]

        await self.insist(ask, lambda: bool(answers()), "the hello that a session request asked for")
        return answers()[0]

    async def reboot(self) -> session_pb2.SessionInfo:
        """Reboot it; the first hello of its new epoch. Raises Skipped when nobody does."""
        known = {info.epoch for info in self.hellos()}
        await self.link.clear_copies()
        await self.hands.reboot()

        def fresh() -> list[session_pb2.SessionInfo]:
            return [info for info in self.hellos() if info.epoch not in known]

        try:
            await self.until(lambda: bool(fresh()), "a hello of a new epoch", self.patience.comeback)
        except RuleViolatedError as late:
            if self.hands.needs_person:
                raise RuleSkippedError("nobody rebooted the unit (--reboot)") from late
            raise
        return fresh()[0]

    # -- reports

    def reports(self) -> list[UnitMessage]:
        """Return every status report."""
        return [one for one in self.cloud.received if one.event is EventKind.STATUS]


def _refused(payload: Any, faults: Sequence[Fault]) -> session_pb2.OrderRefused:
    named = " or ".join(fault.name for fault in faults)
    if not isinstance(payload, session_pb2.OrderRefused):
        raise RuleViolatedError(f"not refused as {named}")
    require(
        payload.fault in {int(fault) for fault in faults},
        f"refused as {_fault_name(payload.fault)}, not as {named}",
    )
    wants_session = payload.fault in _OUT_OF_STEP
    require(
        payload.HasField("session") == wants_session,
        f"{named} must {'carry' if wants_session else 'not carry'} session information",
    )
    require(not payload.session.HasField("hello"), "session information in a refusal holds a hello")
    return payload


def _answered_on(signed: OutboundOrder) -> EventKind:
    return EventKind(REFUSED_ON[signed.domain].value.removeprefix("evt."))


def _fault_name(number: int) -> str:
    return _name(session_pb2.ProtocolFault, number, "PROTOCOL_FAULT_")


def _told(result: report_pb2.CommandResult) -> str:
    """Return the outcome, why, and what the unit says can be done about it."""
    outcome = _name(report_pb2.CommandOutcome, result.outcome, "COMMAND_OUTCOME_")
    fault = _name(report_pb2.FaultCode, result.fault, "FAULT_CODE_")
    return f"{outcome}, {fault}: {result.guidance or 'it gives no guidance'}"


def _name(words: Any, number: int, prefix: str) -> str:
    if number not in words.values():
        return f"number {number}"
    return str(words.Name(number)).removeprefix(prefix)
