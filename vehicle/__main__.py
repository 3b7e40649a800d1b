"""The simulator: runs the cars of a configuration file until SIGTERM. Wiring only.

Reads DOORS_VEHICLES_FILE, DOORS_VEHICLE_DATA_DIR, DOORS_NATS_URL, DOORS_NATS_CA (optional),
DOORS_CONTROL_PORT and DOORS_LOG_LEVEL (optional, default INFO).
"""

from __future__ import annotations

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

import structlog
import uvicorn
import uvloop

from vehicle.clock import SystemClock
from vehicle.control import control_app
from vehicle.link_nats import NatsAccount, NatsLink
from vehicle.simulator import MakeLink, SimulatedCar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vehicle.link import VehicleLink

_CAR_KEYS = {"vin", "awake", "doorTimeSeconds", "natsUser", "natsPasswordFile"}


class SettingsMissing(SystemExit):
    """A setting is missing or wrong: one line to standard error, and out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says."""

    vehicles_file: Path
    data_dir: Path
    nats_url: str
    nats_ca: Path | None
    control_port: int
    log_level: int


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the simulator drains its cars first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


def read_settings(environment: dict[str, str]) -> Settings:
    """The settings. Raises SettingsMissing naming the first one that is missing or wrong."""

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
    return Settings(
        vehicles_file=Path(need("DOORS_VEHICLES_FILE")),
        data_dir=Path(need("DOORS_VEHICLE_DATA_DIR")),
        nats_url=need("DOORS_NATS_URL"),
        nats_ca=Path(ca) if ca else None,
        control_port=int(port),
        log_level=level,
    )


def read_cars(settings: Settings) -> dict[str, SimulatedCar]:
    """The cars of the configuration file, by VIN; not started. Raises SettingsMissing."""
    try:
        entries: list[dict[str, Any]] = json.loads(settings.vehicles_file.read_text())
        tls = ssl.create_default_context(cafile=str(settings.nats_ca)) if settings.nats_ca else None
        return {entry["vin"]: _car(entry, settings, tls) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsMissing(f"vehicle: DOORS_VEHICLES_FILE: {error!r}") from error


def _car(entry: dict[str, Any], settings: Settings, tls: ssl.SSLContext | None) -> SimulatedCar:
    unknown = entry.keys() - _CAR_KEYS
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    password_file = entry.get("natsPasswordFile")
    password = Path(password_file).read_text().strip() if password_file else None
    account = NatsAccount(settings.nats_url, entry.get("natsUser"), password, tls)
    return SimulatedCar(
        entry["vin"],
        settings.data_dir / entry["vin"],
        _link_maker(entry["vin"], account),
        SystemClock(),
        awake=entry["awake"],
        door_time_seconds=float(entry["doorTimeSeconds"]),
    )


def _link_maker(vin: str, account: NatsAccount) -> MakeLink:
    def make() -> VehicleLink:
        return NatsLink(vin, account)

    return make


async def run(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT. Prints one JSON line when every car that is awake has reported."""
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
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The command `python -m vehicle`."""
    settings = read_settings(dict(os.environ))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        # Standard output carries the ready line only.
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
