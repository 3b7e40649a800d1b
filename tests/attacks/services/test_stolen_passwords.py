"""A service's password and certificate at the broker, in an attacker's hands."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import nats.errors
import pytest
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate

from mesh.pki import CertificateIdentity
from services import registry
from tests.attacks.people import credentials
from tests.attacks.sandbox import car_pair, workload_pair
from tests.attacks.stolen import REFUSED, StolenService, code_as
from tests.attacks.test_ended_rights import finish
from tests.support.app import ASLEEP, PUBLISHED_KEY, SAMPLE, App, Car, eventually
from tests.support.running_mesh import ROOT
from vehicle.messages.credentials import make_car_keys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.attacks.bystander import BystanderProbe, Probe
    from tests.support.running_mesh import Mesh


pytestmark = [pytest.mark.system, pytest.mark.untimed]


SAYS = {
    "access": ("room.access.revoked", "door.update.{vin}"),
    "command": ("vehicle.{vin}.cmd.door", "room.command.x", "door.update.{vin}"),
    "status": ("room.status.checked", "hint.condition.{vin}", "hint.shown", "door.update.{vin}"),
    # The command service keeps the whole queue of a vehicle, the settings in it included.
    "config": ("room.config.x",),
    "diagnostics": ("room.diagnostics.x", "door.update.{vin}"),
    "enrolment": ("room.enrolment.changed",),
    "notification": (),
}
"""What each service says, and none of those that it does not stand beside may. Live updates have four publishers; who
it was is the broker's to say."""


NOBODYS = (
    "operator.vehicle.enrol",
    "operator.vehicle.revoke",
    "vehicle.{vin}.evt.result",
    "vehicle.{vin}.evt.hello",
    "vehicle_status.0.{vin}",
    "door.command.{vin}",
    "door.status.{vin}",
    "door.diagnostics.{vin}",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.AUTH",
)


ORDERS_LIE_IN = ("VEHICLE_COMMANDS", "$MQTT_msgs")
"""The command service takes its own orders out of these, when a right to one has ended."""


INTERFACES = ("$JS.API", "store.api")
"""JetStream's, as the broker calls it and as services reach it."""


OPERATORS = (
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/CreateGrant"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/RevokeGrant"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/LockAccount"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/GetAccount"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/ListAccounts"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/IssueApiKey"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/ApproveApiKey"),
    ("access", "/ecarus.remotecontrol.access.v1.AccessService/RevokeApiKey"),
    ("enrolment", "/ecarus.remotecontrol.access.v1.VehicleEnrolmentService/EnrolVehicle"),
    ("enrolment", "/ecarus.remotecontrol.access.v1.VehicleEnrolmentService/RevokeVehicle"),
    ("enrolment", "/ecarus.remotecontrol.access.v1.VehicleEnrolmentService/ListVehicles"),
    ("audit", "/ecarus.remotecontrol.audit.v1.AuditLogService/GetCheckpoint"),
    ("command", "/ecarus.remotecontrol.access.v1.DeadLetterService/ListDeadLetters"),
    ("status", "/ecarus.remotecontrol.access.v1.DeadLetterService/ReplayWaitingDeadLetters"),
)
"""What only operators may ask."""


@pytest.mark.parametrize("name", registry.ON_THE_BROKER)
def test_a_stolen_password_speaks_for_its_own_service_only(
    mesh: Mesh, bystander: BystanderProbe, name: str
) -> None:
    foreign = [
        subject.format(vin=bystander.vin)
        for subjects in (*(said for service, said in SAYS.items() if service != name), NOBODYS)
        for subject in subjects
        if subject not in SAYS[name]
    ]
    interface = [
        *(
            f"{interface}.STREAM.{verb}.{stream}"
            for interface in INTERFACES
            for verb in ("DELETE", "PURGE")
            for stream in ("VEHICLE_EVENTS", "VEHICLE_COMMANDS", "DOOR_UPDATES", "ROOM_EVENTS", "$MQTT_msgs")
            if (name, verb) != ("command", "PURGE") or stream not in ORDERS_LIE_IN
        ),
        f"$JS.API.CONSUMER.DELETE.VEHICLE_EVENTS.{'status' if name == 'command' else 'command'}-events",
        "$JS.API.STREAM.CREATE.OVERHEARD",
        "$JS.API.CONSUMER.CREATE.$MQTT_sess.x",
    ]

    async def attack() -> list[str]:
        async with await StolenService(mesh, name).connect() as thief:
            for subject in (*foreign, *interface):
                await thief.publish(subject, b"{}", f"_INBOX.{name}.answer")
            await thief.flush()
            return await thief.not_refused([*foreign, *interface])

    with bystander.undisturbed():
        assert asyncio.run(attack()) == []


