"""What the access service's test serves beside rights: people's own data, consents and cases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.access.adapters import store
from services.access.adapters.case_server import CaseServicer
from services.access.adapters.consent_server import ConsentServicer
from services.access.adapters.customer_case_server import CustomerCaseServicer
from services.access.adapters.hold_server import LegalHoldServicer
from services.access.adapters.kept import kept_tables
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.person_vehicle_server import PersonVehicleServicer
from services.access.adapters.personal_data_server import PersonalDataServicer
from services.access.usecases.consents import Consents
from services.access.usecases.customer_cases import CaseOverviews, CustomerCases
from services.access.usecases.holds import LegalHoldDecisions
from services.access.usecases.person_vehicles import PersonVehicles
from services.access.usecases.personal_data import Erasures, PersonalData
from services.platform.subject_data_api import OwnData
from services.vehicle_models.catalogue import VehicleModels
from tests.contract.access.access_service import (
    PEPPER,
    utc_now,
)
from tests.contract.access.personal_data_door import person  # noqa: F401  # a fixture
from tests.support.vehicle_models import MODELS

if TYPE_CHECKING:
    from services.access.domain.customer_cases import CaseRule
    from tests.contract.access.other_services import OtherServices


def personal_servicers(
    database: Any,
    audited: Any,
    path: str,
    sent: list[Any],
    others: OtherServices,
    invalidate: Any,
    asked: dict[Any, Any],
) -> list[Any]:
    """What people and operators ask about what is kept of people; `others` are told where to look."""
    own = OwnData(
        audited,
        f"sqlite:///{path}",
        kept_tables(timedelta(days=365), timedelta(days=1_095)),
        store.holds,
        utc_now,
        outbox=store.outbox,
        audit_outbox=store.audit_outbox,
        besides=lambda c, whom, _pseudonym: store.erased(c, whom, utc_now()),
    )
    record = store.SqlPersonalData(audited, PEPPER, AccessMessages(), sent.extend, own.subject_data)
    others.erasures = Erasures(record, others, invalidate, utc_now, others.done.append)
    others.database, others.path = database, Path(path)
    sources = {"access": own.subject_data.rows, **others.sources}
    return [
        ConsentServicer(Consents(store.SqlConsents(audited), invalidate, utc_now, asked)),
        PersonVehicleServicer(PersonVehicles(store.SqlPersonGrants(audited), utc_now)),
        LegalHoldServicer(LegalHoldDecisions(store.SqlHolds(database), others, utc_now, alone=False)),
        PersonalDataServicer(PersonalData(record, utc_now, timedelta(0)), sources, utc_now),
    ]


def case_servicers(record: Any, rule: CaseRule, invalidate: Any) -> list[Any]:
    """What the call centre's system and its agents ask about its cases."""
    return [
        CustomerCaseServicer(CustomerCases(record, invalidate, utc_now)),
        CaseServicer(CaseOverviews(record, rule, utc_now), VehicleModels(MODELS)),
    ]
