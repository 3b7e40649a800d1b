"""What a phone, a call-centre desk and a person beside the car do in the system tests."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.running_mesh import Mesh

PUBLISHED_KEY = "sk_4f9c7b8e2d1a6c0f3e7a9b5d8c1e4f2a7c6d9e0b3f5a8c1d4e7f9b2c6a1e3d"
SAMPLE, ASLEEP, SECOND, FOREIGN = (
    "KMHSH81C7LU123456",
    "KMHSH81C7LU123457",
    "KMHSH81C7LU123458",
    "KMHSH81C7LU654321",
)
WAIT_SECONDS = 45.0
ANSWER_SECONDS = 30.0
"""Far above what it takes: a busy machine is no failure."""
PLAINLY: dict[str, Any] = {"timeout": ANSWER_SECONDS, "verify": NO_TLS}
FINAL = {"SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"}


def eventually(what: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true answer of `what`, asked until then; an edge that is away is no answer yet."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = what()
        except httpx.TransportError as error:
            last = error
        else:
            if last:
                return last
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s; last: {last!r}")


@dataclass
class App:
    """Somebody with a bearer, looking at one vehicle."""

    mesh: Mesh
    vin: str = SAMPLE
    bearer: str = PUBLISHED_KEY

    @property
    def door(self) -> str:
        return f"{self.mesh.base_url}/vehicles/{self.vin}/door"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.bearer}"}

    def get(self, path: str, **query: Any) -> httpx.Response:
        return httpx.get(f"{self.door}/{path}", headers=self.headers, params=query, **PLAINLY)

    def send(self, method: str, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.door}/{path}",
            headers={**self.headers, **headers},
            json=body,
            **PLAINLY,
        )

    def order(self, action: str, doors: list[str] | None = None, **rest: Any) -> httpx.Response:
        """Unlock or lock; `correlation_id` becomes the header."""
        headers = {"X-Correlation-ID": rest.pop("correlation_id")} if "correlation_id" in rest else {}
        return self.send("POST", action, {"targetDoors": doors or ["all"], **rest}, **headers)

    def accepted(self, action: str, doors: list[str] | None = None, **rest: Any) -> dict[str, Any]:
        """What an accepted order is answered with; it is asked again while another command is in flight."""
        answer = eventually(lambda: (a := self.order(action, doors, **rest)).status_code == 202 and a)
        document: dict[str, Any] = answer.json()
        return document

    def done(self, action: str, doors: list[str] | None = None, **rest: Any) -> str:
        """The id of a command that was accepted and has succeeded."""
        command_id: str = self.accepted(action, doors, **rest)["commandId"]
        assert self.end_of(command_id)["status"] == "SUCCESS"
        return command_id

    def command(self, command_id: str) -> dict[str, Any]:
        answer = self.get(f"commands/{command_id}")
        return answer.json() if answer.status_code == 200 else {}

    def end_of(self, command_id: str, seconds: float = 45.0) -> dict[str, Any]:
        """The command once it has its final status."""
        return eventually(lambda: (c := self.command(command_id)).get("status") in FINAL and c, seconds)

    def until(self, command_id: str, status: str) -> dict[str, Any]:
        return eventually(lambda: (c := self.command(command_id)).get("status") == status and c)

    def history(self, **query: Any) -> dict[str, Any]:
        return self.get("history", **query).json()

    def audit(self, period: str = "1h") -> list[dict[str, Any]]:
        """All of the vehicle's audit that this reader sees, newest first; nothing while the ledger is away."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"period": period, "limit": 200}
        while (answer := self.get("audit", **query)).status_code == 200:
            page = answer.json()
            found += page["entries"]
            if "nextPageToken" not in page:
                return found
            query["pageToken"] = page["nextPageToken"]
        return []

    def stream(self, last_event_id: str | None = None) -> Stream:
        headers = {**self.headers, "Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        return Stream(f"{self.door}/updates/stream", headers)


@dataclass
class Car:
    """The simulated car, by its control interface."""

    mesh: Mesh
    vin: str = SAMPLE

    def do(self, path: str, **body: Any) -> None:
        answer = httpx.post(
            f"{self.mesh.control_url}/vehicles/{self.vin}/{path}", json=body or None, **PLAINLY
        )
        assert answer.status_code < 300, answer.text

    def state(self) -> dict[str, Any]:
        return httpx.get(f"{self.mesh.control_url}/vehicles/{self.vin}", **PLAINLY).json()

    def meet(self) -> None:
        """Have it connected, and the cloud know it."""
        self.do("enter-coverage")
        app = App(self.mesh, self.vin)
        eventually(lambda: app.get("status").json().get("connectivity") == "ONLINE")

    def state_locked(self) -> bool:
        """Whether the driver's door is locked."""
        return bool(self.state()["doors"]["driver"]["locked"])

    def actuations(self, command_id: str | None = None) -> list[dict[str, Any]]:
        """The ground truth: what the car wrote beside every movement."""
        lines = httpx.get(f"{self.mesh.control_url}/vehicles/{self.vin}/actuations", **PLAINLY).json()
        return [line for line in lines if command_id is None or line["command_id"] == command_id]

    def moved(self, command_id: str) -> set[str]:
        """The doors this command moved."""
        return {
            line["door"]
            for line in self.actuations(command_id)
            if line["phase"] == "AFTER" and line["outcome"] == "moved"
        }


def owner_of_a_locked_car(mesh: Mesh, bearer: str = PUBLISHED_KEY) -> App:
    """Somebody whose car is there, locked and quick, with nothing in flight."""
    car = Car(mesh)
    car.do("wake")
    car.meet()
    car.do("door-time", seconds=0)
    owner = App(mesh, bearer=bearer)
    owner.done("lock")
    return owner


class Stream:
    """An open event stream, read by a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.comments: list[str] = []
        self.status: int | None = None
        self.ended = threading.Event()
        self._open = threading.Event()
        self._client = httpx.Client(**PLAINLY)
        self._response: httpx.Response | None = None
        self._thread = threading.Thread(target=self._read, args=(url, headers), daemon=True)
        self._thread.start()
        assert self._open.wait(ANSWER_SECONDS), "the stream did not open"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._client.close()

    def _read(self, url: str, headers: dict[str, str]) -> None:
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._response = response
                self.status = response.status_code
                for event in _events(response.iter_lines(), self._open, self.comments):
                    self.events.append(event)
        except (httpx.HTTPError, httpx.StreamError, RuntimeError):
            return  # closed by the test, or by the server: `ended` tells
        finally:
            self._open.set()
            self.ended.set()

    def wait_for(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        return eventually(lambda: next((e for e in list(self.events) if wanted(e)), None), seconds)


def _events(lines: Iterator[str], opened: threading.Event, comments: list[str]) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in lines:
        opened.set()
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif line.startswith(":"):
            comments.append(line.removeprefix(": "))
        else:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value
