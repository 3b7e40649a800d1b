"""The pages of a subject name what the contract has, and links lead to headings that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.door.v1 import door_diagnostics_pb2, door_failure_pb2, push_device_pb2, webhook_pb2

from services.command.adapters.failure_table import HEADER
from services.notification.domain.notices import NoticeKind
from services.notification.domain.webhooks import EVENT_TYPES
from tests.unit.docs.test_named_files import PAGES

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

ROOT = Path(__file__).resolve().parents[3]
ANCHORED = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Return what GitHub names a page's headings in links."""
    lines = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", lines, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_into_a_page_leads_to_a_heading_of_it(path: Path) -> None:
    links = ANCHORED.findall(path.read_text(encoding="utf-8"))
    pages = [(file, anchor) for file, anchor in links if not file or file.endswith(".md")]
    wrong = [
        f"{file}#{anchor}"
        for file, anchor in pages
        if anchor not in anchors(path.parent / file if file else path)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("diagnostics.md", door_failure_pb2.DoorFailures.DESCRIPTOR),
        ("diagnostics.md", door_failure_pb2.DoorFailureCause.DESCRIPTOR),
        ("diagnostics.md", door_failure_pb2.FailureBucket.DESCRIPTOR),
        ("diagnostics.md", door_failure_pb2.FleetComparison.DESCRIPTOR),
        ("diagnostics.md", door_failure_pb2.LikelyCause.DESCRIPTOR),
        ("diagnostics.md", door_diagnostics_pb2.DiagnosticsChecks.DESCRIPTOR),
        ("diagnostics.md", door_diagnostics_pb2.ComponentTrend.DESCRIPTOR),
        ("diagnostics.md", door_diagnostics_pb2.HealthPoint.DESCRIPTOR),
        *(
            ("webhooks.md", getattr(webhook_pb2, name).DESCRIPTOR)
            for name in (
                *("NewWebhook", "Webhook", "WebhookBacklog", "WebhookList", "WebhookDelivery"),
                *("WebhookDeliveryList", "WebhookReplay", "WebhookReplayResult", "WebhookChallenge"),
                *("WebhookTest", "WebhookHeartbeat", "WebhookDisabled"),
            )
        ),
        ("notifications.md", push_device_pb2.PushDevice.DESCRIPTOR),
        ("notifications.md", push_device_pb2.PushDeviceList.DESCRIPTOR),
        ("notifications.md", push_device_pb2.NewPushDevice.DESCRIPTOR),
        ("notifications.md", push_device_pb2.WebPushKeys.DESCRIPTOR),
        ("notifications.md", push_device_pb2.NotificationPreferences.DESCRIPTOR),
        ("notifications.md", push_device_pb2.QuietHours.DESCRIPTOR),
        ("notifications.md", push_device_pb2.IgnoredPlace.DESCRIPTOR),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_member_of_a_message_is_named(name: str, message: Descriptor) -> None:
    words = set(re.findall(r"\w+", page(name)))
    assert [field.json_name for field in message.fields if field.json_name not in words] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("diagnostics.md", door_failure_pb2.FailureComponent.Value.keys()),
        ("diagnostics.md", door_failure_pb2.FailureCertainty.Value.keys()),
        ("diagnostics.md", door_diagnostics_pb2.DiagnosticsCheckState.Value.keys()),
        ("diagnostics.md", door_diagnostics_pb2.SystemStatus.Value.keys()),
        ("diagnostics.md", door_diagnostics_pb2.ComponentStatus.Value.keys()),
        ("webhooks.md", webhook_pb2.WebhookState.Value.keys()),
        ("webhooks.md", webhook_pb2.WebhookDisabledReason.Value.keys()),
        ("webhooks.md", webhook_pb2.WebhookDeliveryStatus.Value.keys()),
        ("webhooks.md", EVENT_TYPES),
        ("notifications.md", push_device_pb2.PushKind.Value.keys()),
        ("notifications.md", [kind.value for kind in NoticeKind]),
    ],
)
def test_every_word_of_a_list_is_named(name: str, words: list[str]) -> None:
    text = page(name)
    assert [word for word in words if word != "UNSPECIFIED" and f"`{word}`" not in text] == []


def test_the_table_of_failures_has_the_columns_that_the_page_shows() -> None:
    (shown,) = re.findall(r"^```csv\n(.*)$", page("diagnostics.md"), re.MULTILINE)
    assert shown == ",".join(HEADER)