FORGED = {
    "command": {
        "type": "COMMAND_STATUS_UPDATE",
        "command_status": {"command_id": "forged", "action": "LOCK", "status": "SUCCESS"},
    },
    "status": {"type": "DOOR_STATUS_UPDATE", "door_status": {"door_id": "forged", "change_type": "LOCKED"}},
    "status's alert": {
        "type": "SYSTEM_ALERT",
        "system_alert": {"code": "COMMAND_CONTRADICTED", "severity": "INFO", "message": "forged"},
    },
    "reset": {
        "type": "SYSTEM_ALERT",
        "system_alert": {"code": "UPDATES_RESET", "severity": "INFO", "message": "forged"},
    },
    "diagnostics": {
        "type": "SYSTEM_ALERT",
        "system_alert": {"code": "U0140", "severity": "INFO", "message": "forged"},
    },
    "one in another": {
        "type": "SYSTEM_ALERT",
        "command_status": {"command_id": "forged", "action": "LOCK", "status": "SUCCESS"},
    },
    "another vehicle's": {
        "type": "SYSTEM_ALERT",
        "vin": ASLEEP,
        "system_alert": {"code": "U1", "severity": "INFO", "message": "forged"},
    },
}
"""By the service that may tell of it, where there is one."""


OWN_KINDS = {"status": {"status", "status's alert"}}


@pytest.mark.parametrize("name", registry.ON_THE_BROKER)
def test_a_forged_update_reaches_no_reader(mesh: Mesh, bystander: BystanderProbe, name: str) -> None:
    """Nor one who comes back to it later, nor over gRPC. A service can tell of what is its own to tell."""
    Car(mesh, SAMPLE).meet()
    app = App(mesh, SAMPLE)
    own = OWN_KINDS.get(name, {name}) & set(FORGED)

    async def attack(forged: Iterable[dict[str, Any]]) -> None:
        async with await StolenService(mesh, name).connect() as thief:
            for update in forged:
                payload = DoorUpdate(**{"vin": SAMPLE, **update}).SerializeToString()
                for subject in ("update", "command", "status", "diagnostics", name):
                    await thief.publish(f"door.{subject}.{SAMPLE}", payload)
            await thief.flush()

    request = door_status_service_pb2.WatchDoorUpdatesRequest(vin=SAMPLE)
    bearer = (("authorization", f"Bearer {PUBLISHED_KEY}"),)
    team = credentials(
        mesh,
        *workload_pair(mesh, CertificateIdentity("reader", uri="spiffe://ecarus/team/demo", server=False)),
    )
    with bystander.undisturbed(), app.stream() as stream, ExitStack() as stack:
        door = stack.enter_context(grpc.secure_channel(f"localhost:{mesh.ports.mtls}", team))
        typed = door_status_service_pb2_grpc.DoorStatusServiceStub(door).WatchDoorUpdates(
            request, metadata=bearer, timeout=60
        )
        list(typed.initial_metadata())  # it has begun
        opened = eventually(lambda: stream.events and stream.events[0]["id"])
        asyncio.run(attack(update for whose, update in FORGED.items() if whose not in own))
        done = finish(app, "lock")["commandId"]

        def told(events: Iterable[object]) -> bool:
            return any(done in str(event) and "SUCCESS" in str(event) for event in events)

        resumed = stack.enter_context(app.stream(opened))
        for reader in (stream, resumed):
            eventually(lambda reader=reader: told(reader.events))
            assert "forged" not in str(reader.events)
        for update in typed:
            assert "forged" not in str(update)
            if told([update]):
                break
        asyncio.run(attack(FORGED[whose] for whose in own))
        if own:
            eventually(lambda: str(stream.events).count("forged") >= len(own))


