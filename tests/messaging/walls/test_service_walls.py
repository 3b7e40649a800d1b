"""What somebody with a service's rights, or beside it, does not reach."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats
import pytest
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from mesh.broker_accounts import STORE_API
from mesh.pki import VEHICLE_CA, CertificateIdentity, Pki
from mesh.sandbox import IDENTITIES, MONITOR, broker_user, vehicle_identity
from protocol.streams import (
    DOOR_UPDATES,
    MQTT_MESSAGES,
    ROOM_EVENTS,
    VEHICLE_COMMANDS,
    VEHICLE_EVENTS,
)
from protocol.subjects import (
    CommandKind,
    command_subject,
    is_vin,
    kept_update_subject,
    origin_of_update,
    update_subject,
)
from services import registry
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness
from tests.messaging.test_hostile_car import HARMFUL, NOTHING_WAITS
from tests.messaging.witness import Witness

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


def reached(witness: Witness, service: str) -> list[tuple[str, str]]:
    """What other services heard under a harmful subject. In its own account a service may say what it likes."""
    return [(who, subject) for who, subject in witness.received if subject in HARMFUL and who != service]


@pytest.mark.parametrize("service", [*registry.ON_THE_BROKER, MONITOR])
async def test_a_password_opens_nothing_with_another_certificate_and_a_certificate_nothing_without_it(
    harness: BrokerHarness, service: str
) -> None:
    password = harness.sandbox.nats_password(service).read_text()
    others = [one.name for one in IDENTITIES if one.name != service and one.client]
    attempts = [(password, certificate) for certificate in others]
    attempts += [
        (harness.sandbox.nats_password(name).read_text(), service)
        for name in registry.ON_THE_BROKER
        if name != service
    ]
    attempts += [("", service), (password, None)]
    for said, certificate in attempts:
        assert not await lets_in(harness, harness.tls(certificate), broker_user(service), said), certificate
    assert await lets_in(harness, harness.tls(service), broker_user(service), password)


@pytest.mark.parametrize("service", [*registry.ON_THE_BROKER, MONITOR])
async def test_with_a_car_s_certificate_one_is_that_car_and_no_service(
    harness: BrokerHarness, service: str
) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refused.put_nowait(str(error))

    client = await nats.connect(
        harness.url,
        user=broker_user(service),
        password=harness.sandbox.nats_password(service).read_text(),
        tls=harness.tls(vehicle_identity(VIN).name),
        allow_reconnect=False,
        error_cb=on_error,
    )
    await client.publish("room.access.x", b"")
    assert "room.access.x" in await asyncio.wait_for(refused.get(), WAIT_SECONDS)
    await client.close()


@pytest.mark.parametrize("service", [*registry.ON_THE_BROKER, MONITOR])
async def test_the_vehicles_ca_makes_no_service(harness: BrokerHarness, tmp_path: Path, service: str) -> None:
    """Nor does the services' CA make a vehicle."""
    (like,) = [one for one in IDENTITIES if one.name == service]
    password = harness.sandbox.nats_password(service).read_text()
    for identity in (
        like,
        CertificateIdentity("forged", uri=like.uri, server=False),
        CertificateIdentity("forged2", dns=like.dns, server=False),
    ):
        folder = tmp_path / identity.name
        folder.mkdir()
        for half in ("crt", "key"):
            (folder / f"{VEHICLE_CA}.{half}").write_bytes(
                (harness.sandbox.pki / f"{VEHICLE_CA}.{half}").read_bytes()
            )
        forged = Pki(folder, datetime.now(UTC), VEHICLE_CA).ensure(identity)
        tls = harness.tls(None)
        tls.load_cert_chain(forged.cert, forged.key)
        assert not await lets_in(harness, tls, broker_user(service), password)
    harness.pki.ensure(CertificateIdentity("like-a-car", uri=vehicle_identity(VIN).uri, server=False))
    assert not await lets_in(harness, harness.tls("like-a-car"))


