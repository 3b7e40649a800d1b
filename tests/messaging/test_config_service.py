"""The config service as it is wired: its own certificate towards signer and enrolment, and keys from files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ecarus.remotecontrol.access.v1.vehicle_keys_service_pb2_grpc import (
    add_VehicleKeysServiceServicer_to_server,
)
from sqlalchemy import create_engine, select

from mesh.pki import Pki
from protocol.streams import STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from protocol.subjects import EventKind, event_subject
from services.config.__main__ import ConfigSettings, main
from services.config.adapters import store
from services.platform.settings import SettingsError, load
from services.telematics.broker import connect_broker
from tests.messaging.command_harness import until
from tests.messaging.config_harness import FakeEnrolment
from tests.support.capabilities import new_signer
from tests.support.certificates import Certificates
from tests.support.ports import free_port
from tests.support.protocol_harness import CLOUD_SEAL, VIN, Car, Clock

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.pki import Pair


def pair(pki: Pki, service: str) -> Pair:
    return Certificates(pki).of(f"room/{service}")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki", datetime.now(UTC))


@pytest.fixture
def environment(nats_server: Any, tmp_path: Path, pki: Pki) -> dict[str, str]:
    jwks = new_signer(tmp_path).jwks
    seal_keys = tmp_path / "seal.pem"
    seal_keys.write_bytes(CLOUD_SEAL.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = pair(pki, "config")
    mac_key = tmp_path / "order-mac.key"
    mac_key.write_text("only in tests, and long enough for a key")
    return {
        "DOORS_LISTEN": f"127.0.0.1:{free_port()}",
        "DOORS_ORDER_MAC_KEY": str(mac_key),
        "DOORS_TLS_CERT": str(own.cert),
        "DOORS_TLS_KEY": str(own.key),
        "DOORS_TLS_CA": str(pki.ca),
        "DOORS_DATABASE_URL": f"sqlite:///{tmp_path}/config.sqlite3",
        "DOORS_NATS_URL": nats_server.url,
        "DOORS_NATS_USER": nats_server.settings().nats_user,
        "DOORS_NATS_PASSWORD_FILE": str(nats_server.settings().nats_password_file),
        "DOORS_CAPABILITY_JWKS": str(jwks),
        "DOORS_DRAIN_SECONDS": "0.2",
        "DOORS_SIGNER_TARGET": f"127.0.0.1:{free_port()}",
        "DOORS_VEHICLE_KEYS_TARGET": f"127.0.0.1:{free_port()}",
        "DOORS_CLOUD_SEAL_KEYS": str(seal_keys),
    }


@pytest.mark.parametrize("missing", ["SIGNER_TARGET", "VEHICLE_KEYS_TARGET", "CLOUD_SEAL_KEYS"])
def test_it_does_not_start_without_what_it_trusts_by(environment: dict[str, str], missing: str) -> None:
    del environment[f"DOORS_{missing}"]

    with pytest.raises(SettingsError, match=f"DOORS_{missing}"):
        load(ConfigSettings, environment)


async def test_it_believes_the_hello_of_an_enrolled_car(
    environment: dict[str, str], nats_server: Any, pki: Pki
) -> None:
    car = Car(VIN, Clock())
    enrolment = FakeEnrolment()
    enrolment.enrol(car)
    its = pair(pki, "enrolment")
    server = grpc.aio.server()
    add_VehicleKeysServiceServicer_to_server(enrolment, server)
    server.add_secure_port(
        environment["DOORS_VEHICLE_KEYS_TARGET"],
        grpc.ssl_server_credentials(
            [(its.key.read_bytes(), its.cert.read_bytes())],
            root_certificates=pki.ca.read_bytes(),
            require_client_auth=True,
        ),
    )
    await server.start()
    broker = await connect_broker(nats_server.settings(), "car")
    await broker.ensure_streams(STREAMS[VEHICLE_EVENTS], STREAMS[VEHICLE_COMMANDS])
    await broker.jetstream.publish(event_subject(VIN, EventKind.HELLO), car.hello())
    stop = asyncio.Event()

    service = asyncio.create_task(main(load(ConfigSettings, environment), stop))

    engine = create_engine(environment["DOORS_DATABASE_URL"])

    async def sessions() -> list[str]:
        if service.done():
            await service
        with engine.connect() as connection:
            return list(connection.execute(select(store.sessions.sessions.c.vin)).scalars())

    async def consuming() -> bool:
        """Its tables are there, too: it makes them first."""
        return "config-vehicle-events" in [
            info.name for info in await broker.jetstream.consumers_info(VEHICLE_EVENTS)
        ]

    await until(consuming)
    assert await until(sessions) == [VIN]
    stop.set()
    await service
    engine.dispose()
    await broker.close()
    await server.stop(None)
