"""A broker with its walls: nats-server that asks the enrolment service who a car is, and cars and services at it.

An observer looks into each account that holds streams: nobody in the product does.
"""

from __future__ import annotations

import json
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

from mesh.broker_accounts import STORE_API, STORES, store_of
from mesh.nats_config import render_nats
from mesh.pki import CertificateIdentity, Pki
from mesh.ports import Ports
from mesh.sandbox import Sandbox, broker_user, vehicle_identity
from protocol.consumers import CONSUMERS
from protocol.streams import STREAMS
from services.enrolment import usecases
from services.enrolment.adapters import translate
from services.enrolment.adapters.changes import BrokerKeyChanges
from services.enrolment.adapters.connection_bound import ConnectionBound
from services.enrolment.adapters.connections import BrokerConnections
from services.enrolment.adapters.nats_jwt import Issuer
from services.enrolment.adapters.public_keys import read_public_keys
from services.enrolment.adapters.reply_guard import ReplyGuard
from services.enrolment.adapters.takeovers import NewestConnection
from services.enrolment.adapters.traffic import BrokerTraffic
from services.enrolment.adapters.vehicle_link import AuthCalloutResponder
from services.enrolment.domain import Enrolment, PublicKeys
from services.enrolment.usecases import EnrolmentDependencies
from services.platform.settings import ServiceSettings
from services.telematics.broker import connect_broker
from tests.messaging.vehicle_cloud import until
from tests.support.ports import free_port_base
from vehicle.link.mqtt_connection import MqttAccount
from vehicle.link.mqtt_link import MqttLink
from vehicle.link.nats_link import NatsAccount, NatsLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from services.platform.jetstream import Broker

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
WAIT_SECONDS = 60
OBSERVER_PASSWORD = "only-in-tests"


@dataclass
class InMemory:
    """usecases.EnrolmentRecord that forgets."""

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


