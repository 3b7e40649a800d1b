"""A workload's certificate, and what the command service is told, in an attacker's hands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing
from ecarus.remotecontrol.access.v1 import order_signing_service_pb2_grpc as signing_grpc
from ecarus.remotecontrol.door.v1 import door_status_service_pb2, door_status_service_pb2_grpc
from ecarus.remotecontrol.vehicle.v1 import command_pb2
from envoy_ext_authz import external_auth_pb2, external_auth_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.pki import CertificateIdentity
from services import registry
from services.telematics.order_mac import OrderMac
from tests.attacks.people import certified, credentials
from tests.attacks.sandbox import workload_pair
from tests.attacks.stolen import REFUSED, channel_to, code_as, code_of
from tests.attacks.test_ended_rights import finish
from tests.support.app import PUBLISHED_KEY, SAMPLE, App, Car
from tests.support.running_mesh import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.bystander import BystanderProbe
    from tests.attacks.hostile_car import HostileCar
    from tests.support.running_mesh import Mesh


pytestmark = [pytest.mark.system, pytest.mark.untimed]


REVOCATION_SECONDS = 15.0
"""The list is read every 2 s; the rest is what a busy machine adds to seven services one after the other."""


CHECK = "/envoy.service.auth.v3.Authorization/Check"


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
    return str(told["x-ecarus-capability"].value)


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
