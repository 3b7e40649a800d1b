"""The simulator: runs the cars of a configuration file until SIGTERM. Wiring only.

`python -m vehicle keys` makes a car's keys instead.

Reads DOORS_VEHICLES_FILE, DOORS_VEHICLE_DATA_DIR, DOORS_NATS_URL or DOORS_MQTT_URL (what the cars use),
both one address or several with commas between; DOORS_NATS_CA (optional), DOORS_CONTROL_PORT and DOORS_LOG_LEVEL
(optional, default INFO).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop

from key_files.pem import KeyFileRefused
from vehicle import logs
from vehicle.addresses import read_endpoints
from vehicle.channel import NoReportKey
from vehicle.clock import SystemClock
from vehicle.control import control_app
from vehicle.credentials import make_car_keys, read_credentials
from vehicle.equipment import read_equipment
from vehicle.journal import JournalDamaged
from vehicle.link_mqtt import MqttLink
from vehicle.link_nats import NatsAccount, NatsLink
from vehicle.manifest_file import ManifestDamaged
from vehicle.mqtt_connection import MqttAccount
from vehicle.simulator import MakeLink, SimulatedCar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vehicle.link import VehicleLink

_CAR_KEYS = {
    "vin", "awake", "doorTimeSeconds", "link", "certFile", "keyFile", "natsUser", "natsPasswordFile",
    "keysFile", "rootKeyFile", "manifestFile", "equipment",
}  # fmt: skip
LINKS = ("nats", "mqtt")
_READ = {
    "DOORS_VEHICLES_FILE", "DOORS_VEHICLE_DATA_DIR", "DOORS_NATS_URL", "DOORS_MQTT_URL", "DOORS_NATS_CA",
    "DOORS_CONTROL_PORT", "DOORS_LOG_LEVEL",
}  # fmt: skip
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class SettingsMissing(SystemExit):
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


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the simulator drains its cars first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def read_settings(environment: dict[str, str], link: str | None = None) -> AgentSettings:
    """Return the settings. Raises SettingsMissing naming the first one that is missing or wrong."""

    def need(name: str) -> str:
        value = environment.get(name)
        if not value:
            raise SettingsMissing(f"vehicle: {name} is not set")
        return value

    port = need("DOORS_CONTROL_PORT")
    if not port.isdecimal():
        raise SettingsMissing("vehicle: DOORS_CONTROL_PORT is not a port number")
    level = logging.getLevelNamesMapping().get(environment.get("DOORS_LOG_LEVEL", "INFO").upper())
    if level is None:
        raise SettingsMissing("vehicle: DOORS_LOG_LEVEL is not a level")
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


def read_cars(settings: AgentSettings) -> dict[str, SimulatedCar]:
    """Return the cars of the configuration file, by VIN; not started. Raises SettingsMissing."""
    try:
        entries: list[dict[str, Any]] = json.loads(settings.vehicles_file.read_text())
        return {entry["vin"]: _car(entry, settings) for entry in entries}
    except OSError as error:
        where = error.filename or settings.vehicles_file
        raise SettingsMissing(f"vehicle: DOORS_VEHICLES_FILE: {where}: {error.strerror or error}") from error
    except KeyError as error:
        raise SettingsMissing(f"vehicle: DOORS_VEHICLES_FILE: a car has no {error.args[0]}") from error
    except (ValueError, TypeError) as error:
        raise SettingsMissing(f"vehicle: DOORS_VEHICLES_FILE: {error}") from error


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
    except (JournalDamaged, ManifestDamaged, NoReportKey) as error:
        raise SettingsMissing(f"vehicle: the car ...{entry['vin'][-6:]} cannot start: {error}") from error


def _link_maker(
    vin: str, link: str, settings: AgentSettings, login: tuple[str | None, str | None, ssl.SSLContext | None]
) -> MakeLink:
    if link not in LINKS:
        raise ValueError(f"link {link!r} is none of {', '.join(LINKS)}")
    name = f"DOORS_{link.upper()}_URL"
    url = settings.nats_url if link == "nats" else settings.mqtt_url
    if not url:
        raise SettingsMissing(f"vehicle: {name} is not set")

    if link == "nats":
        try:
            nats_account = NatsAccount(url, *login)
        except ValueError as error:
            raise SettingsMissing(f"vehicle: {name} {error}") from error

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
        raise SettingsMissing(f"vehicle: {name} {error}") from error
    if scheme == "mqtts" and tls is None:
        raise SettingsMissing(f"vehicle: {name} is mqtts://, which needs DOORS_NATS_CA")
    nodes = tuple((each.host, each.port) for each in others)
    used = tls if scheme == "mqtts" else None
    return MqttAccount(first.host, first.port, user, password, used, nodes)


async def run(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. Prints one JSON line when every car that is awake has reported."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        listener = socket.create_server(("127.0.0.1", settings.control_port))
    except OSError as error:
        raise SettingsMissing(
            f"vehicle: DOORS_CONTROL_PORT {settings.control_port}: {error.strerror}"
        ) from error
    cars = read_cars(settings)
    config = uvicorn.Config(control_app(cars), log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    for one in cars.values():
        one.start()
    announcing = asyncio.create_task(_announce(cars, listener.getsockname()[1]))
    await stopping.wait()
    announcing.cancel()
    server.should_exit = True
    await asyncio.gather(*(one.stop() for one in cars.values()))
    await serving


async def _announce(cars: dict[str, SimulatedCar], port: int) -> None:
    awake = [one for one in cars.values() if not one.agent.is_asleep]
    await asyncio.gather(*(one.agent.reported.wait() for one in awake))
    line = {
        "event": "ready",
        "cars": len(cars),
        "connected": len(awake),
        "control": f"http://127.0.0.1:{port}",
    }
    logs.AgentLogStream(sys.stdout.fileno()).write(json.dumps(line) + "\n")


def make_keys(out: Path, public: Path) -> None:
    """Make a car's keys; one line to standard error, and out, when that cannot be."""
    try:
        make_car_keys(out, public)
    except (KeyFileRefused, OSError) as error:
        raise SystemExit(f"vehicle: {error}") from error


def main() -> None:
    """Run the command `python -m vehicle`."""
    parser = argparse.ArgumentParser(prog="python -m vehicle", description="Runs simulated cars.")
    parser.add_argument("--link", choices=LINKS, help="for every car, whatever the file says of it")
    keys = parser.add_subparsers(dest="command").add_parser("keys", help="make a car's keys, and run nothing")
    keys.add_argument("--out", type=Path, required=True, help="where the private halves go")
    keys.add_argument("--public", type=Path, required=True, help="where the public halves go, to be enrolled")
    words = parser.parse_args()
    if words.command == "keys":
        make_keys(words.out, words.public)
        return
    for name in ignored(os.environ):
        sys.stderr.write(f"vehicle: {name} is not read here\n")
    settings = read_settings(dict(os.environ), words.link)
    # Standard output carries the ready line only.
    logs.configure(settings.log_level, logs.AgentLogStream(sys.stderr.fileno()))
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
