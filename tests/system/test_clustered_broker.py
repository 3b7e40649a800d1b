"""The product on a broker of three nodes with all its accounts, configured as docs/deployment.md says.

Each node dies once: whatever was kept on one node only, in whichever account, would be missed by a car's command.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import ssl
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import nats
import pytest
import pytest_asyncio
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from mesh import component
from mesh.broker_accounts import STORE_API
from mesh.broker_health import HEALTH_INBOX, HEALTH_QUESTION, SystemAccount, broker_healthy
from mesh.component import MeshComponent, RunningComponent
from mesh.edge_config import ROOT
from mesh.pki import CertificateIdentity, Pki
from mesh.plan import Planner
from mesh.ports import LOOPBACK, Ports
from mesh.sandbox import MONITOR, Sandbox, broker_user
from mesh.sandbox_fleet import MQTT_VIN, SAMPLE_VIN
from protocol.consumers import CONSUMERS
from protocol.streams import MQTT_OWN_STREAMS, STREAMS
from tests.messaging.conftest import nats_binary
from tests.support.app import App, Car, eventually
from tests.support.ports import free_port, free_port_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nats.aio.client import Client

pytestmark = pytest.mark.system
NODES = ("n1", "n2", "n3")
WAIT_SECONDS = 45.0
LOCKABLE = {"driver", "passenger", "rearLeft", "rearRight", "trunk"}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # other processes decide
            await asyncio.sleep(0.1)


@dataclass
class ClusteredMesh:
    """Three nodes, every service, Envoy and the cars, each a process."""

    data: Path
    ports: Ports
    node_ports: dict[str, dict[str, int]] = field(default_factory=dict)
    running: dict[str, RunningComponent] = field(default_factory=dict)
    components: dict[str, MeshComponent] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.http}/api/v1/remotecontrol"

    @property
    def control_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.control}"

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(self.data)

    def urls(self, scheme: str, kind: str) -> str:
        return ",".join(f"{scheme}://{LOOPBACK}:{ports[kind]}" for ports in self.node_ports.values())

    def configure(self) -> None:
        """As the operator does."""
        sandbox = self.sandbox
        sandbox.prepare(datetime.now(UTC))
        pki, nodes = Pki(sandbox.pki, datetime.now(UTC)), []
        for name in NODES:
            names = ("localhost", "nats.ecarus.internal")
            pair = pki.ensure(CertificateIdentity(f"nats-{name}", dns=names, addresses=(LOOPBACK,)))
            ports = self.node_ports[name] = {kind: free_port() for kind in ("nats", "mqtt", "route")}
            listening = {kind: f"{LOOPBACK}:{port}" for kind, port in ports.items()}
            files = {"certificate": str(pair.cert), "key": str(pair.key), "store": str(self.data / name)}
            nodes.append({"name": name, **listening, **files})
        description = {
            "cluster": "doors",
            "clientCa": str(sandbox.broker_clients),
            "vehicleCa": str(sandbox.vehicle_ca),
            "nodeCa": str(pki.ca),
            "mqttReplicas": 1,  # as one that was begun on one node
            "nodes": nodes,
        }
        (self.data / "broker.json").write_text(json.dumps(description))
        words = [sys.executable, "-m", "mesh", "broker-config", self.data / "broker.json"]
        words += ["--out", self.data / "broker", "--secrets", self.data / "secrets"]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert said.split() == [str(self.data / "broker" / f"{name}.conf") for name in NODES]

    def plan(self) -> None:
        """Everything there is to run: what `make run` starts, but the broker."""
        account = SystemAccount(
            broker_user(MONITOR), self.sandbox.nats_password(MONITOR), self._pair(MONITOR)
        )
        for name in NODES:
            port = self.node_ports[name]["nats"]
            self.components[name] = MeshComponent(
                name=name,
                command=(nats_binary(), "-c", str(self.data / "broker" / f"{name}.conf")),
                environment={"PATH": os.environ["PATH"]},
                log=self.data / "logs" / f"{name}.log",
                probe=lambda port=port: broker_healthy(port, self.sandbox.pki / "ca.crt", account),
            )
        plan = Planner(self.ports, self.sandbox, dict(os.environ)).plan()
        brokers = {"DOORS_NATS_URL": self.urls("tls", "nats"), "DOORS_MQTT_URL": self.urls("mqtts", "mqtt")}
        assert plan.issuer is not None
        for one in (plan.issuer, *plan.services, plan.vehicles, plan.envoy):
            told = {name: url for name, url in brokers.items() if name in one.environment}
            # Code that is compiled already starts on a busy machine in time.
            kept = {name: value for name, value in one.environment.items() if name != "PYTHONPYCACHEPREFIX"}
            self.components[one.name] = dataclasses.replace(one, environment={**kept, **told})

    def _pair(self, name: str) -> Any:
        return Pki(self.sandbox.pki, datetime.now(UTC)).pair(name)

    async def start(self, *names: str) -> None:
        async def one(name: str) -> None:
            self.running[name] = await RunningComponent.start(self.components[name], ROOT)
            await self.running[name].until_ready(self.components[name].probe())

        await asyncio.gather(*(one(name) for name in names))

    async def start_all(self) -> None:
        await self.start(*NODES)
        await self.start(*(name for name in self.components if name not in (*NODES, "vehicles", "envoy")))
        await self.start("vehicles", "envoy")

    async def restart(self, name: str, **settings: str) -> None:
        """With other settings."""
        await self.running[name].stop()
        before = self.components[name]
        self.components[name] = dataclasses.replace(before, environment={**before.environment, **settings})
        await self.start(name)

    async def kill(self, name: str) -> None:
        self.running[name].kill()
        await self.running[name].wait()

    async def close(self) -> None:
        for running in self.running.values():
            running.kill()
        await asyncio.gather(*(running.wait() for running in self.running.values()))

    async def layout(self) -> dict[str, tuple[int, int]]:
        """Of each stream and durable consumer, with the rights of the service that makes them: on how many nodes it is
        to be, and how many besides the leader have all of it.
        """
        client = await self._connect("enrolment")
        try:
            jetstream = client.jetstream(prefix=STORE_API, timeout=3)
            found = {}
            for stream in (*STREAMS, *MQTT_OWN_STREAMS):
                info = await jetstream.stream_info(stream)
                found[stream] = (info.config.num_replicas or 1, _current(info))
            for consumer in CONSUMERS.values():
                of_consumer = await jetstream.consumer_info(consumer.stream, consumer.name)
                found[f"{consumer.stream} {consumer.name}"] = (
                    of_consumer.config.num_replicas or found[consumer.stream][0],
                    _current(of_consumer),
                )
            return found
        finally:
            await client.close()

    async def _connect(self, name: str) -> Client:
        tls = ssl.create_default_context(cafile=str(self.sandbox.pki / "ca.crt"))
        pair = self._pair(name)
        tls.load_cert_chain(pair.cert, pair.key)
        return await nats.connect(
            self.urls("tls", "nats").split(","),
            user=broker_user(name),
            password=self.sandbox.nats_password(name).read_text(),
            tls=tls,
            inbox_prefix=f"_INBOX.{name}",
            max_reconnect_attempts=3,
            error_cb=_quiet,
        )

    async def healthy(self) -> set[str]:
        """The nodes that say of all that they keep that they have it."""
        client, found = await self._connect(MONITOR), set()
        try:
            answers = await client.subscribe(HEALTH_INBOX)
            await client.publish(HEALTH_QUESTION, reply=HEALTH_INBOX)
            for _node in NODES:
                answer = json.loads((await answers.next_msg(2)).data)
                if answer["data"]["status"] == "ok":
                    found.add(answer["server"]["name"])
            return found
        finally:
            await client.close()

    async def is_spread(self) -> bool:
        """Everything is on all three nodes, up to date: as leaders see it, and as each node says of itself.

        A follower of what waits for vehicles takes up to ten seconds more than its leader knows.
        """
        try:
            return set((await self.layout()).values()) == {(3, 2)} and await self.healthy() == set(NODES)
        except (NatsError, APIError, TimeoutError, OSError):
            return False


async def _quiet(_error: Exception) -> None:
    return


def _current(info: Any) -> int:
    if info.cluster is None or not info.cluster.leader:
        return -1
    return sum(bool(one.current and not one.offline) for one in info.cluster.replicas or ())


@pytest_asyncio.fixture
async def clustered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ClusteredMesh]:
    monkeypatch.setattr(component, "READY_TIMEOUT_SECONDS", 120.0)
    mesh = ClusteredMesh(tmp_path / "doors", Ports(free_port_base()))
    try:
        mesh.configure()
        mesh.plan()
        await mesh.start_all()
        yield mesh
    finally:
        await mesh.close()


def finish(mesh: ClusteredMesh, vin: str, action: str, *, after_a_death: bool = False) -> None:
    """A command ends in SUCCESS, and the doors moved; one that is refused for the moment is asked again.

    After a node's death one may end in TIMEOUT: a car that was on that node is out of reach until it is let in at
    another, and all that was on the dead one has new leaders.
    """
    app, car = App(mesh, vin), Car(mesh, vin)
    correlation_id = f"t-{uuid.uuid4()}"
    answer = eventually(
        lambda: (a := app.order(action, correlation_id=correlation_id)).status_code == 202 and a, WAIT_SECONDS
    )
    ended = app.end_of(answer.json()["commandId"])
    if after_a_death and ended["status"] == "TIMEOUT":
        finish(mesh, vin, action)
        return
    assert ended["status"] == "SUCCESS", ended
    assert car.moved(ended["commandId"]) == LOCKABLE


async def both_obey(mesh: ClusteredMesh, *, after_a_death: bool = False) -> None:
    """The car on NATS and the car on MQTT."""
    for action in ("unlock", "lock"):
        await asyncio.gather(
            *(
                asyncio.to_thread(finish, mesh, vin, action, after_a_death=after_a_death)
                for vin in (SAMPLE_VIN, MQTT_VIN)
            )
        )
        after_a_death = False


@pytest.mark.timeout(480)
async def test_whichever_node_dies_commands_go_on_and_what_is_spread_stays_so(
    clustered: ClusteredMesh,
) -> None:
    for vin in (SAMPLE_VIN, MQTT_VIN):
        await asyncio.to_thread(Car(clustered, vin).do, "door-time", seconds=0.05)
    await both_obey(clustered)
    assert {nodes for nodes, _current in (await clustered.layout()).values()} == {1}

    await clustered.restart("enrolment", DOORS_NATS_REPLICAS="3")
    await until(clustered.is_spread)
    await clustered.restart("enrolment", DOORS_NATS_REPLICAS="1")
    await both_obey(clustered)
    assert {nodes for nodes, _current in (await clustered.layout()).values()} == {3}, "gathered again"
    await until(clustered.is_spread)

    with App(clustered, SAMPLE_VIN).stream() as stream:
        for node in NODES:
            await clustered.kill(node)
            await both_obey(clustered, after_a_death=True)
            seen = {e["data"]["data"].get("commandId") for e in list(stream.events)}
            newest = App(clustered, SAMPLE_VIN).history(action="LOCK", limit=1)["history"][0]["commandId"]
            assert newest in seen or await asyncio.to_thread(
                stream.wait_for, lambda e, newest=newest: e["data"]["data"].get("commandId") == newest, 30
            )
            await clustered.start(node)
            await until(clustered.is_spread)
        assert not stream.ended.is_set()


@pytest.mark.timeout(60)
async def test_a_service_s_certificate_makes_no_node(tmp_path: Path) -> None:
    """Who is a node may do everything at the broker, so the certificate alone is not enough."""
    mesh = ClusteredMesh(tmp_path / "doors", Ports(free_port_base()))
    try:
        mesh.configure()
        mesh.plan()
        await mesh.start(*NODES)
        stolen = (mesh.data / "broker" / "n3.conf").read_text()
        password = mesh.sandbox.broker_secrets.cluster_password.read_text()
        for part in ("crt", "key"):
            stolen = stolen.replace(f"nats-n3.{part}", f"command.{part}")
        stolen = stolen.replace(password, "guessed").replace(str(mesh.data / "n3"), str(mesh.data / "n4"))
        for port in mesh.node_ports["n3"].values():
            stolen = stolen.replace(f":{port}", f":{free_port()}", 1)
        stolen = stolen.replace('"n3"', '"n4"', 1)
        (mesh.data / "broker" / "n4.conf").write_text(stolen)
        forged = dataclasses.replace(
            mesh.components["n3"],
            name="n4",
            command=(nats_binary(), "-c", str(mesh.data / "broker" / "n4.conf")),
            log=mesh.data / "logs" / "n4.log",
        )
        mesh.running["n4"] = await RunningComponent.start(forged, ROOT)

        async def refused() -> bool:
            return "authentication error" in (mesh.data / "logs" / "n1.log").read_text().lower()

        await until(refused)
        assert "n4" not in (mesh.data / "logs" / "n1.log").read_text()
    finally:
        await mesh.close()
