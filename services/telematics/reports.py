"""What services share that hear vehicles' reports: whose epoch is which, and opening reports in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from pydantic import Field, FilePath

from protocol.cloud_side import ReplayGuard
from protocol.faults import Fault, MessageRefusedError
from protocol.reports import ReportOpener, ReportSession
from protocol.subjects import vin_of
from services.platform.consumer import PoisonMessage, RetryLater, Unhandled
from services.platform.settings import Target  # noqa: TC001  # pydantic reads the annotations
from services.platform.storage import StorageUnavailableError
from services.telematics.messages import NO_VIN, by_vehicle, disposition
from services.telematics.settings import VehicleServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ecarus.remotecontrol.vehicle.v1.session_pb2 import SessionInfo
    from sqlalchemy import Connection

    from protocol.cloud_side import AnswerReader
    from protocol.domains import Domain
    from protocol.keys import OpenKeys
    from protocol.reports import OpenedReport
    from protocol.session import CloudSession
    from services.platform.consumer import Delivery
    from services.platform.database import Database
    from services.telematics.keys import VehicleKeyDirectory
    from services.telematics.sessions import VehicleSessions

_log = structlog.get_logger()


class ReportSettings(VehicleServiceSettings):
    """What a service needs that hears reports. `report_keys_kept` is how many vehicles' keys, about 1 kB each."""

    vehicle_keys_target: Target
    cloud_seal_keys: FilePath
    cloud_report_keys: FilePath
    report_keys_kept: int = Field(default=100_000, ge=1, le=10_000_000)


class ReportReader:
    """Opens the reports of one domain.

    Keys that are kept cost neither a query nor a call. For the others of a batch the sessions are read in one
    query and the vehicles' enrolment is asked for in one call, and then they are kept.
    """

    def __init__(
        self,
        domain: Domain,
        cloud_keys: OpenKeys,
        database: Database,
        sessions: VehicleSessions,
        directory: VehicleKeyDirectory,
        most_kept: int,
    ) -> None:
        self._domain = domain
        self._database = database
        self._sessions = sessions
        self._directory = directory
        self._loaded: dict[str, CloudSession] = {}
        self._opener = ReportOpener(cloud_keys, self, most_kept)

    async def open(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[list[tuple[Delivery, OpenedReport]], list[Unhandled]]:
        """Return the reports in `deliveries` that are to be accepted, in order, and what cannot be handled. A report
        that was taken before is in neither. Raises StorageUnavailableError.
        """
        opened: list[tuple[Delivery, OpenedReport]] = []
        unhandled: list[Unhandled] = []
        unknown = self._open(deliveries, opened, unhandled)
        if unknown:
            await self._open_unknown(unknown, opened, unhandled)
        return opened, unhandled

    async def sessions_of(self, vins: Iterable[str]) -> dict[str, CloudSession]:
        """Return the sessions there are of these vehicles. Raise StorageUnavailableError."""
        return await self._database.read(lambda connection: self._sessions.find_all(connection, sorted(vins)))

    def taken(self, opened: Iterable[tuple[Delivery, OpenedReport]]) -> None:
        """Note that these are committed: repetitions of them are not opened any more."""
        taken = self._opener.taken
        for _, report in opened:
            taken(report)

    def invalidate(self, vin: str) -> None:
        """Drop what follows from this vehicle's keys: they changed, or were revoked. Also when the vehicle began
        another epoch.
        """
        self._opener.invalidate(vin)

    def clear(self) -> None:
        """Any vehicle's may have."""
        self._opener.clear()

    def load(self, vin: str, epoch: bytes) -> ReportSession | None:
        """Return the session of this epoch; None when no session information of it was seen, when a later epoch
        followed it, and when the vehicle is not enrolled any more. Asked when an epoch is not the one whose keys are
        kept.

        What was read for the batch in hand.
        """
        session = self._loaded.get(vin)
        if session is None or session.epoch != epoch or not self._directory.is_enrolled(vin):
            return None
        order = session.order_of(session.current)
        return ReportSession(session.report_public_key, session.report_key_id, order=order)

    def _open(
        self,
        deliveries: Iterable[Delivery],
        opened: list[tuple[Delivery, OpenedReport]],
        unhandled: list[Unhandled],
    ) -> list[Delivery]:
        """Sort them; those of epochs that are not known here are left over."""
        unknown: list[Delivery] = []
        open_one, domain = self._opener.open, self._domain
        for delivery in deliveries:
            try:
                report = open_one(vin_of(delivery.subject), domain, delivery.data)
            except MessageRefusedError as refused:
                if refused.fault is Fault.WRONG_EPOCH:
                    unknown.append(delivery)
                else:
                    unhandled += disposition(delivery, refused)
            except ValueError:  # its text would name what stands where a VIN belongs
                unhandled.append(PoisonMessage(delivery, NO_VIN))
            else:
                opened.append((delivery, report))
        return unknown

    async def _open_unknown(
        self,
        deliveries: Sequence[Delivery],
        opened: list[tuple[Delivery, OpenedReport]],
        unhandled: list[Unhandled],
    ) -> None:
        vins = sorted({vin_of(delivery.subject) for delivery in deliveries})
        found = await self.sessions_of(vins)
        reason = "WRONG_EPOCH: an epoch that no session information told of"
        try:
            await self._directory.fetch(found)
        except StorageUnavailableError as error:
            # Only whoever began an epoch waits for the enrolment service, and not all others with it.
            _log.warning("reports_wait_for_vehicle_keys", vehicles=len(found), reason=str(error))
            reason = "the vehicle's keys cannot be asked for"
        self._loaded = found
        try:
            left = self._open(deliveries, opened, unhandled)
        finally:
            self._loaded = {}
        unhandled += [RetryLater(delivery, reason) for delivery in left]


class HelloIntake:
    """Learns from hellos in which epoch vehicles are. `began` hears of each that began another one."""

    def __init__(
        self,
        reader: AnswerReader,
        directory: VehicleKeyDirectory,
        database: Database,
        sessions: VehicleSessions,
        now_millis: Callable[[], int],
        began: Callable[[str], None],
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._database = database
        self._sessions = sessions
        self._now_millis = now_millis
        self._began = began

    async def handle(self, deliveries: Sequence[Delivery]) -> list[Unhandled]:
        """Take in what is signed by the enrolled vehicle, in one commit. Raises StorageUnavailableError."""
        addressed, unhandled = by_vehicle(deliveries)
        await self._directory.fetch({vin for vin, _ in addressed})
        signed: list[tuple[Delivery, SessionInfo]] = []
        for vin, delivery in addressed:
            try:
                signed.append((delivery, self._reader.hello(vin, delivery.data)))
            except MessageRefusedError as refused:
                unhandled += disposition(delivery, refused)
        if signed:
            began, refused_ones = await self._database.write(
                lambda connection: self._learn(connection, signed)
            )
            unhandled += refused_ones
            for vin in began:
                self._began(vin)
        return unhandled

    def _learn(
        self, connection: Connection, signed: Sequence[tuple[Delivery, SessionInfo]]
    ) -> tuple[set[str], list[Unhandled]]:
        replay_guard = ReplayGuard(self._sessions.store(connection), self._now_millis)
        refused: list[Unhandled] = []
        began: set[str] = set()
        # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
        for delivery, info in sorted(signed, key=lambda item: item[1].vin):
            try:
                if replay_guard.learn_unsolicited(info):
                    began.add(info.vin)
            except MessageRefusedError as error:
                refused += disposition(delivery, error)
        return began, refused
