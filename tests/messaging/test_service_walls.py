"""A service in an attacker's hands: its password and certificate open nothing at the broker but what it may itself.

What each may is written down here once more, by hand: who widens a right has to say so here. The probes are all
subjects that anybody may use, and JetStream's interface for every stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import nats
import pytest
import pytest_asyncio
from nats.errors import NoRespondersError
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from mesh.broker_accounts import STORE_API
from mesh.pki import VEHICLE_CA, CertificateIdentity, Pki
from mesh.sandbox import IDENTITIES, MONITOR, broker_user, vehicle_identity
from protocol.consumers import CONSUMERS, consumers_of
from protocol.streams import (
    DOOR_UPDATES,
    MQTT_MESSAGES,
    MQTT_OWN_STREAMS,
    ROOM_EVENTS,
    STREAMS,
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
from tests.messaging.broker_harness import OTHER, VIN, WAIT_SECONDS, BrokerHarness, free_base
from tests.messaging.test_hostile_car import HARMFUL, NOTHING_WAITS
from tests.messaging.witness import Witness

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

STATUS_STREAMS = [name for name in STREAMS if name.startswith("VEHICLE_STATUS_")]
EVERYBODY_ASKS = {f"{STORE_API}.STREAM.INFO.{name}" for name in STREAMS}
SAYS = {
    "access": {"door.update.*", "room.access.>"},
    "command": {
        "vehicle.*.cmd.*",
        "$MQTT.msgs.vehicle.*.cmd.*",
        "door.update.*",
        "room.command.>",
        f"{STORE_API}.CONSUMER.CREATE.{VEHICLE_COMMANDS}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*",
        f"$JS.ACK.{VEHICLE_COMMANDS}.>",
        f"{STORE_API}.STREAM.PURGE.{VEHICLE_COMMANDS}",
        f"{STORE_API}.STREAM.PURGE.{MQTT_MESSAGES}",
    },
    "status": {
        "door.update.*",
        "room.status.>",
        "hint.condition.*",
        "hint.refused.*",
        "hint.shown",
        f"{STORE_API}.CONSUMER.CREATE.{DOOR_UPDATES}",
        f"{STORE_API}.CONSUMER.CREATE.{ROOM_EVENTS}",
        f"{STORE_API}.DIRECT.GET.{DOOR_UPDATES}",
    },
    "config": {"vehicle.*.cmd.config", "room.config.>"},
    "diagnostics": {"door.update.*", "hint.refused.*", "room.diagnostics.>"},
    "enrolment": {
        "admitted.vehicle",
        "room.enrolment.changed",
        "room.enrolment.probe",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.SERVER.*.KICK",
        *(f"{STORE_API}.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE") for name in STREAMS),
        *(f"{STORE_API}.STREAM.{verb}.{name}" for verb in ("INFO", "UPDATE") for name in MQTT_OWN_STREAMS),
        *(
            f"{STORE_API}.CONSUMER.{verb}.{one.stream}.{one.name}"
            for verb in ("DURABLE.CREATE", "INFO")
            for one in CONSUMERS.values()
        ),
    },
}
SUBSCRIBES = {
    "access": {"room.access.revoked"},
    "command": {"hint.condition.*", "hint.refused.*", "hint.shown", "room.enrolment.changed"},
    "status": {"room.enrolment.changed", "vehicle.*.presence"},
    "config": {"room.enrolment.changed"},
    "diagnostics": {"room.enrolment.changed"},
    "enrolment": {
        "admitted.vehicle",
        "$SYS.REQ.USER.AUTH",
        f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*",
        f"$JS.ACK.{VEHICLE_COMMANDS}.>",
    },
}
VERBS = [
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.UPDATE",
    "STREAM.CREATE",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
]
VERBS += ["STREAM.SNAPSHOT", "STREAM.RESTORE", "CONSUMER.LIST", "CONSUMER.CREATE", "DIRECT.GET"]
PROBES = sorted(
    {
        *(f"{api}.{verb}.{name}" for api in ("$JS.API", STORE_API) for verb in VERBS for name in STREAMS),
        *(
            f"{STORE_API}.CONSUMER.{verb}.{one.stream}.{one.name}"
            for verb in ("DELETE", "DURABLE.CREATE", "CREATE", "MSG.NEXT", "PAUSE", "INFO")
            for one in CONSUMERS.values()
        ),
        *(f"deliver.{name}" for name in CONSUMERS),
        *(f"$JS.ACK.{one.stream}.{one.name}.1.1.1.1.0" for one in CONSUMERS.values()),
        *(subject.replace("*", VIN).replace(">", "x") for said in SAYS.values() for subject in said),
        *(
            subject.replace("*", VIN).replace(">", "x")
            for received in SUBSCRIBES.values()
            for subject in received
        ),
        f"{STORE_API}.STREAM.NAMES",
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        f"vehicle.{VIN}.evt.hello",
        f"vehicle_status.0.{VIN}",
        *(f"door.{service}.{VIN}" for service in registry.WITH_DATABASE),
        "_INBOX.x",
        *(f"_INBOX.{service}.x" for service in registry.WITH_DATABASE),
    }
)
EARS = [
    ">",
    "*.>",
    "_INBOX.>",
    "deliver.>",
    "deliver.*",
    "vehicle.>",
    "room.>",
    "operator.>",
    "$JS.>",
    "$SYS.>",
]
EARS += ["store.>", "door.update.*", f"vehicle.{VIN}.evt.*", "$MQTT.>", *PROBES]


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()


def may(rights: set[str], subject: str) -> bool:
    return any(matches(right, subject) for right in rights)


def matches(right: str, subject: str) -> bool:
    """Whether all that `subject` stands for is within `right`."""
    of_right, of_subject = right.split("."), subject.split(".")
    for index, word in enumerate(of_right):
        if word == ">":
            return len(of_subject) > index
        if index >= len(of_subject) or of_subject[index] == ">":
            return False
        if word not in ("*", of_subject[index]):
            return False
    return len(of_right) == len(of_subject)


def reached(witness: Witness, service: str) -> list[tuple[str, str]]:
    """What other services heard under a harmful subject. In its own account a service may say what it likes."""
    return [(who, subject) for who, subject in witness.received if subject in HARMFUL and who != service]


def says(service: str) -> set[str]:
    own = consumers_of(service)
    reads = {f"$JS.ACK.{one.stream}.{one.name}.>" for one in own}
    reads |= {f"{STORE_API}.CONSUMER.INFO.{one.stream}.{one.name}" for one in own}
    return SAYS[service] | EVERYBODY_ASKS | reads


def subscribes(service: str) -> set[str]:
    return (
        SUBSCRIBES[service]
        | {f"_INBOX.{service}.>"}
        | {f"deliver.{one.name}" for one in consumers_of(service)}
    )


@pytest.mark.parametrize("service", registry.WITH_DATABASE)
async def test_the_configuration_gives_what_is_written_here_and_no_more(
    harness: BrokerHarness, service: str
) -> None:
    rights = harness.rights_of(service)
    assert set(rights["publish"]["allow"]) == says(service)
    assert set(rights["subscribe"]["allow"]) == subscribes(service)


@pytest.mark.parametrize("service", registry.WITH_DATABASE)
async def test_nothing_else_can_be_said_or_heard(harness: BrokerHarness, service: str) -> None:
    refused: set[str] = set()
    told_all = asyncio.Event()

    async def on_error(error: Exception) -> None:
        refused.add(str(error).lower())
        if "the.end" in str(error):
            told_all.set()

    client = await harness.client(service, service, error_cb=on_error)
    for subject in PROBES:
        if not may(says(service), subject):
            await client.publish(subject, b"{}")
    for subject in EARS:
        if not may(subscribes(service), subject):
            await client.subscribe(subject)
    await client.publish("the.end", b"")
    await asyncio.wait_for(told_all.wait(), WAIT_SECONDS)
    told = "\n".join(refused)
    for subject in PROBES:
        assert may(says(service), subject) or f'publish to "{subject.lower()}"' in told, subject
    for subject in EARS:
        assert may(subscribes(service), subject) or f'subscription to "{subject.lower()}"' in told, subject


def test_only_what_is_needed_is_allowed_on_any_stream() -> None:
    """Verbs that change or read a stream as a whole, over all services: the broker cannot tell what a purge is for."""
    strong = {
        (service, verb, stream)
        for service in SAYS
        for stream in (*STREAMS, *MQTT_OWN_STREAMS)
        for verb in (*(verb for verb in VERBS if verb.startswith("STREAM.")), "CONSUMER.CREATE", "DIRECT.GET")
        if may(says(service), f"{STORE_API}.{verb}.{stream}")
        or may(says(service), f"{STORE_API}.{verb}.{stream}.x.y")
        or may(says(service), f"$JS.API.{verb}.{stream}")
    }
    made = {("enrolment", verb, name) for verb in ("STREAM.CREATE", "STREAM.UPDATE") for name in STREAMS}
    spread = {("enrolment", "STREAM.UPDATE", name) for name in MQTT_OWN_STREAMS}
    assert strong - made - spread == {
        ("command", "STREAM.PURGE", VEHICLE_COMMANDS),
        ("command", "STREAM.PURGE", MQTT_MESSAGES),
        ("command", "CONSUMER.CREATE", VEHICLE_COMMANDS),
        ("status", "CONSUMER.CREATE", DOOR_UPDATES),
        ("status", "CONSUMER.CREATE", ROOM_EVENTS),
        ("status", "DIRECT.GET", DOOR_UPDATES),
    }


@pytest.mark.parametrize("service", [*registry.WITH_DATABASE, MONITOR])
async def test_a_password_opens_nothing_with_another_certificate_and_a_certificate_nothing_without_it(
    harness: BrokerHarness, service: str
) -> None:
    password = harness.sandbox.nats_password(service).read_text()
    others = [one.name for one in IDENTITIES if one.name != service and one.client]
    attempts = [(password, certificate) for certificate in others]
    attempts += [
        (harness.sandbox.nats_password(name).read_text(), service)
        for name in registry.WITH_DATABASE
        if name != service
    ]
    attempts += [("", service), (password, None)]
    for said, certificate in attempts:
        assert not await lets_in(harness, harness.tls(certificate), broker_user(service), said), certificate
    assert await lets_in(harness, harness.tls(service), broker_user(service), password)


@pytest.mark.parametrize("service", [*registry.WITH_DATABASE, MONITOR])
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


@pytest.mark.parametrize("service", [*registry.WITH_DATABASE, MONITOR])
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


@pytest.mark.parametrize("service", registry.WITH_DATABASE)
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
    if service == "status":
        questions.append(f"{STORE_API}.DIRECT.GET.{DOOR_UPDATES}")
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
    for service in registry.WITH_DATABASE:
        client = await harness.client(service, service)
        if service in tellers:
            await client.request(update_subject(VIN), service.encode(), timeout=WAIT_SECONDS)
            continue
        with pytest.raises((NoRespondersError, nats.errors.TimeoutError)):
            await client.request(update_subject(VIN), b"forged", timeout=0.5)
    updates = await harness.observe(DOOR_UPDATES)
    info = await updates.stream_info(DOOR_UPDATES, subjects_filter=">")
    assert info.state.subjects == {kept_update_subject(service, VIN): 1 for service in tellers}
    for number, service in enumerate(sorted(tellers, key=registry.WITH_DATABASE.index), 1):
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
