"""Somebody with access to the network, or one user with a bearer, takes all there is to take: connections, streams,
attempts. Everybody else goes on, and can come anew.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from mesh.sandbox import Sandbox
from tests.attacks.people import bearer, owner_of
from tests.attacks.stolen import code_as
from tests.support.app import App

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.attacks.bystander import BystanderProbe
    from tests.attacks.hostile_car import HostileCar
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

ATTACKERS_ADDRESS = "127.0.0.2"
SILENT_AT_THE_EDGE = 10_200
SILENT_AT_THE_BROKER = 1_500
STREAMS = 150
NEW_CONNECTION_SECONDS = 3.0


def silent(port: int, count: int, begin: bytes = b"") -> list[socket.socket]:
    """So many connections that say nothing, or only begin; as many as are let in."""
    held: list[socket.socket] = []
    for _ in range(count):
        one = socket.socket()
        one.settimeout(2)
        try:
            one.bind((ATTACKERS_ADDRESS, 0))
            one.connect(("127.0.0.1", port))
            if begin:
                one.sendall(begin)
        except OSError:
            one.close()
            break
        held.append(one)
    return held


def let_go(held: list[socket.socket]) -> None:
    for one in held:
        one.close()


def comes_anew(bystander: BystanderProbe) -> None:
    """Over HTTP and HTTPS, on connections of their own."""
    for url in (bystander.mesh.base_url, bystander.mesh.https_url):
        began = time.monotonic()
        with httpx.Client(verify=_trust(bystander.mesh), timeout=10, trust_env=False) as client:
            answer = client.get(f"{url}/vehicles/{bystander.vin}/door/status", headers=bystander.headers)
        assert answer.status_code == 200
        assert time.monotonic() - began < NEW_CONNECTION_SECONDS


def _trust(mesh: Mesh) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(mesh.ca))


def test_ten_thousand_silent_connections_take_nothing(mesh: Mesh, bystander: BystanderProbe) -> None:
    half = SILENT_AT_THE_EDGE // 2
    with bystander.undisturbed() as probe:
        held = silent(mesh.ports.https, half)
        held += silent(mesh.ports.http, half, b"GET /api/v1/remotecontrol/veh")
        try:
            comes_anew(bystander)
            bystander.see(probe, 4)
        finally:
            let_go(held)


def test_silent_connections_at_the_broker_keep_no_car_out(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    async def comes_in() -> bool:
        async with await hostile_car.connect() as car:
            return car.alive

    with bystander.undisturbed() as probe:
        held = [
            *silent(mesh.ports.nats, SILENT_AT_THE_BROKER),
            *silent(mesh.ports.mqtt, SILENT_AT_THE_BROKER),
        ]
        try:
            assert asyncio.run(comes_in())
            bystander.see(probe, 3)
        finally:
            let_go(held)


def test_one_user_takes_no_more_streams_than_a_user_needs(
    mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar
) -> None:
    """Each comes from a fresh connection; the oldest of the same user give way to the newest."""
    mallory = owner_of(mesh, hostile_car.vin)
    request = (
        f"GET /api/v1/remotecontrol/vehicles/{hostile_car.vin}/door/updates/stream HTTP/1.1\r\n"
        f"Host: localhost\r\nAuthorization: Bearer {mallory.bearer}\r\nAccept: text/event-stream\r\n\r\n"
    ).encode()
    assert mallory.get("diagnostics").status_code in {200, 404, 503}
    with bystander.undisturbed() as probe:
        held: list[socket.socket] = []
        try:
            for _ in range(STREAMS):
                held += silent(mesh.ports.http, 1, request)
            bystander.see(probe, 3)
            still_open = [one for one in held if _streams(one)]
            assert len(still_open) < STREAMS, "every stream was given"
        finally:
            let_go(held)


def _streams(one: socket.socket) -> bool:
    """Whether the answer is a stream that has not ended."""
    one.settimeout(0.001)
    text = b""
    try:
        while part := one.recv(65_536):
            text += part
    except TimeoutError:
        return text.startswith(b"HTTP/1.1 200") and not text.endswith(b"\r\n0\r\n\r\n")
    except OSError:
        return False
    return False


def test_guesses_from_elsewhere_are_their_own_trouble(mesh: Mesh, bystander: BystanderProbe) -> None:
    """Bad bearers and unknown VINs by the hundred."""
    stranger = bearer(mesh, "stranger")
    lines = [
        *(f"Authorization: Bearer sk_{number:064x}" for number in range(300)),
        *(f"Authorization: Bearer {stranger}" for _ in range(300)),
    ]
    with bystander.undisturbed() as probe:
        [guesser] = silent(mesh.ports.http, 1)
        try:
            for number, line in enumerate(lines):
                vin = f"KMHSH81C7LU8{number:05d}"
                ask = f"GET /api/v1/remotecontrol/vehicles/{vin}/door/status HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n"
                guesser.sendall(ask.encode())
            guesser.settimeout(10)
            answered = b""
            while len(re.findall(rb"HTTP/1\.1 \d", answered)) < len(lines):
                part = guesser.recv(1_000_000)
                if not part:
                    break
                answered += part
        finally:
            guesser.close()
        bystander.see(probe, 3)
    assert set(re.findall(rb"HTTP/1\.1 (\d+)", answered)) <= {b"401", b"404", b"429"}
    comes_anew(bystander)


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Host": "127.0.0.1.evil.example"}],
    ids=["host", "origin", "rebinding"],
)
def test_an_admin_page_answers_no_browser(mesh: Mesh, headers: dict[str, str]) -> None:
    """Not one that a foreign page sends, and not by a name that was bound to this address."""
    page = f"{mesh.control_url}/vehicles"
    answer = httpx.get(page, headers=headers, trust_env=False)
    assert answer.status_code == 403, f"{answer.status_code} {answer.text[:100]}"
    assert "access-control-allow-origin" not in answer.headers


def test_other_admin_pages_are_on_no_port(mesh: Mesh) -> None:
    """The broker's ask nobody who they are, so there are none; Envoy's are for who starts it alone."""
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", mesh.ports.nats_monitor)) == errno.ECONNREFUSED
    admin = Sandbox(mesh.data).envoy_admin.stat()
    assert stat.S_ISSOCK(admin.st_mode)
    assert stat.S_IMODE(admin.st_mode) & 0o077 == 0


def test_health_lists_without_a_stack_trace(mesh: Mesh) -> None:
    for service in ("access", "command", "status"):
        code = code_as(mesh, "edge", service, "/grpc.health.v1.Health/List")
        assert code.name in {"OK", "PERMISSION_DENIED", "UNIMPLEMENTED"}, f"{service}: {code}"


def test_the_edge_tells_browsers_to_stay_with_tls(mesh: Mesh, bystander: BystanderProbe) -> None:
    answer = httpx.get(
        f"{mesh.https_url}/vehicles/{bystander.vin}/door/status",
        headers=bystander.headers,
        verify=_trust(mesh),
        trust_env=False,
    )
    assert "max-age" in answer.headers.get("strict-transport-security", "")


def logs(mesh: Mesh) -> Iterator[tuple[str, str]]:
    for path in sorted((mesh.data / "logs").glob("*.log*")):
        yield path.name, path.read_text(encoding="utf-8", errors="replace")


def test_no_log_names_a_vehicle(mesh: Mesh, bystander: BystanderProbe, hostile_car: HostileCar) -> None:
    async def attack() -> None:
        async with await hostile_car.connect() as car:
            await car.publish(f"vehicle.{bystander.vin}.evt.result", b"x")
            await car.listen(f"vehicle.{bystander.vin}.cmd.door")
            await car.flush()

    asyncio.run(attack())
    App(mesh, hostile_car.vin, bearer(mesh, "stranger")).get("status")
    for name, text in logs(mesh):
        for vin in (hostile_car.vin, bystander.vin):
            assert vin not in text, f"{name} names a vehicle"


def test_no_component_is_given_the_shells_environment(mesh: Mesh) -> None:
    """pytest's own variables stand for whatever secret the user's shell holds."""
    for component in ("command", "signer", "nats", "envoy", "vehicles"):
        handed = _environment(mesh.pid_of(component))
        assert "PYTEST_CURRENT_TEST" not in handed, f"{component} was given everything"


def _environment(pid: int) -> set[str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return {line.partition("=")[0] for line in text.split("\0") if line}
