"""Settings of webhooks: what is needed, and bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from services.live_updates.ids import UpdateIds
from services.notification.adapters.webhooks.opening import update_ids_of, webhook_caller
from services.notification.adapters.webhooks.settings import WebhookSettings
from services.notification.adapters.webhooks.urls import PrivateAddresses
from services.notification.domain.webhooks import DisableRule
from services.platform.settings import SettingsError, load
from services.status.adapters.event_ids import EventIds
from services.status.domain.updates import LogPosition, base36
from tests.support.clocks import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def needed(tmp_path: Path) -> dict[str, str]:
    for name in ("webhook", "ids"):
        (tmp_path / name).write_text(f"{name} " + "x" * 32)
    return {
        "DOORS_WEBHOOK_KEY": str(tmp_path / "webhook"),
        "DOORS_UPDATE_ID_KEY": str(tmp_path / "ids"),
    }


def test_there_are_safe_defaults(needed: dict[str, str]) -> None:
    settings = load(WebhookSettings, needed)
    assert settings.webhook_urls.private is PrivateAddresses.NONE
    assert settings.webhook_disable_rule == DisableRule(20, timedelta(hours=24))
    assert (settings.webhook_concurrency, settings.webhook_per_host) == (64, 8)
    assert webhook_caller(settings, FakeClock())
    assert not update_ids_of(settings).opened("x")


@pytest.mark.parametrize("missing", ["DOORS_WEBHOOK_KEY", "DOORS_UPDATE_ID_KEY"])
def test_keys_are_needed(needed: dict[str, str], missing: str, tmp_path: Path) -> None:
    without = {name: value for name, value in needed.items() if name != missing}
    with pytest.raises(SettingsError, match=missing):
        load(WebhookSettings, without)
    (tmp_path / "short").write_text("x" * 31)
    settings = load(WebhookSettings, {**needed, missing: str(tmp_path / "short")})
    with pytest.raises(SettingsError, match=missing):
        webhook_caller(settings, FakeClock()), update_ids_of(settings)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ALLOW_PRIVATE", "yes"),
        ("CA", "/nowhere"),
        ("SECONDS", "31"),
        ("CONCURRENCY", "1"),
        ("RETRY_HOURS", "73"),
        ("EVENT_DAYS", "2"),
        ("HEARTBEAT_SECONDS", "4"),
        ("DISABLE_FAILURES", "2"),
        ("DISABLE_HOURS", "-1"),
        ("BACKLOG", "999"),
    ],
)
def test_each_has_bounds(needed: dict[str, str], name: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=f"DOORS_WEBHOOK_{name}"):
        load(WebhookSettings, {**needed, f"DOORS_WEBHOOK_{name}": wrong})
    with pytest.raises(SettingsError, match="DOORS_WEBHOOKS_PER_REGISTRANT"):
        load(WebhookSettings, {**needed, "DOORS_WEBHOOKS_PER_REGISTRANT": "0"})


def test_an_event_has_the_id_that_event_streams_tell_it_under() -> None:
    key, created, sequence = b"k" * 32, 1_700_000_000_000_000, 42
    shown = EventIds(key).id_of(LogPosition(base36(created), sequence))
    assert UpdateIds(key).sealed(created, sequence) == shown
    assert UpdateIds(key).opened(shown) == (created, sequence)
