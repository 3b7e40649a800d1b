"""A client of the WebSocket that knows nothing but the AsyncAPI document, which it reads from the mesh."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import websockets.asyncio.client
from jsonschema import Draft7Validator
from websockets.sync.client import ClientConnection, connect

from tests.support import described_events
from tests.support.app import ANSWER_SECONDS, FOREIGN, SAMPLE, WAIT_SECONDS, App, Car
from tests.support.described_events import SOCKET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def served(mesh: Mesh) -> Any:
    """The document as a mesh serves it, which says where that is."""
    return httpx.get(f"http://127.0.0.1:{mesh.ports.http}/asyncapi.json", timeout=ANSWER_SECONDS).json()


class DescribedSocket:
    """The document's WebSocket: what is asked is made, and what is told is known, by its schemas alone."""

    def __init__(self, document: dict[str, Any], bearer: str) -> None:
        self._document = document
        ((self._name, channel),) = (
            (name, each) for name, each in document["channels"].items() if "ws" in each.get("bindings", {})
        )
        server = self._resolved(channel["servers"][0]["$ref"])
        schemes = [self._resolved(each["$ref"]) for each in server["security"]]
        assert any(each["type"] == "http" and each["scheme"] == "bearer" for each in schemes)
        assert "{" not in server["host"], "who serves it says where that is"
        address = f"{server['protocol']}://{server['host']}{channel['address']}"
        self.connection: ClientConnection = connect(
            address, additional_headers={"Authorization": f"Bearer {bearer}"}, open_timeout=ANSWER_SECONDS
        )

    def _resolved(self, reference: str) -> Any:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return self._resolved(found["$ref"]) if "$ref" in found else found

    def operations(self, action: str) -> list[dict[str, Any]]:
        """What the service does on this channel."""
        of_channel = (
            each
            for each in self._document["operations"].values()
            if each["channel"]["$ref"] == f"#/channels/{self._name}"
        )
        return [each for each in of_channel if each["action"] == action]

    def _is(self, message: Any, reference: str) -> bool:
        schema = {**self._resolved(reference)["payload"], "components": self._document["components"]}
        if "$ref" in schema:  # a reader of draft 7 sees nothing beside a reference
            schema = {"allOf": [{"$ref": schema.pop("$ref")}], **schema}
        return Draft7Validator(schema).is_valid(message)

    def ask(self, verb: str, **given: Any) -> list[tuple[str, dict[str, Any]]]:
        """Ask for it with these members, and return the answers: one for each vehicle, by their messages' names."""
        for operation in self.operations("receive"):
            asked = self._resolved(operation["messages"][0]["$ref"])
            if asked["name"] == verb:
                break
        fixed = {
            name: schema["const"]
            for name, schema in asked["payload"]["properties"].items()
            if "const" in schema
        }
        message = {**fixed, **given}
        assert self._is(message, operation["messages"][0]["$ref"])
        where = asked["correlationId"]["location"].removeprefix("$message.payload#/")
        self.connection.send(json.dumps(message))
        vehicles = next(len(each) for each in given.values() if isinstance(each, list))
        answers: list[tuple[str, dict[str, Any]]] = []
        while len(answers) < vehicles:
            name, answer = self.next([each["$ref"] for each in operation["reply"]["messages"]])
            if answer.get(where) == given[where]:
                answers.append((name, answer))
        return answers

    def next(self, references: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return the next message that is one of these, and its name."""
        while True:
            message = json.loads(self.connection.recv(WAIT_SECONDS))
            names = [each.rpartition("/")[2] for each in references if self._is(message, each)]
            if names:
                (name,) = names
                return name, message


def test_the_document_is_served_as_the_one_of_rest_is(mesh: Mesh) -> None:
    base = f"http://127.0.0.1:{mesh.ports.http}"
    rest, events = (
        httpx.get(f"{base}/{name}.json", timeout=ANSWER_SECONDS) for name in ("openapi", "asyncapi")
    )
    assert (events.status_code, events.json()["asyncapi"]) == (200, "3.0.0")
    own = {"date", "etag", "content-length", "x-correlation-id", "x-envoy-upstream-service-time"}
    assert {k: v for k, v in rest.headers.items() if k not in own} == {
        k: v for k, v in events.headers.items() if k not in own
    }
    again = httpx.get(
        f"{base}/asyncapi.json", headers={"If-None-Match": events.headers["etag"]}, timeout=ANSWER_SECONDS
    )
    assert again.status_code == 304


def test_a_client_subscribes_and_unsubscribes_with_what_the_document_says(mesh: Mesh) -> None:
    Car(mesh).meet()
    owner = App(mesh)
    document = served(mesh)
    socket = DescribedSocket(document, mesh.token("user-123"))
    with socket.connection:
        answers = socket.ask("subscribe", requestId="r-1", vehicles=[{"vin": SAMPLE}, {"vin": FOREIGN}])
        assert {(name, answer["vin"]) for name, answer in answers} == {
            ("Subscribed", SAMPLE),
            ("Refused", FOREIGN),
        }
        accepted = owner.accepted("lock")
        (told,) = (operation["messages"] for operation in socket.operations("send"))
        while True:
            name, message = socket.next([each["$ref"] for each in told])
            if message["data"].get("status") == "SUCCESS":
                break
        assert (name, message["data"]["commandId"]) == ("CommandStatusUpdateMessage", accepted["commandId"])
        answers = socket.ask("unsubscribe", requestId="r-2", vins=[SAMPLE])
        assert [(name, answer["vin"]) for name, answer in answers] == [("Unsubscribed", SAMPLE)]
        socket.connection.send("no message")
        answers_to_all = {
            each["$ref"] for asked in socket.operations("receive") for each in asked["reply"]["messages"]
        }
        assert socket.next(sorted(answers_to_all))[0] == "Error"


async def _told_over(mesh: Mesh, library: str) -> None:
    """Read what a subscription is answered with, by this library."""
    url = f"ws://127.0.0.1:{mesh.ports.http}{described_events.document()['channels'][SOCKET]['address']}"
    headers = {"Authorization": f"Bearer {mesh.token('user-123')}"}
    asked = json.dumps({"action": "subscribe", "vehicles": [{"vin": SAMPLE}]})
    if library == "aiohttp":
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as client:
            await client.send_str(asked)
            await client.receive()
    else:
        async with websockets.asyncio.client.connect(url, additional_headers=headers) as client:
            await client.send(asked)
            await client.recv()


@pytest.mark.parametrize("library", ["httpx", "websockets", "websockets.sync", "aiohttp"])
def test_whatever_reads_what_a_mesh_tells_is_held_to_the_document(
    mesh: Mesh, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fault_of_event", "fault_of_message"):
        monkeypatch.setattr(described_events, name, lambda *_: "looked at")
    if library == "httpx":
        with App(mesh).stream() as stream:
            stream.wait_for(lambda event: event["event"] == "STREAM_OPENED")
    elif library == "websockets.sync":
        socket = DescribedSocket(served(mesh), mesh.token("user-123"))
        with socket.connection:
            socket.ask("subscribe", requestId="r-1", vehicles=[{"vin": SAMPLE}])
    else:
        asyncio.run(_told_over(mesh, library))
    found = described_events.noted()
    assert found
    assert all("looked at" in fault for fault in found)
