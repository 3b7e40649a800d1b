"""The owner of another car, who goes on using it while somebody attacks: nothing of that may reach them.

They lock and unlock without a pause, read the status after each command and listen to the event stream. What they were
told is compared with what their car wrote beside each movement.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from mesh.pki import Pair
from mesh.probes import grpc_serving
from services import registry
from tests.support.app import FOREIGN, Car, Stream, eventually
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

OWNER = "user-456"
QUIET_COMMANDS = 4
QUIET_LASTS_SECONDS = 15.0
"""For so long what was measured when all was quiet says how long a command takes."""
COMMANDS_AFTER = 2
EXPECTED = {"STREAM_OPENED", "COMMAND_STATUS_UPDATE", "DOOR_STATUS_UPDATE"}
PACE_SECONDS = 0.25
"""From one command to the next at least: a car has quotas, and nobody presses the button faster for minutes."""
FACTOR = 2.0
"""POST to SUCCESS takes at most so many times as long as when all is quiet."""
MEDIAN_FLOOR_SECONDS = 1.0
LONGEST_FLOOR_SECONDS = 6.0
"""Where quiet is a few milliseconds a busy machine alone makes it twice as many: what blocks one car behind another
takes from ten seconds to minutes, so these tell it apart all the same.
"""
GIVEN_UP_SECONDS = 25.0
"""Below the time after which a command ends by itself."""
_LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Done:
    """One command from POST to SUCCESS on the stream, and how long until the status read showed it."""

    command_id: str
    seconds: float


@dataclass
class Probe:
    """What the bystander does, from the first command to the last."""

    done: list[Done] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(each.seconds for each in self.done)

    @property
    def longest(self) -> float:
        return max(each.seconds for each in self.done)


class BystanderProbe:
    """A person, their car, and a stream that stays open from beginning to end."""

    def __init__(self, mesh: Mesh, vin: str = FOREIGN, owner: str = OWNER) -> None:
        self.timed = True
        """Whether what is done while attacked is compared with a quiet time. Without that it is to be right, and to end
        within GIVEN_UP_SECONDS each time.
        """
        self.mesh = mesh
        self.vin = vin
        self.car = Car(mesh, vin)
        self.door = f"{mesh.base_url}/vehicles/{vin}/door"
        self.headers = {"Authorization": f"Bearer {mesh.token(owner)}"}
        self._client = httpx.Client(
            headers=self.headers, timeout=GIVEN_UP_SECONDS, verify=NO_TLS, trust_env=False
        )
        self._unlocks = False
        self._mine: set[str] = set()
        self._quiet = Probe()
        self._quiet_at = -QUIET_LASTS_SECONDS
        eventually(lambda: self.read("status").status_code == 200)
        self.car.do("enter-coverage")
        eventually(lambda: self.read("status").json().get("connectivity") == "ONLINE")
        self.car.do("door-time", seconds=0)
        self._clear_the_road()

    def close(self) -> None:
        self._client.close()

    def read(self, path: str, **query: Any) -> httpx.Response:
        return self._client.get(f"{self.door}/{path}", params=query)

    @contextmanager
    def undisturbed(self) -> Iterator[Probe]:
        """Attack inside of it. At its end everything that the bystander did and saw must be right, and in time."""
        components = {name: self.mesh.pid_of(name) for name in (*registry.NAMES, "nats", "envoy")}
        with Stream(f"{self.door}/updates/stream", {**self.headers, "Accept": "text/event-stream"}) as stream:
            assert stream.status == 200
            self._clear_the_road()
            quiet = self._when_quiet(stream) if self.timed else None
            probe, stop = Probe(), threading.Event()
            thread = threading.Thread(target=self._go_on, args=(probe, stream, stop), name="bystander")
            thread.start()
            try:
                yield probe
                self.see(probe, COMMANDS_AFTER)
            finally:
                stop.set()
                thread.join()
            assert probe.failure is None, probe.failure
            assert not stream.ended.is_set(), "the bystander's stream was cut"
            self._check_stream(stream, probe)
        self._check_ground_truth(probe)
        self._check_history(probe)
        self.check_health()
        assert {name: self.mesh.pid_of(name) for name in components} == components, (
            "a component was restarted"
        )
        if quiet is not None:
            self._check_times(quiet, probe)

    def see(self, probe: Probe, commands: int, seconds: float = GIVEN_UP_SECONDS * 2) -> None:
        """Wait until the bystander has ended so many commands more; an attack that goes on is in their way."""
        goal, deadline = len(probe.done) + commands, time.monotonic() + seconds
        while len(probe.done) < goal and probe.failure is None and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        assert probe.failure is None, probe.failure
        assert len(probe.done) >= goal, "the bystander's commands do not end"

    def check_health(self) -> None:
        """Every service answers SERVING, and is right: the commands went through."""
        edge = Pair(self.mesh.data / "pki" / "edge.crt", self.mesh.data / "pki" / "edge.key")

        async def ask() -> dict[str, bool]:
            return {
                name: await grpc_serving(self.mesh.ports.service(name), self.mesh.ca, edge)()
                for name in registry.NAMES
            }

        def all_serve() -> bool:
            return all(asyncio.run(ask()).values())

        assert eventually(all_serve, 10), "a service is not SERVING"

    def _clear_the_road(self) -> None:
        """Nothing of before is in flight."""
        answer = eventually(
            lambda: (
                (a := self._client.post(f"{self.door}/lock", json=_body("lock"))).status_code == 202 and a
            ),
            45,
        )
        command_id = answer.json()["commandId"]
        self._mine.add(command_id)
        eventually(lambda: self.read(f"commands/{command_id}").json().get("status") == "SUCCESS")
        self._unlocks = True

    def _when_quiet(self, stream: Stream) -> Probe:
        if time.monotonic() - self._quiet_at > QUIET_LASTS_SECONDS:
            self._quiet = Probe([self._command(stream) for _ in range(QUIET_COMMANDS)])
            self._quiet_at = time.monotonic()
        return self._quiet

    def _go_on(self, probe: Probe, stream: Stream, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                probe.done.append(self._command(stream))
            except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
                probe.failure = f"after {len(probe.done)} commands: {type(error).__name__}: {error}"
                return

    def _command(self, stream: Stream) -> Done:
        action = "unlock" if self._unlocks else "lock"
        seen = len(stream.events)
        began = time.monotonic()
        answer = self._client.post(
            f"{self.door}/{action}",
            json=_body(action),
            headers={"X-Correlation-ID": f"bystander-{uuid.uuid4()}"},
        )
        assert answer.status_code == 202, f"{action}: {answer.status_code} {answer.text}"
        command_id = answer.json()["commandId"]
        self._mine.add(command_id)
        self._wait_for_success(stream, seen, command_id, began)
        seconds = time.monotonic() - began
        self._status_shows(locked=action == "lock")
        self._unlocks = not self._unlocks
        time.sleep(max(0.0, began + PACE_SECONDS - time.monotonic()))
        return Done(command_id, seconds)

    def _wait_for_success(self, stream: Stream, seen: int, command_id: str, began: float) -> None:
        while True:
            while seen < len(stream.events):
                data = stream.events[seen]["data"]["data"]
                seen += 1
                if data.get("commandId") == command_id and data.get("status") in {
                    "SUCCESS",
                    "FAILED",
                    "TIMEOUT",
                    "CANCELLED",
                }:
                    assert data["status"] == "SUCCESS", f"{command_id}: {data}"
                    return
            assert time.monotonic() - began < GIVEN_UP_SECONDS, (
                f"no SUCCESS of {command_id} on the stream within {GIVEN_UP_SECONDS} s; "
                f"{self.read(f'commands/{command_id}').text}"
            )
            assert not stream.ended.is_set(), "the bystander's stream was cut"
            time.sleep(_LOOK_SECONDS)

    def _status_shows(self, *, locked: bool) -> None:
        deadline = time.monotonic() + GIVEN_UP_SECONDS
        while True:
            answer = self.read("status")
            assert answer.status_code == 200, f"status: {answer.status_code} {answer.text}"
            status = answer.json()
            doors = status["doors"]
            if doors["driver"]["locked"] is locked:
                assert status["connectivity"] == "ONLINE", status
                assert status["stale"] is False, status
                return
            assert time.monotonic() < deadline, f"the status does not show {locked=}: {doors}"
            time.sleep(_LOOK_SECONDS)

    def _check_stream(self, stream: Stream, probe: Probe) -> None:
        own = {each.command_id for each in probe.done}
        events = list(stream.events)
        ids = [event["id"] for event in events]
        assert len(ids) == len(set(ids)), "an event came twice"
        for event in events:
            assert event["data"]["vin"] == self.vin, f"a foreign event: {event}"
            data = event["data"]["data"]
            assert event["event"] in EXPECTED, f"unexpected: {event}"
            if event["event"] == "COMMAND_STATUS_UPDATE":
                assert data["commandId"] in self._mine, f"not the bystander's command: {event}"
        ends = [
            e["data"]["data"]["commandId"] for e in events if e["data"]["data"].get("status") == "SUCCESS"
        ]
        assert own <= set(ends)
        assert len(ends) == len(set(ends)), "a command ended twice"

    def _check_ground_truth(self, probe: Probe) -> None:
        lines = self.car.actuations()
        for each in probe.done:
            moved = {
                line["door"]
                for line in lines
                if line["command_id"] == each.command_id and line["phase"] == "AFTER"
            }
            assert moved == {"driver"}, f"{each.command_id} moved {moved}"

    def _check_history(self, probe: Probe) -> None:
        own = [each.command_id for each in probe.done]
        for command_id in (own[0], own[-1]):
            eventually(lambda wanted=command_id: wanted in self._listed())
        listed = self._listed()
        newest = own[-min(len(own), 50) :]
        assert {command_id: listed.get(command_id) for command_id in newest} == dict.fromkeys(
            newest, "SUCCESS"
        )

    def _listed(self) -> dict[str, str]:
        """The commands of the history by id; one that is listed twice is no history."""
        entries: list[dict[str, Any]] = []
        for action in ("LOCK", "UNLOCK"):
            answer = self.read("history", period="1h", limit=200, action=action)
            assert answer.status_code == 200, answer.text
            entries += answer.json()["history"]
        listed = {entry["commandId"]: entry["status"] for entry in entries}
        assert len(listed) == len(entries), "the history lists a command twice"
        return listed

    def _check_times(self, quiet: Probe, probe: Probe) -> None:
        told = (
            f"POST to SUCCESS quiet {quiet.median:.3f} s (longest {quiet.longest:.3f} s), "
            f"attacked {probe.median:.3f} s (longest {probe.longest:.3f} s) over {len(probe.done)} commands"
        )
        logging.getLogger(__name__).info(told)
        assert probe.median <= max(FACTOR * quiet.median, MEDIAN_FLOOR_SECONDS), told
        assert probe.longest <= max(FACTOR * quiet.longest, LONGEST_FLOOR_SECONDS), told


def _body(action: str) -> dict[str, Any]:
    how = {"unlockMode": "EMERGENCY"} if action == "unlock" else {}
    return {"targetDoors": ["driver"], **how}
