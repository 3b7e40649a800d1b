"""Puts together what people may ask about themselves, and the jobs that carry it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.access.adapters import store
from services.access.adapters.consent_server import ConsentServicer
from services.access.adapters.hold_server import LegalHoldServicer
from services.access.adapters.person_vehicle_server import PersonVehicleServicer
from services.access.adapters.personal_data_server import PersonalDataServicer
from services.access.adapters.service_data import log_erased
from services.access.domain.consents import ASKED
from services.access.usecases.consents import Consents
from services.access.usecases.holds import LegalHoldDecisions
from services.access.usecases.person_vehicles import PersonVehicles
from services.access.usecases.personal_data import Erasures, PersonalData
from services.platform.background import regularly

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime, timedelta

    from services.access.adapters.service_data import ServiceData
    from services.access.usecases.grants import InvalidateCaches
    from services.platform.database import Database
    from services.platform.subject_data_api import OwnData

ERASE_SECONDS = 5.0
TELL_SECONDS = 30.0


class PersonParts:
    """What people may ask about themselves, and the jobs and operators that have to do with what is kept of them.
    `service` is the name of this one; `holds_alone`: one operator is enough for a legal hold.
    """

    def __init__(
        self,
        database: Database,
        data: ServiceData,
        own_data: OwnData,
        record: store.SqlPersonalData,
        invalidate: InvalidateCaches,
        now: Callable[[], datetime],
        *,
        service: str,
        erasure_waiting: timedelta,
        holds_alone: bool,
    ) -> None:
        self.data = data
        self.apis = own_data.apis
        self._retention = own_data.retention
        self._erasures = Erasures(record, data, invalidate, now, log_erased)
        self._holds = LegalHoldDecisions(store.SqlHolds(database), data, now, alone=holds_alone)
        sources = {service: own_data.subject_data.rows, **data.sources}
        self.servicers = (
            ConsentServicer(Consents(store.SqlConsents(database), invalidate, now, ASKED)),
            LegalHoldServicer(self._holds),
            PersonVehicleServicer(PersonVehicles(store.SqlPersonGrants(database), now)),
            PersonalDataServicer(PersonalData(record, now, erasure_waiting), sources, now),
        )

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside the server."""
        return [
            self._retention.run(),
            regularly("erase_persons", ERASE_SECONDS, self._erasures.look),
            regularly("tell_holds", TELL_SECONDS, self._holds.tell),
        ]
