"""The tables of this service."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.platform.audit_outbox import AuditOutbox
from services.platform.audited_database import AuditedAct, note_act
from services.platform.database import Instant
from services.platform.legal_holds import LegalHolds
from services.platform.outbox import Outbox

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

HEAD = "0019_lift_times"


class AccessModel(SQLModel):
    """The tables of this service."""

    metadata = MetaData()


class VehicleRow(AccessModel, table=True):
    """A vehicle that somebody has or had a right on."""

    __tablename__ = "vehicle"
    vin: str = Field(primary_key=True, max_length=17)
    registered_at: datetime = Field(sa_type=Instant)


class PrincipalRow(AccessModel, table=True):
    """An account about which there is something to say; most have no row."""

    __tablename__ = "principal"
    principal: str = Field(primary_key=True, max_length=128)
    locked_at: datetime | None = Field(default=None, sa_type=Instant)
    reason: str | None = Field(default=None, max_length=256)
    restricted_at: datetime | None = Field(default=None, sa_type=Instant)
    restriction_reason: str | None = Field(default=None, max_length=200)
    restore_requested_by: str | None = Field(default=None, max_length=128)
    restore_requested_at: datetime | None = Field(default=None, sa_type=Instant)


class GrantRow(AccessModel, table=True):
    """A right. `actions` are words with a space between; empty means all of the role's. What the columns mean to an
    older version is said in grant_rows.
    """

    __tablename__ = "access_grant"
    __table_args__ = (
        Index("access_grant_holder", "vin", "principal"),
        Index("access_grant_principal", "principal"),
        Index("access_grant_giver", "given_by"),
        Index("access_grant_severed", "severed_by"),
    )
    grant_id: str = Field(primary_key=True, max_length=64)
    principal: str = Field(max_length=128)
    vin: str = Field(foreign_key="vehicle.vin", max_length=17)
    role: str = Field(max_length=16)
    actions: str = Field(max_length=1100)
    valid_seconds: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)
    kind: str | None = Field(default=None, max_length=16)
    schedule: str | None = Field(default=None, max_length=1024)
    label: str | None = Field(default=None, max_length=64)
    given_by: str | None = Field(default=None, max_length=128)
    offered_until: datetime | None = Field(default=None, sa_type=Instant)
    accepted_at: datetime | None = Field(default=None, sa_type=Instant)
    suspended_at: datetime | None = Field(default=None, sa_type=Instant)
    resumed_at: datetime | None = Field(default=None, sa_type=Instant)
    ends_at: datetime | None = Field(default=None, sa_type=Instant)
    rests: bool | None = Field(default=None)
    request_digest: str | None = Field(default=None, max_length=64)
    severed_by: str | None = Field(default=None, max_length=64)


class ApiKeyRow(AccessModel, table=True):
    """An API key by its keyed hash; the key itself is nowhere."""

    __tablename__ = "api_key"
    __table_args__ = (Index("api_key_principal", "principal"),)
    key_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    principal: str = Field(max_length=128)
    source: str = Field(max_length=16)
    created_at: datetime = Field(sa_type=Instant)
    expires_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)
    name: str | None = Field(default=None, max_length=64)
    scopes: str | None = Field(default=None, max_length=512)
    """Words with a space between; of a key from before there were any, and of one created without, none."""
    vins: str | None = Field(default=None, max_length=600)
    last_used_at: datetime | None = Field(default=None, sa_type=Instant)


class SeveranceRow(AccessModel, table=True):
    """A person's access to a vehicle that was severed; `message_id` is the outbox's, that says so."""

    __tablename__ = "severance"
    __table_args__ = (
        Index("severance_vehicle", "vin", "person"),
        Index("severance_requester", "requested_by", "requested_at"),
    )
    severance_id: str = Field(primary_key=True, max_length=64)
    vin: str = Field(max_length=17)
    person: str = Field(max_length=128)
    evidence: str = Field(max_length=200)
    requested_by: str = Field(max_length=128)
    on_behalf_of: str | None = Field(default=None, max_length=128)
    requested_at: datetime = Field(sa_type=Instant)
    message_id: str = Field(max_length=128)
    completed_at: datetime | None = Field(default=None, sa_type=Instant)
    reversal_requested_by: str | None = Field(default=None, max_length=128)
    reversal_reason: str | None = Field(default=None, max_length=200)
    reversed_by: str | None = Field(default=None, max_length=128)
    reversed_at: datetime | None = Field(default=None, sa_type=Instant)


class AbnormalCaseRow(AccessModel, table=True):
    """Something abnormal that was found; `principal` is empty where no account is concerned."""

    __tablename__ = "abnormal_case"
    __table_args__ = (
        Index("abnormal_case_raised", "raised_at"),
        Index("abnormal_case_open", "open_key", unique=True),
    )
    case_id: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=32)
    principal: str = Field(max_length=128)
    evidence: str = Field(max_length=300)
    consequence: str = Field(max_length=16)
    raised_at: datetime = Field(sa_type=Instant)
    acknowledged_by: str | None = Field(default=None, max_length=128)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)
    times: int | None = Field(default=None, sa_type=BigInteger)
    """How often it was found, the last time at `raised_at`; of a case from before that was counted, nothing."""
    open_key: str | None = Field(default=None, max_length=64)
    """What was found, while nobody has looked at it: there is one open case of it."""


class CustomerCaseRow(AccessModel, table=True):
    """A case of the call centre. One that was closed and never opened here has no customer; no `vin` means any of
    theirs.
    """

    __tablename__ = "customer_case"
    __table_args__ = (
        Index("customer_case_customer", "customer"),
        Index("customer_case_opened", "opened_at"),
        Index("customer_case_closed", "closed_at"),
    )
    case_number: str = Field(primary_key=True, max_length=64)
    customer: str = Field(max_length=128)
    vin: str = Field(max_length=17)
    opened_by: str | None = Field(default=None, max_length=128)
    opened_at: datetime | None = Field(default=None, sa_type=Instant)
    closed_by: str | None = Field(default=None, max_length=128)
    closed_at: datetime | None = Field(default=None, sa_type=Instant)


class EmergencyApprovalRow(AccessModel, table=True):
    """What a second agent approved: one row for each agent, customer, vehicle and case."""

    __tablename__ = "emergency_approval"
    __table_args__ = (Index("emergency_approval_time", "approved_at"),)
    vin: str = Field(primary_key=True, max_length=17)
    subject: str = Field(primary_key=True, max_length=128)
    agent: str = Field(primary_key=True, max_length=128)
    case_number: str = Field(primary_key=True, max_length=64)
    approved_by: str = Field(max_length=128)
    approved_at: datetime = Field(sa_type=Instant)


class EventTicketRow(AccessModel, table=True):
    """A ticket that was not used yet, by its digest, and the session that it opens."""

    __tablename__ = "event_ticket"
    __table_args__ = (Index("event_ticket_created", "created_at"),)
    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    session: str = Field(max_length=8192)
    created_at: datetime = Field(sa_type=Instant)


class IssuerKeyRow(AccessModel, table=True):
    """A key of the issuer that was trusted: what is missing when a process starts was withdrawn meanwhile."""

    __tablename__ = "issuer_key"
    credential: str = Field(primary_key=True, max_length=64)
    seen_at: datetime = Field(sa_type=Instant)


class RightsAuditRow(AccessModel, table=True):
    """Who changed which right when. `actor` is a workload's identity; `grant_id` and `vin` are empty for an account,
    and of an API key `grant_id` is the id.
    """

    __tablename__ = "audit_entry"
    sequence: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=Instant)
    actor: str = Field(max_length=128)
    act: str = Field(max_length=32)
    grant_id: str = Field(max_length=64)
    principal: str = Field(max_length=128)
    vin: str = Field(max_length=17)


outbox = Outbox(AccessModel.metadata)
holds = LegalHolds(AccessModel.metadata)
audit_outbox = AuditOutbox(AccessModel.metadata)

vehicles = AccessModel.metadata.tables["vehicle"]
principals = AccessModel.metadata.tables["principal"]
grants = AccessModel.metadata.tables["access_grant"]
keys = AccessModel.metadata.tables["api_key"]
audit = AccessModel.metadata.tables["audit_entry"]
abnormal_cases = AccessModel.metadata.tables["abnormal_case"]
severances = AccessModel.metadata.tables["severance"]
customer_cases = AccessModel.metadata.tables["customer_case"]
approvals = AccessModel.metadata.tables["emergency_approval"]
tickets = AccessModel.metadata.tables["event_ticket"]
issuer_keys = AccessModel.metadata.tables["issuer_key"]


SEVERANCES = frozenset({"ACCESS_SEVERED", "GRANT_SEVERED", "REVERSAL_REQUESTED", "SEVERANCE_REVERSED"})
"""Acts of which the person must not learn whose access is severed."""


def add_if_new(connection: Connection, table: Any, row: dict[str, Any]) -> bool:
    """Add the row unless its key is there; whether it was added."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(row).on_conflict_do_nothing()).rowcount == 1


def add_or_replace(connection: Connection, table: Table, row: dict[str, Any]) -> None:
    """Add the row, or put it in the place of the one with its key: of two at once the later one stays."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    key = [column.name for column in table.primary_key]
    values = {name: value for name, value in row.items() if name not in key}
    statement = dialect.insert(table).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


def write_audit(
    connection: Connection,
    act: str,
    *,
    by: str,
    at: datetime,
    principal: str,
    vin: str = "",
    named: str = "",
) -> None:
    """Keep who did what, and have the audit ledger told. `named` is the id of the grant or of the API key."""
    connection.execute(
        insert(audit).values(at=at, actor=by, act=act, grant_id=named, principal=principal, vin=vin)
    )
    # A severance is the person's who asked for it: whoever reads what is kept about the other one must not find it. And
    # under the key of who asked the other one's name would outlive them: the entry has the id, this record whose it is.
    hidden = act in SEVERANCES
    about = by if hidden else principal
    note_act(connection, AuditedAct(act, at, by, about, vin, detail={"named": named}))
