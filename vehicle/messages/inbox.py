"""What comes from the cloud: opened, accepted or not, and handed on."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from protocol.domains import Domain
from protocol.faults import MessageRefusedError
from protocol.subjects import CommandKind as Kind
from protocol.vehicle_side import AcceptedOrder, KnownOrder, RefusedOrder
from vehicle.messages.channel import Channel, new_message_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ecarus.remotecontrol.vehicle.v1 import report_pb2, session_pb2

    from protocol.vehicle_side import OutgoingEnvelope
    from vehicle.link.port import CloudDelivery
    from vehicle.messages.answers import Answers
    from vehicle.messages.orders import OrderProcessor
    from vehicle.messages.outbox import AgentOutbox

logger = structlog.get_logger(__name__)

_ORDER = {Kind.KEYS: 0, Kind.DOOR: 1, Kind.CANCEL: 2, Kind.CONFIG: 3, Kind.SESSION: 4, None: 5}
"""Keys first: what else arrived may be signed with a new one. Commands before what withdraws them, so that the
cancellation knows their doors."""


REFUSED_REPORTS_KEPT = 20


@dataclass(frozen=True, slots=True)
class RefusedReport:
    """A message of this car that the cloud did not take; with `accepted`, not all of. `count` since it said so last."""

    domain: str
    reason: str
    accepted: bool
    count: int


class AgentInbox:
    """The one door through which messages come into one car's agent. `hello_now` makes what a hello says, `check_now`
    has the car check itself.
    """

    def __init__(
        self,
        vin: str,
        channel: Channel,
        orders: OrderProcessor,
        answers: Answers,
        outbox: AgentOutbox,
        hello_now: Callable[[], report_pb2.Hello],
        check_now: Callable[[], None],
    ) -> None:
        self.refused_reports: deque[RefusedReport] = deque(maxlen=REFUSED_REPORTS_KEPT)
        """What the cloud said lately that it did not take of this car's messages, the newest last."""
        self._vin_tail = vin[-6:]
        self._channel = channel
        self._orders = orders
        self._answers = answers
        self._outbox = outbox
        self._hello_now = hello_now
        self._check_now = check_now

    def take(self, deliveries: list[CloudDelivery]) -> None:
        """Take what arrived together. A command in it begins only afterwards, so none that the same batch
        withdraws ever does. Raises OSError when the disk does not take what must be kept.
        """
        for delivery in sorted(deliveries, key=lambda one: _ORDER[one.kind]):
            try:
                self._take_one(delivery)
            except MessageRefusedError as refused:
                self._refuse(delivery, refused.fault.name, refused.detail)

    def _take_one(self, delivery: CloudDelivery) -> None:
        match delivery.kind:
            case None:
                self._refuse(delivery, "UNKNOWN_SUBJECT", "a subject this car does not know")
            case Kind.KEYS:
                self._take_manifest(delivery)
            case Kind.SESSION:
                request = self._channel.open_session_request(delivery.data)
                self._note_refused(request.refused)
                if request.self_check:
                    self._check_now()
                self._answers.answer_challenge(self._hello(request.challenge), delivery)
            case kind:
                self._take_order(Domain(f"cmd.{kind.value}"), delivery)

    def _note_refused(self, reports: Iterable[session_pb2.RefusedReport]) -> None:
        for each in reports:
            told = RefusedReport(each.domain, each.reason, each.accepted, each.count)
            self.refused_reports.append(told)
            logger.warning("report_refused_by_cloud", vin_tail=self._vin_tail, **asdict(told))

    def _take_order(self, domain: Domain, delivery: CloudDelivery) -> None:
        match self._channel.open_order(domain, delivery.data):
            case AcceptedOrder() as accepted:
                self._orders.accept(accepted, delivery)
            case KnownOrder() as known:
                self._orders.repeat(known, delivery)
            case RefusedOrder() as faulted:
                self._answers.refuse(faulted, delivery)

    def _take_manifest(self, delivery: CloudDelivery) -> None:
        is_new = self._channel.adopt(delivery.data)
        self._answers.settle(delivery)
        if not is_new:
            return
        if self._channel.is_report_key_gone:
            self._channel.begin_epoch()
            # As after a reboot: what was accepted and has not begun was signed for the epoch before.
            self.take(self._orders.clear_waiting())
        self._outbox.post(self._hello())  # so that the cloud knows which keys this car accepts now

    def _hello(self, challenge: bytes = b"") -> Callable[[], OutgoingEnvelope]:
        message_id = new_message_id()
        return lambda: self._channel.seal_hello(self._hello_now(), message_id, challenge)

    def _refuse(self, delivery: CloudDelivery, fault: str, detail: str) -> None:
        logger.warning("message_refused", vin_tail=self._vin_tail, fault=fault, detail=detail)
        self._answers.drop(delivery)
