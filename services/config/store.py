"""The tables of this room, and what is done to them. Rows never leave this file."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Text, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, SQLModel

from services.config.domain import (
    FACTORY_VERSION,
    KEEP_ANSWERS,
    CorrelationIdReused,
    DoorConfig,
    DoorSettings,
    UnlockMode,
    changed,
    heard,
    push,
)
from services.runtime.database import Instant
from services.runtime.inbox import DeadLetter, DeadLetters, Inbox
from services.runtime.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row, Table

    from services.config.domain import ChangeRequest, News, Push
    from services.runtime.consumer import Poison
    from services.runtime.database import Database
    from services.runtime.outbox import OutboxRelay, OutgoingMessage

HEAD = "0002_dead_letters"
_UPDATE = "UpdateDoorConfig"


class RoomModel(SQLModel):
    """The base of this room's rows."""

    metadata = MetaData()


class VehicleConfig(RoomModel, table=True):
    """A vehicle's settings as wanted, and the vehicle's last word on them."""

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


class FirstAnswer(RoomModel, table=True):
    """What a request was answered, for its repeats. `answer` is a config as JSON."""

    __tablename__ = "first_answer"

    actor: str = Field(sa_column=Column(String(256), primary_key=True))
    vin: str = Field(sa_column=Column(String(17), primary_key=True))
    operation: str = Field(sa_column=Column(String(32), primary_key=True))
    correlation_id: str = Field(sa_column=Column(String(64), primary_key=True))
    fingerprint: str = Field(sa_column=Column(String(64), nullable=False))
    answer: str = Field(sa_column=Column(Text, nullable=False))
    answered_at: datetime = Field(sa_column=Column(Instant, nullable=False, index=True))


class ConfigAudit(RoomModel, table=True):
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


outbox = Outbox(RoomModel.metadata)
inbox = Inbox(RoomModel.metadata)
dead_letters = DeadLetters(RoomModel.metadata)

_configs: Table = RoomModel.metadata.tables["vehicle_config"]
_answers: Table = RoomModel.metadata.tables["first_answer"]
_audit: Table = RoomModel.metadata.tables["config_audit"]


class ConfigStore:
    """This room's record. `outgoing` makes the message of a push; `relay` learns of it after the commit."""

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        outgoing: Callable[[Push, datetime], OutgoingMessage],
    ) -> None:
        self._database = database
        self._relay = relay
        self._outgoing = outgoing

    async def find(self, vin: str) -> DoorConfig | None:
        """See usecases.ConfigRecord."""
        return await self._database.read(lambda connection: _find(connection, vin))

    async def first_sight(self, vin: str, at: datetime) -> DoorConfig:
        """See usecases.ConfigRecord."""
        return await self._database.write(lambda connection: _locked(connection, vin, at))

    async def change(self, request: ChangeRequest, at: datetime) -> DoorConfig:
        """See usecases.ConfigRecord."""

        def work(connection: Connection) -> tuple[DoorConfig, list[OutgoingMessage]]:
            return _change(connection, request, at, self._outgoing)

        config, messages = await self._database.write(work)
        self._relay.hand_over(messages)
        return config

    async def take_in(self, news: Sequence[News], at: datetime) -> None:
        """See usecases.ConfigRecord."""

        def work(connection: Connection) -> list[OutgoingMessage]:
            return _take_in(connection, news, at, self._outgoing)

        self._relay.hand_over(await self._database.write(work))

    async def forget(self, answers_before: datetime, news_before: datetime) -> None:
        """See usecases.ConfigRecord."""

        def work(connection: Connection) -> None:
            connection.execute(delete(_answers).where(_answers.c.answered_at < answers_before))
            inbox.forget(connection, news_before)

        await self._database.write(work)

    async def bury(self, poison: Sequence[Poison], at: datetime) -> None:
        """Keep what could not be understood. Raises StorageUnavailable."""
        letters = [DeadLetter(p.delivery.subject, p.delivery.data, p.reason, at) for p in poison]
        await dead_letters.bury(self._database, letters)


def _find(connection: Connection, vin: str, *, lock: bool = False) -> DoorConfig | None:
    query = select(_configs).where(_configs.c.vin == vin)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _config(row)


