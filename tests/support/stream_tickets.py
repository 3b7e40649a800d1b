"""Tickets for a vehicle's event stream, as a page asks for them and opens a stream with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.support.app import PLAINLY, SAMPLE, App, Stream

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh


def ticket_of(mesh: Mesh, bearer: str, vin: str | None = SAMPLE) -> str:
    """A ticket for this vehicle's stream; without one, for the WebSocket."""
    answer = httpx.post(
        f"{mesh.base_url}/events/tickets",
        headers={"Authorization": f"Bearer {bearer}"},
        json={} if vin is None else {"vin": vin},
        **PLAINLY,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["ticket"])


def by_ticket(app: App, ticket: str, last_event_id: str | None = None) -> Stream:
    """The app's stream, as an EventSource opens it: no bearer."""
    query = httpx.QueryParams({"ticket": ticket, **({"lastEventId": last_event_id} if last_event_id else {})})
    return Stream(f"{app.door}/updates/stream?{query}", {"Accept": "text/event-stream"})


def refusal_of(
    mesh: Mesh, ticket: str, path: str = f"vehicles/{SAMPLE}/door/updates/stream"
) -> tuple[int, str]:
    """What a ticket that opens nothing is answered."""
    answer = httpx.get(f"{mesh.base_url}/{path}", params={"ticket": ticket}, **PLAINLY)
    return answer.status_code, answer.json()["code"]
