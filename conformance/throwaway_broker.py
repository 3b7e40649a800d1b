"""A broker for one run: nats-server with JetStream and an MQTT listener, as the product's vehicles meet it.

Vehicles of the product show a certificate; here a password stands for it, and the permissions are the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import STATUS_MAPPING

if TYPE_CHECKING:
    from typing import TextIO

CLOUD = "cloud"
UNIT = "unit"
LOOPBACK = "127.0.0.1"
MAX_PAYLOAD_BYTES = 131_072
_ACK_WAIT_SECONDS = 10
_START_SECONDS = 15
_ASK_AGAIN_SECONDS = 0.02
_PORTS = range(20_000, 32_000)
_TRIES = 50


class BrokerError(Exception):
    """There is no broker; the text says why."""


class ThrowawayBroker:
    """Its files and passwords are in `folder`. It listens on `host`; port 0 takes a free one, and the same the next
    time, so that a unit that was provisioned finds it again.
    """

    def __init__(
        self, folder: Path, vin: str, host: str = LOOPBACK, port: int = 0, mqtt_port: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.host = host
        self.port = port or _kept_port(folder / "nats.port", host)
        self.mqtt_port = mqtt_port or _kept_port(folder / "mqtt.port", host)
        self.password_file = folder / "cloud.password"
        self.unit_password_file = folder / "unit.password"
        for path in (self.password_file, self.unit_password_file):
            if not path.exists():
                path.touch(0o600)
                path.write_text(secrets.token_urlsafe(24), encoding="ascii")
        self._config = folder / "nats.conf"
        self._log = folder / "nats.log"
        self._store = folder / "jetstream"
        self._config.touch(0o600)
        self._config.write_text(self._text(vin, self._store), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For NATS."""
        return f"nats://{self.host}:{self.port}"

    @property
    def mqtt_url(self) -> str:
        """For MQTT."""
        return f"mqtt://{self.host}:{self.mqtt_port}"

    def clear(self) -> None:
        """Before `start`: all that an earlier run left in its streams and sessions."""
        if self._store.exists():
            shutil.rmtree(self._store)

    async def start(self) -> None:
        """Return when it listens. Raises BrokerError."""
        binary = Path(sys.executable).with_name("nats-server")
        with self._log.open("a", encoding="utf-8") as log:
            self._process = process = _spawn(binary, self._config, log)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not (
                    await _listens(self.host, self.port) and await _listens(self.host, self.mqtt_port)
                ):
                    if process.poll() is not None:
                        raise BrokerError(f"nats-server ended; see {self._log}")
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
        except TimeoutError as error:
            self.kill()
            raise BrokerError(f"nats-server does not listen; see {self._log}") from error

    def kill(self) -> None:
        """As a crash: no goodbye. What it stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _text(self, vin: str, store: Path) -> str:
        source, destination = STATUS_MAPPING
        publish = [f"vehicle.{vin}.evt.>", f"vehicle_status.*.{vin}"]
        over_nats = {
            "publish": [
                *publish,
                f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{vin}",
                f"$JS.ACK.{VEHICLE_COMMANDS}.{vin}.>",
            ],
            "subscribe": [f"_INBOX.{vin}.>"],
        }
        over_mqtt = {
            "publish": [*publish, f"vehicle.{vin}.presence"],
            "subscribe": [f"vehicle.{vin}.cmd.*", "$MQTT.sub.>"],
        }
        password = self.unit_password_file.read_text(encoding="ascii")
        users: list[dict[str, object]] = [
            {"user": CLOUD, "password": self.password_file.read_text(encoding="ascii")},
            {"user": UNIT, "password": password, "permissions": over_nats},
            {
                "user": f"{UNIT}-mqtt",
                "password": password,
                "allowed_connection_types": ["MQTT"],
                "permissions": over_mqtt,
            },
        ]
        mqtt = {
            "listen": f"{self.host}:{self.mqtt_port}",
            "ack_wait": f"{_ACK_WAIT_SECONDS}s",
            "max_ack_pending": 16,
        }
        return f"""server_name: conformance
listen: {json.dumps(f"{self.host}:{self.port}")}
max_payload: {MAX_PAYLOAD_BYTES}
jetstream {{ store_dir: {json.dumps(str(store.resolve()))}, sync_interval: always }}
mqtt {json.dumps(mqtt)}
mappings {{ {json.dumps(source)}: {json.dumps(destination)} }}
authorization {{ users: {json.dumps(users)} }}
"""


def _spawn(binary: Path, config: Path, log: TextIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen([binary, "-c", config], stdout=log, stderr=log)  # noqa: S603  # our own binary


def _free_port(host: str) -> int:
    """Return one that no outgoing connection is given: a broker that was killed must find its port free again."""
    for port in random.sample(_PORTS, _TRIES):
        with contextlib.suppress(OSError), socket.create_server((host, port)):
            return port
    raise BrokerError(f"no port between {_PORTS.start} and {_PORTS.stop} is free on {host}")


def _kept_port(file: Path, host: str) -> int:
    try:
        kept = int(file.read_text(encoding="ascii"))
        socket.create_server((host, kept)).close()
    except (OSError, ValueError):  # none was kept, or somebody else has it
        kept = _free_port(host)
        file.write_text(str(kept), encoding="ascii")
    return kept


async def _listens(host: str, port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
