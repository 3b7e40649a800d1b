"""A person's simulated phones, registered through the edge, and what their push services gave them."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.app import ANSWER_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

OWNER = "user-123"
TOLD_SECONDS = 60.0
"""Far above what it takes."""


@dataclass
class Phone:
    """One of the owner's simulated phones, registered as its app would."""

    mesh: Mesh
    name: str

    @property
    def inbox(self) -> str:
        return f"http://127.0.0.1:{self.mesh.ports.phones}"

    def messages(self, command_id: str) -> list[dict[str, Any]]:
        """What it received about a command."""
        answer = httpx.get(f"{self.inbox}/phones/{self.name}/inbox", timeout=ANSWER_SECONDS).json()
        return [each for each in answer["messages"] if each["data"].get("commandId") == command_id]

    def message(self, command_id: str) -> dict[str, Any]:
        """The first about a command, once it is there."""
        (first, *_more) = eventually(lambda: self.messages(command_id), TOLD_SECONDS)
        return first

    def fail(self, failure: str, **more: int) -> None:
        answer = httpx.post(
            f"{self.inbox}/phones/{self.name}/failures",
            json={"failure": failure, **more},
            timeout=ANSWER_SECONDS,
        )
        assert answer.status_code == 204, answer.text


@dataclass
class PhoneOwner:
    """The owner, signed in."""

    mesh: Mesh
    bearer: str

    def ask(self, path: str, method: str = "GET", body: Any = None) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.mesh.base_url}/notifications{path}",
            headers={"Authorization": f"Bearer {self.bearer}"},
            json=body,
            timeout=ANSWER_SECONDS,
        )

    def devices(self) -> list[str]:
        return [each["deviceId"] for each in self.ask("/devices").json()["devices"]]

    @contextlib.contextmanager
    def phone(self, kind: str) -> Iterator[Phone]:
        """A phone that is registered, and thrown away at the end."""
        phone = Phone(self.mesh, f"phone-{uuid.uuid4().hex[:16]}")
        made = httpx.post(
            f"{phone.inbox}/phones", json={"name": phone.name, "kind": kind}, timeout=ANSWER_SECONDS
        )
        assert made.status_code == 201, made.text
        registered = self.ask(f"/devices/{phone.name}", "PUT", made.json())
        assert registered.status_code == 200, registered.text
        try:
            yield phone
        finally:
            self.ask(f"/devices/{phone.name}", "DELETE")
            httpx.delete(f"{phone.inbox}/phones/{phone.name}", timeout=ANSWER_SECONDS)