@pytest.mark.parametrize("service", registry.ON_THE_BROKER)
async def test_the_broker_s_answers_to_a_service_reach_nothing(harness: BrokerHarness, service: str) -> None:
    """The reply subject is the service's to choose, and is not looked at."""
    witness = Witness(harness)
    await witness.begin()
    client = await harness.client(service, service)
    questions = [f"{STORE_API}.STREAM.INFO.{VEHICLE_EVENTS}"]
    if service == "command":
        questions.append(f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.{VIN}")
        await harness.observe(VEHICLE_COMMANDS)
        await client.jetstream(prefix=STORE_API).add_consumer(
            VEHICLE_COMMANDS,
            ConsumerConfig(name="mine", filter_subject=f"vehicle.{VIN}.cmd.*", ack_policy=AckPolicy.EXPLICIT),
        )
        questions.append(f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.mine")
    if service in {"status", "command"}:
        questions.append(f"{STORE_API}.DIRECT.GET.{DOOR_UPDATES}")
    if service == "access":
        questions.append(f"{STORE_API}.DIRECT.GET.{ROOM_EVENTS}")
    for subject in HARMFUL:
        for question in questions:
            body = NOTHING_WAITS if "MSG.NEXT" in question else b'{"seq": 1}' if "DIRECT" in question else b""
            await client.publish(question, body, reply=subject)
    await client.flush(WAIT_SECONDS)
    if service == "command":
        commands = await harness.observe(VEHICLE_COMMANDS)
        await commands.delete_consumer(VEHICLE_COMMANDS, "mine")
    assert reached(witness, service) == []
    # An answer to `door.update.<VIN>` takes the passage of its own live updates: under its name, of no vehicle.
    updates = (await witness.look())[DOOR_UPDATES][2]
    assert all(origin_of_update(subject) == service for subject in updates)
    assert not any(is_vin(subject.split(".")[-1]) for subject in updates)
    await witness.assert_nothing_came_of_it(other_streams={DOOR_UPDATES} if updates else ())


async def test_the_confirmation_of_what_a_service_says_reaches_nothing(harness: BrokerHarness) -> None:
    said = {
        "access": "room.access.x",
        "command": "room.command.x",
        "status": "room.status.x",
        "config": "room.config.x",
        "diagnostics": update_subject(VIN),
    }
    witness = Witness(harness)
    await witness.begin()
    for service, subject in said.items():
        client = await harness.client(service, service)
        for reply in HARMFUL:
            await client.publish(subject, b"x", reply=reply)
        await client.request(subject, b"last", timeout=WAIT_SECONDS)
        await witness.settle()
        assert reached(witness, service) == []
        witness.received.clear()
    kept = [one for one in HARMFUL if not one.startswith(("$JS.ACK.", "_R_."))]
    after = await witness.look()
    assert sum(after[ROOM_EVENTS][2].values()) == 4 * (len(kept) + 1)
    updates = dict(after[DOOR_UPDATES][2])
    assert updates.pop(kept_update_subject("diagnostics", VIN)) == len(kept) + 1
    # A confirmation to `door.update.<VIN>` goes through the passage once more, as all that is published there. It is
    # kept for no vehicle, under the name of who asked for it.
    assert sorted(origin_of_update(subject) for subject in updates) == ["access", "command", "status"]
    assert not any(is_vin(subject.split(".")[-1]) for subject in updates)
    await witness.assert_nothing_came_of_it(other_streams={ROOM_EVENTS, DOOR_UPDATES})


async def test_a_live_update_is_kept_under_the_name_of_who_published_it(harness: BrokerHarness) -> None:
    tellers = ("access", "command", "diagnostics", "status")
    for service in registry.ON_THE_BROKER:
        client = await harness.client(service, service)
        if service in tellers:
            await client.request(update_subject(VIN), service.encode(), timeout=WAIT_SECONDS)
            continue
        with pytest.raises((NoRespondersError, nats.errors.TimeoutError)):
            await client.request(update_subject(VIN), b"forged", timeout=0.5)
    updates = await harness.observe(DOOR_UPDATES)
    info = await updates.stream_info(DOOR_UPDATES, subjects_filter=">")
    assert info.state.subjects == {kept_update_subject(service, VIN): 1 for service in tellers}
    for number, service in enumerate(sorted(tellers, key=registry.ON_THE_BROKER.index), 1):
        kept = await updates.get_msg(DOOR_UPDATES, number)
        assert (kept.subject, kept.data) == (kept_update_subject(service, VIN), service.encode())


@pytest.mark.parametrize("headers_only", [False, True])
async def test_where_consumers_of_the_command_service_deliver_to_is_its_own_store(
    harness: BrokerHarness, *, headers_only: bool
) -> None:
    """It makes vehicles' consumers, and so can have commands delivered anywhere: in an account with nothing else."""
    witness = Witness(harness)
    await witness.begin()
    client = await harness.client("command", "command")
    jetstream = client.jetstream(prefix=STORE_API)
    for number, subject in enumerate(HARMFUL):
        if VEHICLE_COMMANDS in subject or "*" in subject:
            continue
        config = ConsumerConfig(
            name=f"evil{number}",
            filter_subject=f"vehicle.{VIN}.cmd.*",
            ack_policy=AckPolicy.EXPLICIT,
            deliver_subject=subject,
            headers_only=headers_only,
        )
        with contextlib.suppress(APIError):  # of a work queue only one may have a subject
            await jetstream.add_consumer(VEHICLE_COMMANDS, config)
            await jetstream.publish(command_subject(VIN, CommandKind.DOOR), b"")
            commands = await harness.observe(VEHICLE_COMMANDS)
            await commands.delete_consumer(VEHICLE_COMMANDS, f"evil{number}")
    assert reached(witness, "command") == []
    await witness.assert_nothing_came_of_it(other_streams={VEHICLE_COMMANDS, MQTT_MESSAGES})


async def test_where_consumers_of_the_status_service_deliver_to_is_far_from_vehicles(
    harness: BrokerHarness,
) -> None:
    witness = Witness(harness)
    await witness.begin()
    client = await harness.client("status", "status")
    jetstream = client.jetstream(prefix=STORE_API)
    await jetstream.publish(update_subject(OTHER), b"")
    await jetstream.publish("room.status.x", b"")
    for stream in (DOOR_UPDATES, ROOM_EVENTS):
        for subject in HARMFUL:
            if stream in subject or "*" in subject or subject.startswith(("door.update", "room.")):
                continue
            with contextlib.suppress(APIError):
                await jetstream.add_consumer(
                    stream,
                    ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_subject=subject, headers_only=True),
                )
    await client.flush(WAIT_SECONDS)
    assert reached(witness, "status") == []
    await witness.assert_nothing_came_of_it(other_streams={DOOR_UPDATES, ROOM_EVENTS})


async def lets_in(harness: BrokerHarness, tls: ssl.SSLContext, user: str = "", password: str = "") -> bool:
    """Whether the broker greets who shows this certificate and says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", harness.ports.nats)
    try:
        await reader.readline()
        await writer.start_tls(tls, server_hostname="localhost")
        login = {"verbose": False, "tls_required": True, "user": user, "pass": password}
        writer.write(b"CONNECT %b\r\nPING\r\n" % json.dumps(login).encode())
        return (await asyncio.wait_for(reader.readline(), WAIT_SECONDS)).strip() == b"PONG"
    except OSError:
        return False
    finally:
        writer.transport.abort()
