"""A thief with the command service's login at the broker, all that is public, and its database: no door moves."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import nats
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from ecarus.remotecontrol.vehicle.v1 import command_pb2, session_pb2

from mesh.broker_accounts import STORE_API
from mesh.sandbox import broker_user
from protocol import cose, session_record
from protocol.domains import ContentType, Domain, subject_of
from protocol.keys import KeySigner, SealKey, key_id
from protocol.seal import Direction, seal
from protocol.stream_config import command_queue
from protocol.streams import VEHICLE_COMMANDS
from protocol.subjects import CommandKind, command_subject
from services.telematics.manifest_files import read_manifests
from tests.support.app import SAMPLE, SECOND, App, Car, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.client import Client

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


@pytest_asyncio.fixture
async def thief(mesh: Mesh) -> AsyncIterator[Client]:
    tls = ssl.create_default_context(cafile=str(mesh.ca))
    tls.load_cert_chain(mesh.data / "pki" / "command.crt", mesh.data / "pki" / "command.key")
    client = await nats.connect(
        f"tls://127.0.0.1:{mesh.ports.nats}",
        user=broker_user("command"),
        password=(mesh.data / "secrets" / "nats-command.password").read_text().strip(),
        tls=tls,
        inbox_prefix="_INBOX.command",
    )
    yield client
    await client.close()


@pytest.fixture(params=[SAMPLE, SECOND], ids=["nats", "mqtt"])
def victim(mesh: Mesh, request: pytest.FixtureRequest) -> Car:
    car = Car(mesh, request.param)
    car.meet()
    car.do("door-time", seconds=0)
    return car


def finish(app: App, action: str) -> str:
    """The id of a command that was carried out."""
    accepted = eventually(lambda: (a := app.order(action)).status_code == 202 and a, 45)
    command_id: str = accepted.json()["commandId"]
    assert app.end_of(command_id)["status"] == "SUCCESS"
    return command_id


async def publish(thief: Client, vin: str, data: bytes) -> None:
    headers = {"Nats-Msg-Id": uuid.uuid4().hex, "Nmqtt-Pub": "1"}
    await thief.jetstream().publish(command_subject(vin, CommandKind.DOOR), data, headers=headers)


def session_of(mesh: Mesh, vin: str) -> Any:
    """What the command service knows of the car's session: its database is the thief's, too."""
    with closing(sqlite3.connect(mesh.data / "data" / "command.db")) as connection:
        [[record]] = connection.execute("SELECT record FROM vehicle_session WHERE vin = ?", (vin,)).fetchall()
    return session_record.load(record)


def forged(mesh: Mesh, vin: str) -> list[bytes]:
    """Right in everything but the signature: unsigned, by an own key, and by an own key under the signer's name."""
    session = session_of(mesh, vin)
    counter = session.current.issued.get(Domain.COMMAND, 0) + 1
    order = session_pb2.SignedOrder(
        vin=vin,
        epoch=session.epoch,
        counter=counter,
        expires_at_millis=session.clock_lead_millis + _now_millis() + 20_000,
        manifest_version=1,
        role=session_pb2.ROLE_OWNER,
        door=command_pb2.DoorCommand(
            command_id="cmd-forged",
            action=command_pb2.DOOR_ACTION_UNLOCK,
            mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
            all_doors=True,
        ),
    )
    payload, subject = order.SerializeToString(), subject_of(vin, Domain.COMMAND)
    own = KeySigner(Ed25519PrivateKey.generate())
    [signer_key] = read_manifests(mesh.data / "public" / "manifests")[-1].signers
    named = _Named(own, signer_key)
    envelopes = [cose.sign(by, ContentType.COMMAND, subject, payload) for by in (own, named)]
    key = SealKey.of(_seal_key(mesh.data / "public" / "vehicles" / f"{vin}.pem"))
    return [
        payload,
        *envelopes,
        *(seal(each, key, Direction.TO_VEHICLE, vin) for each in (payload, *envelopes)),
    ]


class _Named:
    """Signs with one key and names another."""

    def __init__(self, own: KeySigner, other: bytes) -> None:
        self._own = own
        self.key_id = key_id(other)

    def sign(self, data: bytes) -> bytes:
        return self._own.sign(data)


def _seal_key(path: Path) -> bytes:
    blocks = path.read_text().split("-----END PUBLIC KEY-----\n")
    keys = [load_pem_public_key(f"{b}-----END PUBLIC KEY-----\n".encode()) for b in blocks if b.strip()]
    [key] = [key for key in keys if isinstance(key, X25519PublicKey)]
    return key.public_bytes_raw()


def _now_millis() -> int:
    return time.time_ns() // 1_000_000


async def test_what_is_not_signed_by_the_signer_moves_nothing(mesh: Mesh, thief: Client, victim: Car) -> None:
    app = App(mesh, victim.vin)
    finish(app, "lock")
    before = victim.actuations()
    for data in forged(mesh, victim.vin):
        await publish(thief, victim.vin, data)
    # What lay before it in the car's queue was dealt with before this is.
    own = finish(app, "lock")
    assert [line for line in victim.actuations() if line["command_id"] != own] == before


async def overheard(thief: Client, vin: str, subject: str) -> bytes:
    """What waits for the car, as the command service can see it: by a consumer, for it may read no stream."""
    inbox = thief.new_inbox()
    arrived = await thief.subscribe(inbox)
    pull = f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{vin}"
    jetstream = thief.jetstream(prefix=STORE_API)
    await jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(vin))
    async with asyncio.timeout(15):
        while True:
            await thief.publish(pull, b'{"batch": 1, "expires": 5000000000}', reply=inbox)
            message = await arrived.next_msg(10)
            if message.subject == subject:
                await message.nak()
                await arrived.unsubscribe()
                return message.data


async def test_what_was_signed_once_moves_a_door_once(mesh: Mesh, thief: Client, victim: Car) -> None:
    app = App(mesh, victim.vin)
    other = Car(mesh, SECOND if victim.vin == SAMPLE else SAMPLE)
    other.meet()
    finish(App(mesh, other.vin), "lock")
    finish(app, "lock")
    victim.do("leave-coverage")
    command_id = app.order("unlock").json()["commandId"]
    eventually(lambda: "SENT" in {stage["name"] for stage in app.command(command_id)["stages"]})
    subject = command_subject(victim.vin, CommandKind.DOOR)
    captured = await overheard(thief, victim.vin, subject)
    assert captured
    victim.do("enter-coverage")
    assert app.end_of(command_id)["status"] == "SUCCESS"
    finish(app, "lock")
    before, others = victim.actuations(), other.actuations()

    for _ in range(3):
        await publish(thief, victim.vin, captured)
    await publish(thief, other.vin, captured)
    victim.do("reboot")
    await publish(thief, victim.vin, captured)

    own, theirs = finish(app, "lock"), finish(App(mesh, other.vin), "lock")
    assert [line for line in victim.actuations() if line["command_id"] != own] == before
    assert [line for line in other.actuations() if line["command_id"] != theirs] == others
    assert app.get("status").json()["doors"]["driver"]["locked"] is True
