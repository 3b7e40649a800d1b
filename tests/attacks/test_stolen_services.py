"""Whoever holds one service's password, certificate and database has what that service may do, and nothing else.

Each service in turn is in an attacker's hands, while somebody else goes on using their car.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import nats.errors
import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as signing_grpc
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc
from ecarus.remotecontrol.door.v1.door_update_pb2 import DoorUpdate
from ecarus.remotecontrol.vehicle.v1 import command_pb2
from envoy_ext_authz import external_auth_pb2, external_auth_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.sandbox import CertificateIdentity
from services import registry
from services.telematics.order_mac import OrderMac
from tests.attacks.people import certified, credentials
from tests.attacks.sandbox import car_pair, workload_pair
from tests.attacks.stolen import REFUSED, StolenService, channel_to, code_as, code_of
from tests.attacks.test_ended_rights import finish
from tests.support.app import ASLEEP, PUBLISHED_KEY, SAMPLE, App, Car, eventually
from tests.support.running_mesh import ROOT
from vehicle.messages.credentials import make_car_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.attacks.bystander import BystanderProbe, Probe
    from tests.attacks.hostile_car import HostileCar
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
REVOCATION_SECONDS = 15.0
"""The list is read every 2 s; the rest is what a busy machine adds to seven services one after the other."""
CHECK = "/envoy.service.auth.v3.Authorization/Check"
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
    ("command", "/ecarus.remotecontrol.access.v1.DeadLetterService/ListDeadLetters"),
    ("status", "/ecarus.remotecontrol.access.v1.DeadLetterService/ReplayWaitingDeadLetters"),
)
"""What only operators may ask."""


@pytest.mark.parametrize("name", registry.WITH_DATABASE)
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
        "command_status": {"command_id": "forged", "status": "SUCCESS"},
    },
    "status": {"type": "DOOR_STATUS_UPDATE", "door_status": {"door_id": "forged", "change_type": "LOCKED"}},
    "status's alert": {
        "type": "SYSTEM_ALERT",
        "system_alert": {"code": "COMMAND_CONTRADICTED", "message": "forged"},
    },
    "reset": {"type": "SYSTEM_ALERT", "system_alert": {"code": "UPDATES_RESET", "message": "forged"}},
    "diagnostics": {"type": "SYSTEM_ALERT", "system_alert": {"code": "U0140", "message": "forged"}},
    "one in another": {
        "type": "SYSTEM_ALERT",
        "command_status": {"command_id": "forged", "status": "SUCCESS"},
    },
    "another vehicle's": {
        "type": "SYSTEM_ALERT",
        "vin": ASLEEP,
        "system_alert": {"code": "U1", "message": "forged"},
    },
}
"""By the service that may tell of it, where there is one."""
OWN_KINDS = {"status": {"status", "status's alert"}}


@pytest.mark.parametrize("name", registry.WITH_DATABASE)
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
                for name in registry.WITH_DATABASE
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
        assert asyncio.run(attack(probe)) == {name: [] for name in registry.WITH_DATABASE}


def _own(name: str, subject: str) -> bool:
    """An answer to the service itself: its name stands in its inbox's."""
    words = subject.split(".")
    return words[0] == "_INBOX" and len(words) > 2 and name in words[1]


@pytest.mark.parametrize("name", registry.WITH_DATABASE)
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
        for name in registry.WITH_DATABASE:
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


def test_a_certificate_says_who_somebody_is_in_one_way_only(mesh: Mesh) -> None:
    """A name or a second URI that says `edge` is not the edge."""
    spiffe = "spiffe://ecarus/edge"
    pretenders = (
        CertificateIdentity("pretender-dns", uri="spiffe://ecarus/team/demo", dns=(spiffe,), server=False),
        CertificateIdentity("pretender-only-dns", dns=(spiffe,), server=False),
        CertificateIdentity("pretender-domain", uri="spiffe://elsewhere/edge", server=False),
        CertificateIdentity("pretender-longer", uri=f"{spiffe}/", server=False),
        CertificateIdentity(spiffe.replace("/", "_"), uri="spiffe://ecarus/team/demo", server=False),
    )
    for identity in pretenders:
        with channel_to(mesh, "access", credentials(mesh, *workload_pair(mesh, identity))) as channel:
            assert code_of(channel, CHECK) in REFUSED, identity
    assert code_as(mesh, "edge", "access", CHECK) is grpc.StatusCode.OK


