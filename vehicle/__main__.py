"""The simulator: runs the cars of a configuration file until SIGTERM. Wiring only.

`python -m vehicle keys` makes a car's keys instead.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from key_files.pem import KeyFileError
from vehicle import logs
from vehicle.messages.credentials import make_car_keys
from vehicle.settings import LINKS, SettingsMissingError, ignored, read_settings
from vehicle.simulator.control import control_app
from vehicle.simulator.vehicles_file import read_cars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vehicle.settings import AgentSettings
    from vehicle.simulator.simulated_car import SimulatedCar


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the simulator drains its cars first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def run(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. Prints one JSON line when every car that is awake has reported."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        listener = socket.create_server(("127.0.0.1", settings.control_port))
    except OSError as error:
        raise SettingsMissingError(
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
    except (KeyFileError, OSError) as error:
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
