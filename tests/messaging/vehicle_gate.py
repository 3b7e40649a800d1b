"""A broker with its door: nats-server that asks the enrolment room who a car is, and cars to knock at it."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats
import nats.errors

from mesh.nats_config import render_nats
from mesh.pki import Pki
from mesh.ports import Ports
from mesh.sandbox import SYSTEM_USER, Sandbox, vehicle_identity
from protocol.broker import STREAMS
from services.enrolment import translate, usecases
from services.enrolment.changes import BrokerKeyChanges
from services.enrolment.connections import BrokerConnections
from services.enrolment.domain import Enrolment, PublicKeys
from services.enrolment.nats_jwt import Issuer
from services.enrolment.public_keys import read_public_keys
from services.enrolment.usecases import Office
from services.enrolment.vehicle_link import Doorman
from services.runtime.jetstream import Broker, connect
from services.runtime.settings import RoomSettings
from tests.messaging.vehicle_cloud import until
from vehicle.link_mqtt import MqttLink
from vehicle.link_nats import NatsAccount, NatsLink
from vehicle.mqtt_connection import MqttAccount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nats.aio.client import Client

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
WAIT_SECONDS = 15


@dataclass
class InMemory:
    """usecases.Register that forgets."""

    enrolments: dict[str, Enrolment] = field(default_factory=dict)

    async def find(self, vin: str) -> Enrolment | None:
        return self.enrolments.get(vin)

    async def put(self, enrolment: Enrolment) -> None:
        self.enrolments[enrolment.vin] = enrolment

    async def revoke(self, vin: str, at: datetime) -> Enrolment | None:
        found = self.enrolments.get(vin)
        if found is None:
            return None
        self.enrolments[vin] = replace(found, revoked_at=at)
        return self.enrolments[vin]

    async def page(self, limit: int, after: str = "") -> Sequence[Enrolment]:
        return [self.enrolments[vin] for vin in sorted(self.enrolments) if vin > after][:limit]

    async def valid_keys(self, vins: Sequence[str]) -> Mapping[str, PublicKeys]:
        found = [e for e in self.enrolments.values() if e.vin in vins and e.revoked_at is None]
        return {e.vin: e.keys for e in found if e.keys is not None}


class Gate:
    """The mesh's broker configuration on free ports, with the room's parts at its doors."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.sandbox = Sandbox(folder)
        self.sandbox.prepare(datetime.now(UTC))
        self.pki = Pki(self.sandbox.pki, datetime.now(UTC))
        self.pki.ensure(vehicle_identity(OTHER))
        self.ports = ports
        self.register = InMemory()
        self._clients: list[Client] = []
        self._broker: Broker | None = None
        self._config = folder / "nats.conf"
        self._config.write_text(render_nats(ports, self.sandbox, self.pki.pair("nats")))
        self._start()

    def _start(self) -> None:
        binary = Path(sys.executable).with_name("nats-server")
        log = self._config.with_name("nats.log")
        self._process = subprocess.Popen([binary, "-c", self._config, "-l", log])

    async def lose_everything(self) -> None:
        """The broker dies, and its disk with it; an empty one starts."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.sandbox.folder / "nats" / "jetstream")
        self._start()
        await self._until_listening()

    async def _until_listening(self) -> None:
        await until(lambda: listens(self.ports.nats) and listens(self.ports.mqtt))

    def room_settings(self, room: str = "enrolment") -> RoomSettings:
        pair = self.pki.pair(room)
        return RoomSettings.model_construct(
            nats_url=self.url,
            nats_ca=self.pki.ca,
            tls_cert=pair.cert,
            tls_key=pair.key,
            nats_user=room,
            nats_password_file=self.sandbox.nats_password(room),
        )

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.ports.nats}"

    def tls(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        if name is not None:
            context.load_cert_chain(self.pki.pair(name).cert, self.pki.pair(name).key)
        return context

    async def client(self, user: str, certificate: str, inbox: str = "_INBOX") -> Client:
        password = self.sandbox.nats_password(user).read_text()
        options: dict[str, Any] = {"user": user, "password": password, "tls": self.tls(certificate)}
        one = await nats.connect(
            self.url, **options, inbox_prefix=inbox, allow_reconnect=False, error_cb=_quiet
        )
        self._clients.append(one)
        return one

    async def open(self) -> None:
        await self._until_listening()
        self._broker = broker = await connect(self.room_settings(), "room-enrolment")
        system = await self.client(SYSTEM_USER, "enrolment")
        changes = BrokerKeyChanges(broker)
        office = Office(self.register, BrokerConnections(system), changes, lambda: datetime.now(UTC))
        await broker.ensure_streams(*STREAMS.values())
        issuer = Issuer(self.sandbox.admission_seed.read_text())
        await Doorman(office, issuer, broker).stand()
        self.office = office
        self.jetstream = (await self.client("command", "command")).jetstream()
        for vin in (VIN, OTHER):
            _vin, certificate = translate.vehicle_certificate(
                self.pki.pair(vehicle_identity(vin).name).cert.read_bytes()
            )
            keys = read_public_keys(self.keys_of(vin).encode())
            fingerprint = translate.fingerprint_of(certificate)
            await self.register.put(Enrolment(vin, fingerprint, datetime.now(UTC), keys=keys))

    def certificate_of(self, vin: str) -> str:
        """PEM."""
        return self.pki.pair(vehicle_identity(vin).name).cert.read_text()

    def keys_of(self, vin: str) -> str:
        """The public keys, PEM."""
        return self.sandbox.ceremony.make_car(vin).public.read_text()

    async def enrol(self, vin: str) -> Enrolment:
        """As the operator does, with the car's own certificate and keys."""
        _vin, certificate = translate.vehicle_certificate(self.certificate_of(vin).encode())
        keys = read_public_keys(self.keys_of(vin).encode())
        return await usecases.enrol(self.office, vin, translate.fingerprint_of(certificate), keys)

    async def revoke(self, vin: str) -> int:
        """As the operator does; how many connections were cut."""
        _enrolment, cut = await usecases.revoke(self.office, vin)
        return cut

    def link(self, link: str, certificate: str | None = None, vin: str = VIN) -> NatsLink | MqttLink:
        tls = self.tls(certificate or vehicle_identity(vin).name)
        if link == "nats":
            return NatsLink(vin, NatsAccount(self.url, tls=tls))
        return MqttLink(vin, MqttAccount("127.0.0.1", self.ports.mqtt, tls=tls))

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        if self._broker is not None:
            await self._broker.client.close()
        self._process.kill()
        self._process.wait()


async def _quiet(_error: Exception) -> None:
    return


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_base() -> Ports:
    """Ports that are free now, below those the system gives to outgoing connections; at random, because others
    who look at the same moment find the same ones free.
    """
    for _ in range(50):
        ports = Ports(random.randrange(11_000, 31_000))  # noqa: S311  # not a secret
        try:
            for port in (ports.nats, ports.nats_monitor, ports.mqtt):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return ports
    raise AssertionError("no free ports")
