"""Three real nats-servers that are one broker, each on a port of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from services.platform.settings import ServiceSettings
from tests.messaging.conftest import PASSWORD, USER, nats_binary
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from nats.js.client import JetStreamContext

NODES = 3
_START_SECONDS = 60


@dataclass(slots=True)
class Node:
    """One of them. What it stored outlives `kill`."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    route_port: int = field(default_factory=free_port)
    mqtt_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        """It keeps its connections and says nothing more."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)


class NatsCluster:
    """The nodes, and what a service needs to know to connect to any of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = [Node(f"n{number}", folder / f"n{number}") for number in range(NODES)]
        (folder / "password").write_text(PASSWORD)

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def settings(self, replicas: int = NODES, url: str | None = None) -> ServiceSettings:
        return ServiceSettings.model_construct(
            nats_url=url or self.url,
            nats_ca=None,
            nats_user=USER,
            nats_password_file=self.folder / "password",
            nats_replicas=replicas,
            broker_look_seconds=1.0,
            health_patience_seconds=2.0,
            broker_patience_seconds=2.0,
        )

    def start(self, node: Node) -> None:
        node.folder.mkdir(exist_ok=True)
        config = node.folder / "nats.conf"
        routes = ", ".join(f"nats://127.0.0.1:{each.route_port}" for each in self.nodes)
        config.write_text(
            f"""
            server_name: {node.name}
            listen: "127.0.0.1:{node.port}"
            jetstream {{ store_dir: {json.dumps(str(node.folder / "store"))}, sync_interval: always }}
            cluster {{ name: broker, listen: "127.0.0.1:{node.route_port}", routes: [{routes}] }}
            mqtt {{ listen: "127.0.0.1:{node.mqtt_port}", stream_replicas: 1 }}
            accounts {{
              A {{ jetstream: enabled, users: [ {{ user: {USER}, password: {json.dumps(PASSWORD)} }} ] }}
            }}
            """
        )
        with (node.folder / "nats.log").open("ab") as out:
            node.process = subprocess.Popen([nats_binary(), "-c", str(config)], stdout=out, stderr=out)

    async def start_all(self) -> None:
        for node in self.nodes:
            self.start(node)
        await self.until_ready()

    async def until_ready(self) -> None:
        """There is a leader: somebody makes streams."""
        async with asyncio.timeout(_START_SECONDS):
            while not await self._answers():  # noqa: ASYNC110  # other processes decide
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        try:
            client = await nats.connect(
                [node.url for node in self.nodes if node.process is not None],
                user=USER,
                password=PASSWORD,
                connect_timeout=1,
                max_reconnect_attempts=0,
            )
        except (OSError, NatsError):
            return False
        try:
            await client.jetstream(timeout=1).account_info()
        except (NatsError, APIError, TimeoutError):
            return False
        else:
            return True
        finally:
            await client.close()

    async def leader_of(self, jetstream: JetStreamContext, stream: str) -> Node:
        info = await jetstream.stream_info(stream)
        assert info.cluster is not None
        return next(node for node in self.nodes if node.name == info.cluster.leader)

    def kill_all(self) -> None:
        for node in self.nodes:
            node.kill()