def _locked(connection: Connection, vin: str, at: datetime) -> DoorConfig:
    """The vehicle's config, begun if need be; until the commit nobody else can change it."""
    found = _find(connection, vin, lock=True)
    if found is not None:
        return found
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    factory = DoorConfig(vin, DoorSettings(), updated_at=at, desired_version=FACTORY_VERSION)
    connection.execute(dialect.insert(_configs).values(_row(factory)).on_conflict_do_nothing())
    begun = _find(connection, vin, lock=True)
    if begun is None:
        raise LookupError("a vehicle's config vanished within its transaction")
    return begun


def _change(
    connection: Connection,
    request: ChangeRequest,
    at: datetime,
    outgoing: Callable[[Push, datetime], OutgoingMessage],
) -> tuple[DoorConfig, list[OutgoingMessage]]:
    # The lock comes first: of two equal requests at once, the second must see the first's answer.
    before = _locked(connection, request.vin, at)
    answered = _first_answer(connection, request, at)
    if answered is not None:
        return answered, []
    after = changed(before, request.change, at)
    messages: list[OutgoingMessage] = []
    if after != before:
        _save(connection, after)
        messages.append(outgoing(push(after, cause=f"change:{request.correlation_id}"), at))
        outbox.add(connection, messages)
    _remember(connection, request, after, at)
    connection.execute(
        insert(_audit).values(
            vin=request.vin,
            changed_at=at,
            subject=request.subject,
            actor=request.actor,
            source=request.source,
            correlation_id=request.correlation_id,
            desired_version=after.desired_version,
            before=json.dumps(asdict(before.settings)),
            after=json.dumps(asdict(after.settings)),
        )
    )
    return after, messages


def _key(request: ChangeRequest) -> dict[str, str]:
    return {
        "actor": request.actor,
        "vin": request.vin,
        "operation": _UPDATE,
        "correlation_id": request.correlation_id,
    }


def _first_answer(connection: Connection, request: ChangeRequest, at: datetime) -> DoorConfig | None:
    row = connection.execute(select(_answers).filter_by(**_key(request))).first()
    if row is None or row.answered_at <= at - KEEP_ANSWERS:
        return None
    if row.fingerprint != request.change.fingerprint():
        raise CorrelationIdReused
    return _from_json(row.answer)


def _remember(connection: Connection, request: ChangeRequest, answer: DoorConfig, at: datetime) -> None:
    connection.execute(delete(_answers).filter_by(**_key(request)))  # one that was kept for long enough
    connection.execute(
        insert(_answers).values(
            **_key(request),
            fingerprint=request.change.fingerprint(),
            answer=_to_json(answer),
            answered_at=at,
        )
    )


def _take_in(
    connection: Connection,
    news: Sequence[News],
    at: datetime,
    outgoing: Callable[[Push, datetime], OutgoingMessage],
) -> list[OutgoingMessage]:
    messages: list[OutgoingMessage] = []
    # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
    for each in sorted(news, key=lambda item: item.vin):
        if not inbox.first_time(connection, f"{each.vin}:{each.message_id}", at):
            continue
        before = _locked(connection, each.vin, at)
        after, wanted = heard(before, each)
        if after != before:
            _save(connection, after)
        if wanted is not None:
            messages.append(outgoing(wanted, at))
    outbox.add(connection, messages)
    return messages


def _save(connection: Connection, config: DoorConfig) -> None:
    connection.execute(update(_configs).where(_configs.c.vin == config.vin).values(_row(config)))


def _row(config: DoorConfig) -> dict[str, Any]:
    return {
        **asdict(config.settings),
        "unlock_mode": config.settings.unlock_mode.value,
        "vin": config.vin,
        "updated_at": config.updated_at,
        "desired_version": config.desired_version,
        "applied_version": config.applied_version,
        "applied_at": config.applied_at,
        "rejected_version": config.rejected_version,
        "rejection": config.rejection,
    }


def _config(row: Row[Any]) -> DoorConfig:
    return _assemble(row._asdict())


def _assemble(values: dict[str, Any]) -> DoorConfig:
    own = dict(values)
    settings = {name: own.pop(name) for name in DoorSettings.__dataclass_fields__}
    settings["unlock_mode"] = UnlockMode(settings["unlock_mode"])
    return DoorConfig(settings=DoorSettings(**settings), **own)


def _to_json(config: DoorConfig) -> str:
    return json.dumps(_row(config), default=datetime.isoformat)


def _from_json(text: str) -> DoorConfig:
    values = json.loads(text)
    for name in ("updated_at", "applied_at"):
        if values[name] is not None:
            values[name] = datetime.fromisoformat(values[name])
    return _assemble(values)