def test_a_cars_certificate_reaches_no_service(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    shown = credentials(mesh, *hostile_car.pair)
    with bystander.undisturbed():
        for service in registry.NAMES:
            with channel_to(mesh, service, shown) as channel:
                for method in ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", CHECK):
                    assert code_of(channel, method) in REFUSED, f"{service} answered a car"
        with grpc.secure_channel(f"localhost:{mesh.ports.mtls}", shown) as edge:
            assert code_of(edge, "/grpc.health.v1.Health/Check") in REFUSED, "the teams' edge answered a car"


# What the command service is told, in an attacker's hands, and the signer.


def told_to_the_command_service(mesh: Mesh, method: str, path: str, body: bytes = b"") -> str:
    """The capability that comes with somebody's request."""
    request = external_auth_pb2.CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.raw_body = (
        method,
        f"/api/v1/remotecontrol/vehicles/{SAMPLE}/door/{path}",
        body,
    )
    http.headers["authorization"] = f"Bearer {PUBLISHED_KEY}"
    if body:
        http.headers["content-type"] = "application/json"
    with channel_to(mesh, "access", certified(mesh, "edge")) as channel:
        answer = external_auth_pb2_grpc.AuthorizationStub(channel).Check(request, timeout=20)
    told = {option.header.key: option.header for option in answer.ok_response.headers}
    assert "x-ecarus-capability" in told, answer
    header = told["x-ecarus-capability"]
    return header.value or header.raw_value.decode()


def order_to_sign(
    mesh: Mesh, capability: str, *, counter: int = 1, lead: int = 20_000, lasts: int = 20
) -> signing.OrderToSign:
    """An unlock under this capability, stamped with the stolen key."""
    now = time.time()
    requested = signing.RequestedOrder(vin=SAMPLE, capability=capability)
    requested.asked_at.FromNanoseconds(int(now * 1e9))
    door = requested.door
    door.command_id, door.correlation_id = "cmd-forged", "forged"
    door.action, door.all_doors = command_pb2.DOOR_ACTION_UNLOCK, True
    door.mode = command_pb2.DOOR_ACTION_MODE_EMERGENCY
    door.subject = door.actor = "user-123"
    door.issued_at.FromNanoseconds(int(now * 1e9))
    door.expires_at.FromNanoseconds(int((now + lasts) * 1e9))
    requested.mac = OrderMac.read(mesh.data / "secrets" / "order-mac.key").of(requested)
    return signing.OrderToSign(
        requested=requested, epoch=bytes(16), counter=counter, expires_at_millis=int(now * 1_000) + lead
    )


def verdicts(mesh: Mesh, who: str, *orders: signing.OrderToSign) -> list[str]:
    with channel_to(mesh, "signer", certified(mesh, who)) as channel:
        stub = signing_grpc.OrderSigningServiceStub(channel)
        answer = stub.SignOrders(signing.SignOrdersRequest(orders=orders), timeout=20)
    return [signing.SigningVerdict.Name(each.verdict) for each in answer.answers]


def looks(mesh: Mesh) -> Iterator[str]:
    for path in ("history", "status", "config", "diagnostics"):
        yield told_to_the_command_service(mesh, "GET", path)
    body = json.dumps({"targetDoors": ["all"]}).encode()
    yield told_to_the_command_service(mesh, "POST", "lock", body)


def test_a_look_at_the_history_is_no_unlock(mesh: Mesh) -> None:
    orders = [order_to_sign(mesh, capability) for capability in looks(mesh)]
    assert "SIGNING_VERDICT_SIGNED" not in verdicts(mesh, "command", *orders)


def test_nothing_is_signed_for_ever_or_at_the_counters_end(mesh: Mesh) -> None:
    body = json.dumps({"targetDoors": ["all"], "unlockMode": "EMERGENCY"}).encode()
    capability = told_to_the_command_service(mesh, "POST", "unlock", body)
    beyond = [
        order_to_sign(mesh, capability, counter=2**48 - 1),
        order_to_sign(mesh, capability, counter=2**48),
        order_to_sign(mesh, capability, counter=2**63),
        order_to_sign(mesh, capability, lead=2**50),
        order_to_sign(mesh, capability, lasts=3_600),
        order_to_sign(mesh, capability, lasts=-3_600),
    ]
    assert verdicts(mesh, "command", order_to_sign(mesh, capability)) == ["SIGNING_VERDICT_SIGNED"]
    assert "SIGNING_VERDICT_SIGNED" not in verdicts(mesh, "command", *beyond)


@pytest.mark.parametrize(
    "who", [*(service for service in registry.NAMES if service not in {"command", "config"}), "edge"]
)
def test_the_signer_signs_for_those_who_take_orders_in(mesh: Mesh, who: str) -> None:
    method = "/ecarus.remotecontrol.access.v1.OrderSigningService/SignOrders"
    assert code_as(mesh, who, "signer", method) is grpc.StatusCode.PERMISSION_DENIED


def test_a_stolen_workload_s_certificate_ends_everywhere_while_it_is_used(
    mesh: Mesh, bystander: BystanderProbe
) -> None:
    """A service's twin, the edge's and a team's: calls and streams end at every service, and at the door."""
    twin, edge, team = (
        CertificateIdentity(f"taken-{name}", uri=f"spiffe://ecarus/{uri}", server=False)
        for name, uri in (("command", "room/command"), ("edge", "edge"), ("team", "team/demo"))
    )
    pairs = {one.name: workload_pair(mesh, one) for one in (twin, edge, team)}
    held = {name: credentials(mesh, *pair) for name, pair in pairs.items()}
    asked = health_pb2.HealthCheckRequest()
    request = door_status_service_pb2.WatchDoorUpdatesRequest(vin=SAMPLE)
    Car(mesh, SAMPLE).meet()
    bearer_of_a_user = (("authorization", f"Bearer {PUBLISHED_KEY}"),)
    with bystander.undisturbed(), ExitStack() as stack:
        services = {
            (name, service): stack.enter_context(channel_to(mesh, service, held[name]))
            for name in (twin.name, edge.name)
            for service in registry.NAMES
        }
        door = stack.enter_context(grpc.secure_channel(f"localhost:{mesh.ports.mtls}", held[team.name]))
        watched = {
            who: health_pb2_grpc.HealthStub(channel).Watch(asked, timeout=60)
            for who, channel in services.items()
        }
        for stream in watched.values():
            assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
        updates = door_status_service_pb2_grpc.DoorStatusServiceStub(door).WatchDoorUpdates(
            request, metadata=bearer_of_a_user, timeout=60
        )
        finish(App(mesh, SAMPLE), "lock")  # the first thing that it brings says that it runs
        next(updates)
        for name in pairs:
            revoke_workload(mesh, name)
        began = time.monotonic()
        for who, stream in watched.items():
            assert code_when_it_ends(stream) is grpc.StatusCode.PERMISSION_DENIED, who
        assert code_when_it_ends(updates) is grpc.StatusCode.PERMISSION_DENIED
        assert time.monotonic() - began < REVOCATION_SECONDS
        for who, channel in services.items():
            assert code_of(channel, "/grpc.health.v1.Health/Check") in REFUSED, who
        status = door_status_service_pb2_grpc.DoorStatusServiceStub(door)
        with pytest.raises(grpc.RpcError) as refused:
            status.GetDoorStatus(
                door_status_service_pb2.GetDoorStatusRequest(vin=SAMPLE),
                metadata=bearer_of_a_user,
                timeout=20,
            )
        assert refused.value.code() in REFUSED


def revoke_workload(mesh: Mesh, name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "mesh", "revoke", name], cwd=ROOT, env=mesh.environment, timeout=60, check=True
    )


def code_when_it_ends(stream: Any) -> grpc.StatusCode:
    """How a stream ends, whatever it still brings."""
    try:
        for _message in stream:
            continue
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK
