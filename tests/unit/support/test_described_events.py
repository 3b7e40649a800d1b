"""What readers that can fail no test are told fails the test that runs: what is not as the AsyncAPI document says."""

from __future__ import annotations

import json

import pytest

from gateway import messages
from tests.conftest import pytest_runtest_call
from tests.support.chromium import ChromiumPage
from tests.support.described_events import document, note, noted

VIN = "KMHSH81C7LU123456"


@pytest.mark.parametrize("path", ["/api/v1/remotecontrol/events/ws?ticket=x", "/other"])
def test_what_a_page_in_a_browser_is_told_over_its_socket(path: str) -> None:
    page = ChromiumPage(None, "session", "context")  # type: ignore[arg-type]  # it is only told
    created = {"requestId": "1", "url": f"ws://localhost:8080{path}"}
    page.happened({"method": "Network.webSocketCreated", "params": created})
    for text in (messages.unsubscribed("r-1", VIN).decode(), '{"type": "NEWS"}'):
        frame = {"requestId": "1", "response": {"opcode": 1, "payloadData": text}}
        page.happened({"method": "Network.webSocketFrameReceived", "params": frame})
    assert len(noted()) == (path != "/other")


def test_what_a_page_in_a_browser_is_told_by_an_event_source() -> None:
    page = ChromiumPage(None, "session", "context")  # type: ignore[arg-type]  # it is only told
    payload = document()["components"]["messages"]["SystemAlertEvent"]["examples"][0]["payload"]
    for kind in ("SYSTEM_ALERT", "NEWS"):
        told = {"eventId": "x", "eventName": kind, "data": json.dumps(payload)}
        page.happened({"method": "Network.eventSourceMessageReceived", "params": told})
    (fault,) = noted()
    assert "NEWS" in fault


def test_a_test_fails_for_it() -> None:
    running = pytest_runtest_call()
    next(running)
    note("an event of another shape")
    with pytest.raises(pytest.fail.Exception, match="an event of another shape"):
        running.send(None)


def test_a_test_that_fails_anyhow_tells_of_it() -> None:
    running = pytest_runtest_call()
    next(running)
    note("an event of another shape")
    with pytest.raises(AssertionError, match="its own") as failed:
        running.throw(AssertionError("its own"))
    assert failed.value.__notes__ == ["not as the AsyncAPI document says: an event of another shape"]
