"""The way in: what vehicles, and the other services, say over NATS."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import structlog
from ecarus.remotecontrol.door.v1 import room_event_pb2
from google.protobuf.message import DecodeError
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from protocol import streams, subjects
from protocol.cloud_side import ReplayGuard
from protocol.domains import Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.stream_config import command_queue
from services.command.adapters import vehicle_translate
from services.command.adapters.mqtt_queue import MqttSessions, forward_waiting
from services.command.domain.reports import SignedEvidence
from services.command.usecases.epoch_watch import TWO_UNITS
from services.command.usecases.history import record_status_checks
from services.command.usecases.vehicle_reports import (
    VerifiedMessage,
    ingest_messages,
    record_outcomes,
    vehicle_connected,
)
from services.platform.consumer import ConsumerPlan, PoisonMessage, RetryLater
from services.platform.logs import masked_id
from services.platform.storage import StorageUnavailableError
from services.platform.subscriptions import Subscription
from services.telematics.links import over_each_link
from services.telematics.messages import by_vehicle, disposition, noticed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ecarus.remotecontrol.vehicle.v1 import session_pb2
    from nats.aio.msg import Msg

    from protocol.cloud_side import AnswerReader, CloudStore
    from protocol.session import CloudSession
    from services.command.adapters.manifest_delivery import ManifestDelivery
    from services.command.adapters.shown_results import ShownResults
    from services.command.domain.commands import AdvisoryState
    from services.command.domain.reports import Report
    from services.command.usecases.ports import CommandDependencies
    from services.platform.consumer import Delivery, Unhandled
    from services.platform.jetstream import Broker
    from services.telematics.keys import VehicleKeyDirectory

EVENTS = ConsumerPlan(
    streams.VEHICLE_EVENTS,
    "command-events",
    tuple(
        subjects.event_subject("*", event)
        for event in subjects.EventKind
        if event not in {subjects.EventKind.STATUS, subjects.EventKind.DIAGNOSTICS}
    ),
)
CHECKS = ConsumerPlan(streams.ROOM_EVENTS, "command-status-checks", (subjects.STATUS_CHECKS_SUBJECT,))
VERDICTS = ConsumerPlan(streams.ROOM_EVENTS, "command-verdicts", (subjects.VERDICTS_SUBJECT,))

_MOST_CONDITIONS = 100_000

_Odd = dict[int, "tuple[Delivery, str, str]"]
"""What is odd: the message that showed it, its vehicle, and what; once for each message, however often it is tried."""

_log = structlog.get_logger()


_ANSWERS = {
    subjects.EventKind.RECEIVED.value: Domain.RECEIVED,
    subjects.EventKind.RESULT.value: Domain.RESULT,
    subjects.EventKind.CANCEL.value: Domain.CANCELLED,
    subjects.EventKind.CONFIG.value: Domain.CONFIGURED,
}


@dataclass(frozen=True, slots=True)
class _Greeting:
    """A hello that was accepted."""

    info: session_pb2.SessionInfo
    over_mqtt: bool
    arrived_at: datetime


class CommandEventHandler:
    """What vehicles say of commands, and their hellos. `now_millis` is the cloud's clock; `ask` asks a vehicle for its
    session information.
    """

    def __init__(
        self,
        deps: CommandDependencies,
        broker: Broker,
        keys: VehicleKeyDirectory,
        reader: AnswerReader,
        manifests: ManifestDelivery,
        greeted: Callable[[str, datetime], None],
        shown: ShownResults,
        now_millis: Callable[[], int],
        *,
        ask: Callable[[str], Awaitable[None]],
    ) -> None:
        self._ask = ask
        self._deps = deps
        self._broker = broker
        self._keys = keys
        self._reader = reader
        self._manifests = manifests
        self._greeted = greeted
        self._shown = shown
        self._now_millis = now_millis
        self.sessions = MqttSessions(broker, deps.now)

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Take in a batch; what cannot be understood or accepted is poison. Results wait for their doors."""
        ready, waiting = self._shown.sort(deliveries)
        return [*waiting, *await self._take(ready)] if ready else waiting

    async def _take(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        addressed, unhandled = by_vehicle(deliveries)
        await self._keys.fetch({vin for vin, _ in addressed})
        received: dict[VerifiedMessage, Delivery] = {}
        greetings: dict[VerifiedMessage, _Greeting] = {}
        refusals: list[session_pb2.SignedAnswer] = []
        odd: _Odd = {}
        for vin, delivery in addressed:
            kind = delivery.subject.rpartition(".")[2]
            try:
                if kind == subjects.EventKind.HELLO.value:
                    over_mqtt = self._came_over_mqtt(vin, delivery)
                    info = self._reader.hello(vin, delivery.data)
                    one = VerifiedMessage(vin, partial(self._learn, info, delivery, odd))
                    arrived_at_us = delivery.arrived_at_us(self._now_millis() * 1_000)
                    arrived_at = datetime.fromtimestamp(arrived_at_us / 1_000_000, UTC)
                    greetings[one] = _Greeting(info, over_mqtt, arrived_at)
                else:
                    domain = _ANSWERS[kind]
                    answer, signed = self._reader.signed_answer(vin, domain, delivery.data)
                    if answer.HasField("refused"):
                        refusals.append(answer)
                    if domain is Domain.CONFIGURED:  # the config service's, but for the keys that are lacking
                        continue
                    evidence = SignedEvidence(answer.request_hash, signed)
                    one = VerifiedMessage(vin, partial(self._admit, domain, answer, delivery, odd), evidence)
            except MessageRefusedError as refused:
                unhandled += disposition(delivery, refused)
            else:
                received[one] = delivery
        if refusals:
            await asyncio.gather(*map(self._bring_manifests, refusals))
        if received:
            taken = await ingest_messages(self._deps, list(received))
            for one, why in taken.rejected.items():
                greetings.pop(one, None)
                unhandled += (
                    [PoisonMessage(received[one], why)]
                    if isinstance(why, str)
                    else disposition(received[one], why)
                )
        unhandled += [noticed(delivery, what) for delivery, _, what in odd.values()]
        # Whose word was refused may be the unit that is connected now: its answer says which epoch it is in.
        doubled = {vin for _, vin, what in odd.values() if what is TWO_UNITS}
        await asyncio.gather(*map(self._ask, sorted(doubled)))
        return unhandled + await self._welcome_all([(received[one], greetings[one]) for one in greetings])

    def _came_over_mqtt(self, vin: str, delivery: Delivery) -> bool:
        """Return how a hello came, and note it also where the hello is set aside.

        What was set aside comes again without its headers: it came as the vehicle's last one from the broker did,
        which says who may publish under the subject.
        """
        if not delivery.stored_at_ns:
            return self.sessions.over_mqtt(vin)
        over_mqtt = streams.MQTT_QOS_HEADER in delivery.headers
        self.sessions.received(vin, over_mqtt=over_mqtt)
        return over_mqtt

    async def _welcome_all(self, greeted: Sequence[tuple[Delivery, _Greeting]]) -> list[Unhandled]:
        """Return those that could not be welcomed: what keeps one from it must not make the others begin again."""
        unhandled: list[Unhandled] = []
        welcomes = (self._welcome(greeting) for _, greeting in greeted)
        for (delivery, _), trouble in zip(
            greeted, await asyncio.gather(*welcomes, return_exceptions=True), strict=True
        ):
            if isinstance(trouble, (NatsError, APIError, TimeoutError)):
                unhandled.append(RetryLater(delivery, f"its queue was not opened: {type(trouble).__name__}"))
            elif isinstance(trouble, Exception) and not isinstance(trouble, StorageUnavailableError):
                unhandled.append(PoisonMessage(delivery, f"{type(trouble).__name__}: {trouble}", waits=True))
            elif trouble is not None:
                raise trouble
        return unhandled

    def _learn(self, info: session_pb2.SessionInfo, delivery: Delivery, odd: _Odd, store: CloudStore) -> None:
        vin, epochs = info.vin, self._deps.epochs
        try:
            self._replay_guard(vin, delivery, odd, store).learn(info)
        except MessageRefusedError as refused:
            session = store.load(vin) if refused.fault is Fault.STALE_SESSION else None
            if session is not None:
                what = epochs.refused(vin, session, info.epoch, self._arrived_at_millis(delivery))
                if what:
                    odd[id(delivery)] = (delivery, vin, what)
            raise

    def _replay_guard(self, vin: str, delivery: Delivery, odd: _Odd, store: CloudStore) -> ReplayGuard:
        """Return the sessions, which say what is odd about an epoch that the vehicle enters by this message."""

        def entered(before: CloudSession, after: CloudSession) -> None:
            what = self._deps.epochs.entered(vin, before, after, self._arrived_at_millis(delivery))
            if what:
                odd[id(delivery)] = (delivery, vin, what)

        return ReplayGuard(store, self._now_millis, entered)

    def _arrived_at_millis(self, delivery: Delivery) -> int:
        return delivery.arrived_at_us(self._now_millis() * 1_000) // 1_000

    def _admit(
        self,
        domain: Domain,
        answer: session_pb2.SignedAnswer,
        delivery: Delivery,
        odd: _Odd,
        store: CloudStore,
    ) -> Report:
        """Raise NotUnderstood as MessageRefusedError: both are the vehicle's fault."""
        opened = self._replay_guard(answer.vin, delivery, odd, store).admit(domain, answer)
        try:
            return vehicle_translate.report(
                opened, self._deps.now(), self._deps.models.of(answer.vin).door_ids
            )
        except vehicle_translate.InconsistentReportError as error:
            raise MessageRefusedError(Fault.MALFORMED, str(error)) from error

    async def _bring_manifests(self, answer: session_pb2.SignedAnswer) -> None:
        """Before the order is signed again: a vehicle that knows the signing key no more needs them first."""
        if answer.refused.HasField("session"):
            version = answer.refused.session.manifest_version
            await self._manifests.bring(answer.vin, version, answer.message_id)

    async def _welcome(self, greeting: _Greeting) -> None:
        """Open the vehicle's queue, which it may only pull from; send again what the broker may have lost.

        Nobody can pull over MQTT: there what the queue holds is put into the vehicle's session.
        """
        info, vin = greeting.info, greeting.info.vin
        self._greeted(vin, greeting.arrived_at)
        self.sessions.received(vin, over_mqtt=greeting.over_mqtt)
        await self._broker.jetstream.add_consumer(streams.VEHICLE_COMMANDS, command_queue(vin))
        if greeting.over_mqtt and not info.challenge:  # one that answers a request has its session
            await forward_waiting(self._broker, vin, self._deps.now())
        await self._manifests.bring(vin, info.manifest_version, info.message_id)
        await vehicle_connected(self._deps, vin)
        _log.info("vehicle_connected", vin=masked_id(vin))


def subscriptions(events: CommandEventHandler, deps: CommandDependencies) -> list[Subscription]:
    """List all that this service ingests."""
    return [
        *over_each_link(EVENTS, events.handle),
        Subscription(CHECKS, partial(handle_status_checks, deps)),
        Subscription(VERDICTS, partial(handle_outcomes, deps)),
    ]


async def handle_outcomes(deps: CommandDependencies, deliveries: Sequence[Delivery]) -> list[PoisonMessage]:
    """Take in how doors stood after commands had succeeded."""
    poison: list[PoisonMessage] = []
    for delivery in deliveries:
        try:
            verdicts = vehicle_translate.observed(room_event_pb2.CommandVerdicts.FromString(delivery.data))
        except (DecodeError, ValueError) as error:
            poison.append(PoisonMessage(delivery, f"not verdicts: {error}"))
        else:
            await record_outcomes(deps, verdicts)
    return poison


async def handle_status_checks(
    deps: CommandDependencies, deliveries: Sequence[Delivery]
) -> list[PoisonMessage]:
    """Take status reads into the history."""
    poison: list[PoisonMessage] = []
    for delivery in deliveries:
        try:
            checks = vehicle_translate.status_checks(room_event_pb2.StatusChecks.FromString(delivery.data))
        except (DecodeError, ValueError) as error:
            poison.append(PoisonMessage(delivery, f"not status checks: {error}"))
        else:
            await record_status_checks(deps, checks)
    return poison


class AdvisoryStateCache:
    """What vehicles said moments ago (ports.AdvisoryStates), as the status service passes it on."""

    def __init__(self, broker: Broker, now: Callable[[], datetime]) -> None:
        self._broker = broker
        self._now = now
        self._latest: dict[str, AdvisoryState] = {}

    async def listen(self) -> None:
        """Begin to hear. An advisory state that is lost costs nothing: the vehicle itself decides."""
        await self._broker.client.subscribe(subjects.advisory_subject("*"), cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        try:
            received = room_event_pb2.VehicleCondition.FromString(message.data)
            condition = vehicle_translate.advisory_state(received)
        except (DecodeError, ValueError, OverflowError) as error:
            _log.warning("condition_not_understood", reason=str(error))
            return
        known = self._latest.get(received.vin)
        if known is not None and (
            known.observed_at > condition.observed_at or (known.asleep and condition.lost)
        ):
            return  # who sleeps says nothing, and is not lost for that
        if len(self._latest) >= _MOST_CONDITIONS:
            self._latest.clear()
        self._latest[received.vin] = condition

    def of(self, vin: str) -> AdvisoryState | None:
        """Return the latest, if there is one."""
        return self._latest.get(vin)

    def is_asleep(self, vin: str) -> bool:
        """Return whether its last word was that it goes to sleep."""
        condition = self._latest.get(vin)
        return condition is not None and condition.asleep

    def greeted(self, vin: str, arrived_at: datetime) -> None:
        """Its hello arrived at this time, and it is awake and within reach."""
        condition = self._latest.get(vin)
        if condition is None or condition.observed_at > arrived_at:
            return
        if condition.asleep or condition.lost:
            del self._latest[vin]