def test_a_stolen_password_overhears_nobody_else(mesh: Mesh, bystander: BystanderProbe) -> None:
    everything = (">", "_INBOX.>", "vehicle.>", "vehicle_status.>", "$JS.>", "$SYS.>", "$MQTT.>", "store.>")

    async def attack(probe: Probe) -> dict[str, list[str]]:
        async with AsyncExitStack() as open_until_the_end:
            thieves = [
                await open_until_the_end.enter_async_context(await StolenService(mesh, name).connect())
                for name in registry.ON_THE_BROKER
            ]
            for thief in thieves:
                for subject in everything:
                    await thief.listen(subject)
                await thief.flush()
            await asyncio.to_thread(bystander.see, probe, 4)
            return {
                thief.name: sorted(
                    {subject for subject, _ in thief.received if not _own(thief.name, subject)}
                )
                for thief in thieves
            }

    with bystander.undisturbed() as probe:
        assert asyncio.run(attack(probe)) == {name: [] for name in registry.ON_THE_BROKER}


def _own(name: str, subject: str) -> bool:
    """An answer to the service itself: its name stands in its inbox's."""
    words = subject.split(".")
    return words[0] == "_INBOX" and len(words) > 2 and name in words[1]


@pytest.mark.parametrize("name", registry.ON_THE_BROKER)
def test_a_password_counts_with_its_own_certificate_only(mesh: Mesh, name: str) -> None:
    others = [other for other in registry.NAMES if other != name]
    others += ["edge", "team-demo", "operator"]

    async def admitted(certificate: str) -> bool:
        thief = StolenService(mesh, name)
        try:
            async with await thief.connect(certificate):
                return True
        except (nats.errors.Error, TimeoutError, OSError):
            return False

    async def attack() -> list[str]:
        assert await admitted(name)
        return [other for other in others if await admitted(other)]

    assert asyncio.run(attack()) == []


def test_a_chosen_payload_in_a_pulls_answer_enrols_no_car(
    mesh: Mesh, bystander: BystanderProbe, tmp_path: Path
) -> None:
    """A stream's message comes back on the reply subject: with a chosen payload it was an operator's request."""
    vin = "KMHSH81C7LU888888"
    make_car_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    certificate, _ = car_pair(mesh, vin)
    requests = {
        "enrol": {
            "vin": vin,
            "certificate": certificate.read_text(),
            "keys": (tmp_path / "public.pem").read_text(),
        },
        "revoke": {"vin": bystander.vin},
    }

    async def attack() -> None:
        for name in registry.ON_THE_BROKER:
            async with await StolenService(mesh, name).connect() as thief:
                for verb, request in requests.items():
                    # A message that is pulled keeps its subject, and this is how an operator's request ended.
                    subject, reply = f"room.{name}.{verb}", f"operator.vehicle.{verb}"
                    await thief.publish(subject, json.dumps(request).encode())
                    consumer = f"thief-{name}-{verb}"
                    made = {
                        "stream_name": "ROOM_EVENTS",
                        "config": {
                            "durable_name": consumer,
                            "filter_subject": subject,
                            "deliver_policy": "last",
                            "ack_policy": "explicit",
                        },
                    }
                    create = f"$JS.API.CONSUMER.DURABLE.CREATE.ROOM_EVENTS.{consumer}"
                    await thief.publish(create, json.dumps(made).encode(), f"_INBOX.{name}.made")
                    await thief.flush()
                    pull = f"$JS.API.CONSUMER.MSG.NEXT.ROOM_EVENTS.{consumer}"
                    await thief.publish(pull, b'{"batch": 1, "expires": 2000000000}', reply)
                    last = json.dumps({"last_by_subj": subject}).encode()
                    await thief.publish("$JS.API.STREAM.MSG.GET.ROOM_EVENTS", last, reply)
                await thief.flush()

    with bystander.undisturbed() as probe:
        asyncio.run(attack())
        bystander.see(probe, 4)
    listed = subprocess.run(
        [sys.executable, "-m", "doorctl", "vehicle", "list"],
        cwd=ROOT,
        env=mesh.environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert vin not in listed.stdout
    [line] = [line for line in listed.stdout.splitlines() if bystander.vin in line]
    assert "revoked" not in line


def test_operators_requests_are_nobody_elses(mesh: Mesh, bystander: BystanderProbe) -> None:
    with bystander.undisturbed():
        for who in (*registry.NAMES, "edge", "team-demo"):
            for service, method in OPERATORS:
                assert code_as(mesh, who, service, method) in REFUSED, f"{who} reached {method}"