class BrokerHarness:
    """The mesh's broker configuration on free ports, with the service's parts at its doors."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.sandbox = Sandbox(folder)
        self.sandbox.prepare(datetime.now(UTC))
        self.pki = Pki(self.sandbox.pki, datetime.now(UTC))
        self.vehicle_pki = self.sandbox.vehicle_pki(datetime.now(UTC))
        for vin in (VIN, OTHER):
            self.vehicle_pki.ensure(vehicle_identity(vin))
        self.ports = ports
        self.register = InMemory()
        self._clients: list[Client] = []
        self._observers: dict[str, Client] = {}
        self._broker: Broker | None = None
        self._guard: ReplyGuard | None = None
        self._config = folder / "nats.conf"
        self._config.write_text(self._observed(render_nats(ports, self.sandbox, self.pki.pair("nats"))))
        self.log = folder / "nats.log"
        self._start()

    def _observed(self, text: str) -> str:
        """The configuration with an observer in each account that holds streams."""
        for store in STORES:
            identity = _observer(store)
            self.pki.ensure(identity)
            user = json.dumps({"user": identity.dns[0], "password": OBSERVER_PASSWORD})
            begin = f"  {store} {{\n    jetstream: enabled"
            assert text.count(begin) == 1
            text = text.replace(begin, f"{begin}\n    users: [ {user} ]")
            text = text.replace('"auth_users": [', f'"auth_users": [{json.dumps(identity.dns[0])}, ')
        return text

    def _start(self) -> None:
        binary = Path(sys.executable).with_name("nats-server")
        self._process = subprocess.Popen([binary, "-c", self._config, "-l", self.log])

    async def lose_everything(self) -> None:
        """The broker dies, and its disk with it; an empty one starts."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.sandbox.folder / "nats" / "jetstream")
        self._start()
        await self._until_listening()

    async def _until_listening(self) -> None:
        await until(lambda: listens(self.ports.nats) and listens(self.ports.mqtt))

    def room_settings(self, service: str = "enrolment") -> ServiceSettings:
        pair = self.pki.pair(service)
        return ServiceSettings.model_construct(
            nats_url=self.url,
            nats_ca=self.pki.ca,
            tls_cert=pair.cert,
            tls_key=pair.key,
            nats_user=broker_user(service),
            nats_password_file=self.sandbox.nats_password(service),
            health_patience_seconds=0.0,
            broker_patience_seconds=0.0,
            nats_api_prefix=STORE_API,
            nats_provision="self" if service == "enrolment" else "await",
        )

    @property
    def broker(self) -> Broker | None:
        """The enrolment service's connection, which makes what there is."""
        return self._broker

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.ports.nats}"

    def tls(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        if name is not None:
            context.load_cert_chain(self.pki.pair(name).cert, self.pki.pair(name).key)
        return context

    async def client(self, user: str, certificate: str, **options: Any) -> Client:
        """A service. `options` are nats-py's."""
        password = self.sandbox.nats_password(user).read_text()
        return await self._connect(
            broker_user(user), password, certificate, **{"inbox_prefix": f"_INBOX.{user}", **options}
        )

    async def observe(self, stream: str) -> JetStreamContext:
        """Somebody who may do everything in the account of this stream."""
        return (await self.observer(store_of(stream))).jetstream()

    async def observer(self, account: str) -> Client:
        """Somebody who may do everything in this account."""
        found = self._observers.get(account)
        if found is None or found.is_closed:
            name = _observer(account)
            found = await self._connect(name.dns[0], OBSERVER_PASSWORD, name.name)
            self._observers[account] = found
        return found

    async def _connect(self, user: str, password: str, certificate: str, **options: Any) -> Client:
        tls = self.tls(certificate)
        kept = {"allow_reconnect": False, "error_cb": _quiet, **options}
        one = await nats.connect(self.url, user=user, password=password, tls=tls, **kept)
        self._clients.append(one)
        return one

    async def open(self, *, guarded: bool = True, newest_only: bool = False) -> None:
        """`guarded`: with the guard over reply subjects; without it the walls have to hold alone. `newest_only`: a
        car's connection ends the one before, as in the product; without it tests see with several what one would.
        """
        await self._until_listening()
        self._broker = broker = await connect_broker(
            self.room_settings(), "service-enrolment", store_prefix=self.sandbox.store_prefix.read_text()
        )
        changes = BrokerKeyChanges(broker)
        deps = EnrolmentDependencies(
            self.register, BrokerConnections(broker.client), changes, lambda: datetime.now(UTC)
        )
        await broker.ensure_streams(*STREAMS.values())
        for consumer in CONSUMERS.values():
            await broker.ensure_consumer(consumer)
        issuer = Issuer(self.sandbox.admission_seed.read_text())
        vehicle_cas = translate.read_cas(self.vehicle_pki.ca.read_bytes())
        newest = NewestConnection(broker.client, lambda: datetime.now(UTC)) if newest_only else None
        if newest is not None:
            await newest.start()
        bound = ConnectionBound(deps.connections)
        await AuthCalloutResponder(deps, issuer, broker, vehicle_cas, bound, newest).start()
        self.deps = deps
        self._guard = ReplyGuard(deps, self.room_settings(), BrokerTraffic(broker.client))
        if guarded:
            await self.guard()
        self.jetstream = (await self.client("command", "command")).jetstream(prefix=STORE_API)
        for vin in (VIN, OTHER):
            _vin, certificate = translate.vehicle_certificate(
                self.pki.pair(vehicle_identity(vin).name).cert.read_bytes()
            )
            keys = read_public_keys(self.keys_of(vin).encode())
            fingerprint = translate.fingerprint_of(certificate)
            await self.register.put(Enrolment(vin, fingerprint, datetime.now(UTC), keys=keys))

    async def guard(self) -> None:
        """Watch over reply subjects from now on."""
        assert self._guard is not None
        await self._guard.start()

    def rights_of(self, service: str) -> dict[str, Any]:
        """What the broker's configuration says of a service: subjects to publish, and to subscribe."""
        for line in self._config.read_text().splitlines():
            if f'"user": "{broker_user(service)}"' in line:
                found: dict[str, Any] = json.loads(line)["permissions"]
                return found
        raise AssertionError(f"no user for {service}")

    def subscribes(self, service: str) -> list[str]:
        """What a service may subscribe to."""
        found: list[str] = self.rights_of(service)["subscribe"]["allow"]
        return found

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
        return await usecases.enrol(self.deps, vin, translate.fingerprint_of(certificate), keys)

    async def revoke(self, vin: str) -> int:
        """As the operator does; how many connections were cut."""
        _enrolment, cut = await usecases.revoke(self.deps, vin)
        return cut

    def link(self, link: str, certificate: str | None = None, vin: str = VIN) -> NatsLink | MqttLink:
        tls = self.tls(certificate or vehicle_identity(vin).name)
        if link == "nats":
            return NatsLink(vin, NatsAccount(self.url, tls=tls))
        return MqttLink(vin, MqttAccount("127.0.0.1", self.ports.mqtt, tls=tls))

    async def close(self) -> None:
        if self._guard is not None:
            await self._guard.close()
        for client in self._clients:
            await client.close()
        if self._broker is not None:
            await self._broker.client.close()
        self._process.kill()
        self._process.wait()


def _observer(account: str) -> CertificateIdentity:
    return CertificateIdentity(f"observer-{account}", dns=(f"{account.lower()}.observer",), server=False)


async def _quiet(_error: Exception) -> None:
    return


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_base() -> Ports:
    """Ports that are free now."""
    return Ports(free_port_base())
