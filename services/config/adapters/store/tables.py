"""The tables of this service."""

from datetime import datetime

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, Text
from sqlmodel import Field, SQLModel

from services.platform.audit_outbox import AuditOutbox
from services.platform.database import Instant
from services.platform.inbox import DeadLetters, Inbox
from services.platform.legal_holds import LegalHolds
from services.platform.outbox import Outbox
from services.telematics.senders import sender_of
from services.telematics.sessions import VehicleSessions

HEAD = "0010_wide_audit_outbox"


class ConfigModel(SQLModel):
    """The base of this service's rows."""

    metadata = MetaData()


class VehicleConfig(ConfigModel, table=True):
    """A vehicle's settings as wanted, and the vehicle's last report of them."""

    __tablename__ = "vehicle_config"

    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    auto_lock_enabled: bool
    auto_lock_delay_seconds: int
    unlock_mode: str = Field(sa_column=Column(String(16), nullable=False))
    child_lock_enabled: bool
    speed_based_lock_enabled: bool
    speed_lock_threshold_kmh: int
    parking_auto_unlock: bool
    updated_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    desired_version: int
    applied_version: int | None
    applied_at: datetime | None = Field(sa_column=Column(Instant))
    rejected_version: int | None
    rejection: str | None = Field(sa_column=Column(Text))
    capability: str | None = Field(sa_column=Column(Text))
    asked_at: datetime | None = Field(sa_column=Column(Instant))
    mac: bytes | None = Field(sa_column=Column(LargeBinary(32)))
    resends: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))
    running: str | None = Field(sa_column=Column(Text))
    left_out: str | None = Field(sa_column=Column(Text))


class FirstAnswer(ConfigModel, table=True):
    """What a request was answered, for its repeats. `answer` is a config as JSON."""

    __tablename__ = "first_answer"

    actor: str = Field(sa_column=Column(String(256), primary_key=True))
    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    operation: str = Field(sa_column=Column(String(32), primary_key=True))
    correlation_id: str = Field(sa_column=Column(String(64), primary_key=True))
    fingerprint: str = Field(sa_column=Column(String(64), nullable=False))
    answer: str = Field(sa_column=Column(Text, nullable=False))
    answered_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))


class ConfigAudit(ConfigModel, table=True):
    """Who asked for which change; `before` and `after` are the settings as JSON."""

    __tablename__ = "config_audit"

    id: int | None = Field(sa_column=Column(Integer, primary_key=True, autoincrement=True))
    vin: str = Field(sa_column=Column(String(17), nullable=False, index=True))
    changed_at: datetime = Field(sa_column=Column(Instant, nullable=False))
    subject: str = Field(sa_column=Column(String(256), nullable=False))
    actor: str = Field(sa_column=Column(String(256), nullable=False))
    source: str = Field(sa_column=Column(String(32), nullable=False))
    correlation_id: str = Field(sa_column=Column(String(64), nullable=False))
    desired_version: int
    before: str = Field(sa_column=Column(Text, nullable=False))
    after: str = Field(sa_column=Column(Text, nullable=False))


outbox = Outbox(ConfigModel.metadata)
audit_outbox = AuditOutbox(ConfigModel.metadata)
inbox = Inbox(ConfigModel.metadata)
dead_letters = DeadLetters(ConfigModel.metadata, sender_of)
sessions = VehicleSessions(ConfigModel.metadata, issues_orders=True)
holds = LegalHolds(ConfigModel.metadata)

configs: Table = ConfigModel.metadata.tables["vehicle_config"]
answers: Table = ConfigModel.metadata.tables["first_answer"]
audit: Table = ConfigModel.metadata.tables["config_audit"]
