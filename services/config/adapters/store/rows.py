"""Configs as rows: found, locked, saved; and the vehicles' sessions beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from protocol.cloud_side import ReplayGuard
from services.config.adapters.store.tables import configs, sessions
from services.config.domain.config import FACTORY_VERSION, DoorConfig, RequestEvidence
from services.config.domain.settings import DoorSettings, LeftOutSettings, UnlockMode
from services.platform.times import milliseconds

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row


def find(connection: Connection, vin: str, *, lock: bool = False) -> DoorConfig | None:
    """Return the vehicle's config, with its proof; locked until the commit if asked for."""
    query = select(configs).where(configs.c.vin == vin)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else config_of(row)


def locked(connection: Connection, vin: str, at: datetime) -> DoorConfig:
    """Return the vehicle's config, begun if need be; until the commit nobody else can change it."""
    found = find(connection, vin, lock=True)
    if found is not None:
        return found
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    factory = DoorConfig(vin, DoorSettings(), updated_at=at, desired_version=FACTORY_VERSION)
    connection.execute(dialect.insert(configs).values(_row(factory)).on_conflict_do_nothing())
    begun = find(connection, vin, lock=True)
    if begun is None:
        raise LookupError("a vehicle's config vanished within its transaction")
    return begun


def save(connection: Connection, config: DoorConfig) -> None:
    """Replace the vehicle's config."""
    connection.execute(update(configs).where(configs.c.vin == config.vin).values(_row(config)))


def _row(config: DoorConfig) -> dict[str, Any]:
    return {
        **public_values(config),
        "capability": config.proof.capability if config.proof else None,
        "asked_at": config.proof.asked_at if config.proof else None,
        "mac": config.proof.mac if config.proof else None,
        "resends": config.resends,
        "running": json.dumps(asdict(config.running)) if config.running else None,
        "left_out": json.dumps(asdict(config.left_out)) if config.left_out else None,
    }


def public_values(config: DoorConfig) -> dict[str, Any]:
    """Return all but what is for the signer only. What was left out is named only where something was: those who do
    not know that yet read this too.
    """
    left_out = {"left_out": json.dumps(asdict(config.left_out))} if config.left_out else {}
    return {
        **left_out,
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


def config_of(row: Row[Any]) -> DoorConfig:
    """Return the config in a row."""
    values = row._asdict()
    capability, asked_at, mac = (values.pop(name) for name in ("capability", "asked_at", "mac"))
    proof = None if capability is None else RequestEvidence(capability, asked_at, bytes(mac))
    running = values.pop("running")
    return replace(
        assembled(values),
        proof=proof,
        running=None if running is None else _settings_of(json.loads(running)),
    )


def assembled(values: dict[str, Any]) -> DoorConfig:
    """Return the config of these column values."""
    own = dict(values)
    settings = {name: own.pop(name) for name in DoorSettings.__dataclass_fields__}
    left_out = own.pop("left_out", None)
    return DoorConfig(
        settings=_settings_of(settings),
        left_out=None if left_out is None else _left_out_of(json.loads(left_out)),
        **own,
    )


def _left_out_of(values: dict[str, Any]) -> LeftOutSettings:
    return LeftOutSettings(tuple(values["settings"]), values["reason"])


def _settings_of(values: dict[str, Any]) -> DoorSettings:
    return DoorSettings(**{**values, "unlock_mode": UnlockMode(values["unlock_mode"])})


def replay_guard_of(connection: Connection, at: datetime) -> ReplayGuard:
    """Return the sessions and issued orders in this transaction."""
    return ReplayGuard(sessions.store(connection), lambda: milliseconds(at))
