"""What is remembered is bounded, and what was read while a right ended is not kept."""

from __future__ import annotations

import pytest

from services.access.adapters import permission_cache as standings_module
from services.access.adapters.limits import RateLimits
from services.access.adapters.permission_cache import PermissionCache
from services.access.adapters.recent import ExpiringCache
from services.access.domain.permissions import EffectivePermissions
from services.platform.errors import Refusal


def test_the_oldest_makes_room() -> None:
    recent: ExpiringCache[int, str] = ExpiringCache(most=2)
    for number in range(3):
        recent.put(number, str(number), until=10)
    recent.put(2, "again", until=10)
    assert len(recent) == 2
    assert [recent.get(number, 0) for number in range(3)] == [None, "1", "again"]
    assert recent.get(2, 10) is None
    assert len(recent) == 1


def test_the_bucket_that_is_used_least_makes_room() -> None:
    now = 0.0
    limits = RateLimits({"read": 1}, lambda: now, most=2)
    limits.take("read", "busy", "V")
    for number in range(5):
        with pytest.raises(Refusal):
            limits.take("read", "busy", "V")
        limits.take("read", f"other-{number}", "V")
    assert len(limits._buckets["read"]) == 2


async def test_a_standing_read_while_a_right_ended_is_not_kept() -> None:
    loads = 0

    async def load(_subject: str, _actor: str, _vin: str) -> EffectivePermissions:
        nonlocal loads
        loads += 1
        if loads == 1:
            permission_cache.invalidate()
        return EffectivePermissions(frozenset({"door.unlock"}))

    permission_cache = PermissionCache(load, lambda: 0.0)
    for _ in range(3):
        await permission_cache.of("u", "u", "V")
    assert loads == 2


async def test_whoever_tries_vins_pushes_out_nobody_with_a_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings_module, "_MAX_PERMISSIONS", 2)
    monkeypatch.setattr(standings_module, "_MAX_STRANGERS", 2)
    asked: list[str] = []

    async def load(_subject: str, _actor: str, vin: str) -> EffectivePermissions:
        asked.append(vin)
        return EffectivePermissions(frozenset({"door.unlock"}) if vin == "MINE" else frozenset())

    permission_cache = PermissionCache(load, lambda: 0.0)
    await permission_cache.of("u", "u", "MINE")
    for number in range(5):
        await permission_cache.of("stranger", "stranger", str(number))
    asked.clear()
    for vin in ("MINE", "4"):
        await permission_cache.of(
            "u" if vin == "MINE" else "stranger", "u" if vin == "MINE" else "stranger", vin
        )
    assert asked == []
    permission_cache.invalidate()
    await permission_cache.of("stranger", "stranger", "4")
    assert asked == ["4"]


def test_a_flood_of_one_kind_pushes_out_no_bucket_of_another() -> None:
    limits = RateLimits({"failed": 1, "command": 1}, lambda: 0.0, most=2)
    limits.take("command", "owner", "owner", "V")
    for number in range(9):
        limits.take("failed", f"address-{number}")
    with pytest.raises(Refusal):
        limits.take("command", "owner", "owner", "V")
