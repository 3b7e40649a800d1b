"""What the environment says: the only module that reads it.

Reads DOORS_VEHICLES_FILE, DOORS_VEHICLE_DATA_DIR, DOORS_NATS_URL or DOORS_MQTT_URL (what the cars use),
both one address or several with commas between; DOORS_NATS_CA (optional), DOORS_CONTROL_PORT and DOORS_LOG_LEVEL
(optional, default INFO).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKS = ("nats", "mqtt")
_READ = {
    "DOORS_VEHICLES_FILE", "DOORS_VEHICLE_DATA_DIR", "DOORS_NATS_URL", "DOORS_MQTT_URL", "DOORS_NATS_CA",
    "DOORS_CONTROL_PORT", "DOORS_LOG_LEVEL",
}  # fmt: skip


class SettingsMissingError(SystemExit):
    """A setting is missing or wrong: one line to standard error, and out."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What the environment says."""

    vehicles_file: Path
    data_dir: Path
    nats_url: str | None
    mqtt_url: str | None
    nats_ca: Path | None
    link: str | None
    """Instead of what the file says of each car."""
    control_port: int
    log_level: int


def read_settings(environment: dict[str, str], link: str | None = None) -> AgentSettings:
    """Return the settings. Raises SettingsMissingError naming the first one that is missing or wrong."""

    def need(name: str) -> str:
        value = environment.get(name)
        if not value:
            raise SettingsMissingError(f"vehicle: {name} is not set")
        return value

    port = need("DOORS_CONTROL_PORT")
    if not port.isdecimal():
        raise SettingsMissingError("vehicle: DOORS_CONTROL_PORT is not a port number")
    level = logging.getLevelNamesMapping().get(environment.get("DOORS_LOG_LEVEL", "INFO").upper())
    if level is None:
        raise SettingsMissingError("vehicle: DOORS_LOG_LEVEL is not a level")
    ca = environment.get("DOORS_NATS_CA")
    return AgentSettings(
        vehicles_file=Path(need("DOORS_VEHICLES_FILE")),
        data_dir=Path(need("DOORS_VEHICLE_DATA_DIR")),
        nats_url=environment.get("DOORS_NATS_URL"),
        mqtt_url=environment.get("DOORS_MQTT_URL"),
        nats_ca=Path(ca) if ca else None,
        link=link,
        control_port=int(port),
        log_level=level,
    )


def ignored(environment: Mapping[str, str]) -> list[str]:
    """Return the DOORS_ variables that nothing here reads, by name."""
    return sorted(name for name in environment if name.startswith("DOORS_") and name not in _READ)
