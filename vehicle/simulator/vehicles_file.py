"""The cars of a configuration file (JSON, see the README), each with its link and its keys."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vehicle.clock import SystemClock
from vehicle.doors.equipment import read_equipment
from vehicle.link.addresses import read_endpoints
from vehicle.link.mqtt_connection import MqttAccount
from vehicle.link.mqtt_link import MqttLink
from vehicle.link.nats_link import NatsAccount, NatsLink
from vehicle.messages.channel import NoReportKeyError
from vehicle.messages.credentials import read_credentials
from vehicle.messages.journal import JournalDamagedError
from vehicle.messages.manifest_file import ManifestDamagedError
from vehicle.settings import LINKS, SettingsMissingError
from vehicle.simulator.simulated_car import MakeLink, SimulatedCar

if TYPE_CHECKING:
    from vehicle.link.port import VehicleLink
    from vehicle.settings import AgentSettings

_CAR_KEYS = {
    "vin", "awake", "doorTimeSeconds", "link", "certFile", "keyFile", "natsUser", "natsPasswordFile",
    "keysFile", "rootKeyFile", "manifestFile", "equipment",
}  # fmt: skip
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


def read_cars(settings: AgentSettings) -> dict[str, SimulatedCar]:
    """Return the cars of the configuration file, by VIN; not started. Raises SettingsMissingError."""
    try:
        entries: list[dict[str, Any]] = json.loads(settings.vehicles_file.read_text())
        return {entry["vin"]: _car(entry, settings) for entry in entries}
    except OSError as error:
        where = error.filename or settings.vehicles_file
        raise SettingsMissingError(
            f"vehicle: DOORS_VEHICLES_FILE: {where}: {error.strerror or error}"
        ) from error
    except KeyError as error:
        raise SettingsMissingError(f"vehicle: DOORS_VEHICLES_FILE: a car has no {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise SettingsMissingError(f"vehicle: DOORS_VEHICLES_FILE: {error}") from error


def _car(entry: dict[str, Any], settings: AgentSettings) -> SimulatedCar:
    unknown = entry.keys() - _CAR_KEYS
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    password_file = entry.get("natsPasswordFile")
    password = Path(password_file).read_text().strip() if password_file else None
    tls = ssl.create_default_context(cafile=str(settings.nats_ca)) if settings.nats_ca else None
    if tls is not None and "certFile" in entry:
        tls.load_cert_chain(entry["certFile"], entry["keyFile"])
    login = (entry.get("natsUser"), password, tls)
    credentials = read_credentials(
        Path(entry["keysFile"]), Path(entry["rootKeyFile"]), Path(entry["manifestFile"])
    )
    try:
        return SimulatedCar(
            entry["vin"],
            settings.data_dir / entry["vin"],
            _link_maker(entry["vin"], settings.link or entry.get("link", LINKS[0]), settings, login),
            credentials,
            SystemClock(),
            awake=entry["awake"],
            door_time_seconds=float(entry["doorTimeSeconds"]),
            equipment=read_equipment(entry.get("equipment", {})),
        )
    except (JournalDamagedError, ManifestDamagedError, NoReportKeyError) as error:
        raise SettingsMissingError(
            f"vehicle: the car ...{entry['vin'][-6:]} cannot start: {error}"
        ) from error


def _link_maker(
    vin: str, link: str, settings: AgentSettings, login: tuple[str | None, str | None, ssl.SSLContext | None]
) -> MakeLink:
    if link not in LINKS:
        raise ValueError(f"link {link!r} is none of {', '.join(LINKS)}")
    name = f"DOORS_{link.upper()}_URL"
    url = settings.nats_url if link == "nats" else settings.mqtt_url
    if not url:
        raise SettingsMissingError(f"vehicle: {name} is not set")

    if link == "nats":
        try:
            nats_account = NatsAccount(url, *login)
        except ValueError as error:
            raise SettingsMissingError(f"vehicle: {name} {error}") from error

        def over_nats() -> VehicleLink:
            return NatsLink(vin, nats_account)

        return over_nats

    mqtt_account = _mqtt_account(name, url, login)

    def over_mqtt() -> VehicleLink:
        return MqttLink(vin, mqtt_account)

    return over_mqtt


def _mqtt_account(
    name: str, url: str, login: tuple[str | None, str | None, ssl.SSLContext | None]
) -> MqttAccount:
    user, password, tls = login
    try:
        scheme, (first, *others) = read_endpoints(url, _MQTT_PORTS)
    except ValueError as error:
        raise SettingsMissingError(f"vehicle: {name} {error}") from error
    if scheme == "mqtts" and tls is None:
        raise SettingsMissingError(f"vehicle: {name} is mqtts://, which needs DOORS_NATS_CA")
    nodes = tuple((each.host, each.port) for each in others)
    used = tls if scheme == "mqtts" else None
    return MqttAccount(first.host, first.port, user, password, used, nodes)
