"""Which keys vehicles enrolled, as the enrolment service says: asked for once, and remembered until they change."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as contract
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2_grpc import VehicleKeysServiceStub
from google.protobuf.message import DecodeError

from protocol.keys import VehicleKeys
from protocol.subjects import VEHICLE_KEYS_CHANGED_SUBJECT
from services.platform.channel import ask
from services.platform.storage import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nats.aio.msg import Msg

    from services.platform.jetstream import Broker

MOST_KEPT = 100_000
KNOWN_SECONDS = 300.0
"""A change that nobody told of is unknown here for no longer than this."""
UNKNOWN_SECONDS = 2.0
_AT_ONCE = 512
_ANSWER_SECONDS = 2.0
_ROUNDS = 3
"""So often is asked within one `fetch`: what is told to have changed meanwhile is asked again."""
_log = structlog.get_logger()


class KeyChangeListener(Protocol):
    """Keeps something that follows from vehicles' keys."""

    def invalidate(self, vin: str) -> None:
        """Drop what follows from this vehicle's keys: they changed, or were revoked."""

    def clear(self) -> None:
        """Any vehicle's may have."""


class KeysUnknownError(StorageUnavailableError):
    """Nothing is known of this vehicle's enrolment: it was never asked for, or forgotten since. That is no verdict."""


@dataclass(slots=True, eq=False)
class _Question:
    """Asked, and not answered yet. What is not `undisturbed` any more changed meanwhile."""

    undisturbed: set[str]


class VehicleKeyDirectory:
    """protocol's Enrolment, for vehicles that were asked about before with `fetch`.

    `monotonic` counts seconds.
    """

    def __init__(self, channel: grpc.aio.Channel, monotonic: Callable[[], float]) -> None:
        self._stub = VehicleKeysServiceStub(channel)
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[VehicleKeys | None, float]] = OrderedDict()
        self._questions: list[_Question] = []
        self._listeners: list[KeyChangeListener] = []

    async def listen(self, broker: Broker, *listeners: KeyChangeListener) -> None:
        """Forget at once what is told to have changed, and with it what `listeners` keep. What changed while the
        broker was away was told to nobody: then all is forgotten.
        """
        self._listeners += listeners
        await broker.client.subscribe(VEHICLE_KEYS_CHANGED_SUBJECT, cb=self._changed)
        await broker.at_every_connect(self._clear_caches)

    async def fetch(self, vins: Iterable[str]) -> None:
        """Have the answers for these: for all at the same time, until somebody waits for something again. Raises
        StorageUnavailableError when the enrolment service cannot be asked, or has no answer that lasts.
        """
        wanted = set(vins)
        for _ in range(_ROUNDS):
            now = self._monotonic()
            missing = sorted(vin for vin in wanted if not self._is_fresh(vin, now))
            if not missing:
                return
            for start in range(0, len(missing), _AT_ONCE):
                await self._ask(missing[start : start + _AT_ONCE])
        if not wanted <= self._known.keys():
            raise KeysUnknownError("vehicles' keys changed whenever they were asked for")

    def find(self, vin: str) -> VehicleKeys | None:
        """Return its keys; None when it is not enrolled, or not any more. Raises KeysUnknownError when
        nobody has asked, or the answer was forgotten: whoever waited for anything since `fetch` may find it so.
        """
        if vin not in self._known:
            raise KeysUnknownError("a vehicle's keys were forgotten")
        keys, _ = self._known[vin]
        return keys

    def is_enrolled(self, vin: str) -> bool:
        """Return whether it is known to be enrolled; False when it is not, and when that is not known."""
        keys, _ = self._known.get(vin, (None, 0.0))
        return keys is not None

    def _is_fresh(self, vin: str, now: float) -> bool:
        _keys, until = self._known.get(vin, (None, 0.0))
        return now < until

    async def _ask(self, vins: list[str]) -> None:
        question = _Question(set(vins))
        self._questions.append(question)
        try:
            answer = await ask(
                self._stub.GetVehicleKeys,
                contract.GetVehicleKeysRequest(vins=vins),
                seconds=_ANSWER_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            raise StorageUnavailableError(f"vehicles' keys: {error.code().name} {error.details()}") from error
        finally:
            self._questions.remove(question)
        now = self._monotonic()
        # An answer that was on its way while its vehicle changed may be from before, and is none.
        for vin in question.undisturbed:
            self._remember(vin, None, now + UNKNOWN_SECONDS)
        for each in answer.keys:
            if each.vin not in question.undisturbed:
                continue
            try:
                keys = VehicleKeys.of(each.verify_key, each.seal_key)
            except ValueError:
                _log.error("vehicle_keys_unusable")
            else:
                self._remember(each.vin, keys, now + KNOWN_SECONDS)

    def _remember(self, vin: str, keys: VehicleKeys | None, until: float) -> None:
        self._known[vin] = (keys, until)
        self._known.move_to_end(vin)
        if len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)

    async def _changed(self, message: Msg) -> None:
        try:
            changed = contract.VehicleKeysChanged.FromString(message.data)
        except DecodeError:
            _log.error("vehicle_keys_change_unreadable")
            return
        for question in self._questions:
            question.undisturbed.discard(changed.vin)
        self._known.pop(changed.vin, None)
        for listener in self._listeners:
            listener.invalidate(changed.vin)

    async def _clear_caches(self) -> None:
        for question in self._questions:
            question.undisturbed.clear()
        self._known.clear()
        for listener in self._listeners:
            listener.clear()
