"""What each table of this service is kept for, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.enrolment.adapters.store import EnrolmentModel, audit_outbox, holds
from services.platform.kept_data import KeptTable
from services.platform.kept_tables import audit_outbox_line, holds_line

if TYPE_CHECKING:
    from collections.abc import Sequence


def kept_tables() -> Sequence[KeptTable]:
    """Return a line for each table."""
    return [
        KeptTable(
            EnrolmentModel.metadata.tables["vehicle_enrolment"],
            "certificates and public keys of vehicles, and nobody's name",
            "knowing a vehicle: contract",
            "as long as the vehicle; one that is revoked stays revoked",
            resource="vin",
        ),
        audit_outbox_line(audit_outbox),
        holds_line(holds),
    ]
