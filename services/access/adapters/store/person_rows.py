"""The tables behind people's rights about their data, and behind legal holds."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # SQLModel reads the annotations

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from services.access.adapters.store.tables import AccessModel
from services.platform.database import Instant


class HoldDecisionRow(AccessModel, table=True):
    """A legal hold as two operators set it, and as two lift it; `vin` or `person` is empty."""

    __tablename__ = "hold_decision"
    hold_id: str = Field(primary_key=True, max_length=64)
    vin: str = Field(max_length=17)
    person: str = Field(max_length=128)
    reason: str = Field(max_length=200)
    requested_by: str = Field(max_length=128)
    requested_at: datetime = Field(sa_type=Instant)
    approved_by: str | None = Field(default=None, max_length=128)
    set_at: datetime | None = Field(default=None, sa_type=Instant)
    lift_requested_by: str | None = Field(default=None, max_length=128)
    lift_requested_at: datetime | None = Field(default=None, sa_type=Instant)
    lifted_by: str | None = Field(default=None, max_length=128)
    lifted_at: datetime | None = Field(default=None, sa_type=Instant)


class DataExportRow(AccessModel, table=True):
    """That a person asked for what is kept about them, and until when it may be fetched. The file is made as it is
    fetched, and kept nowhere.
    """

    __tablename__ = "data_export"
    principal: str = Field(primary_key=True, max_length=128)
    export_id: str = Field(max_length=64, unique=True)
    requested_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    downloads: int


class ErasureRow(AccessModel, table=True):
    """That a person asked to be erased. Once it is done their name is gone from here, too: `person_digest` is a keyed
    hash of it, so that they can still ask what became of it.
    """

    __tablename__ = "erasure"
    __table_args__ = (Index("erasure_person", "person_digest"),)
    erasure_id: str = Field(primary_key=True, max_length=64)
    principal: str | None = Field(default=None, max_length=128, unique=True)
    person_digest: bytes = Field(sa_type=LargeBinary)
    requested_at: datetime = Field(sa_type=Instant)
    due_at: datetime = Field(sa_type=Instant)
    state: str = Field(max_length=16)
    in_the_way: str = Field(max_length=64)
    looked_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


hold_decisions = AccessModel.metadata.tables["hold_decision"]
data_exports = AccessModel.metadata.tables["data_export"]
erasures = AccessModel.metadata.tables["erasure"]
