"""What this room does: one function per intention, and the port it needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from services.config.domain import KEEP_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.config.domain import ChangeRequest, DoorConfig, News

KEEP_NEWS = timedelta(days=8)
"""Longer than the broker keeps a vehicle's events, and so longer than one can be delivered again."""


class ConfigRecord(Protocol):
    """The durable record. Every function raises StorageUnavailable when it can not be relied on."""

    async def find(self, vin: str) -> DoorConfig | None:
        """The vehicle's config; None before the first sight of it."""

    async def first_sight(self, vin: str, at: datetime) -> DoorConfig:
        """The vehicle's config, begun now with the factory's settings if there is none."""

    async def change(self, request: ChangeRequest, at: datetime) -> DoorConfig:
        """Keep the change, its audit entry and the message to the vehicle in one commit.

        A repeat gets the first answer. Raises CorrelationIdReused when the repeat wants something else.
        """

    async def take_in(self, news: Sequence[News], at: datetime) -> None:
        """Keep what vehicles said, in order, each message once, and what is to be sent in return."""

    async def forget(self, answers_before: datetime, news_before: datetime) -> None:
        """Drop what repeats are no longer recognised by."""


async def read_config(record: ConfigRecord, now: Callable[[], datetime], vin: str) -> DoorConfig:
    """The vehicle's settings; asking for them makes the vehicle known."""
    return await record.find(vin) or await record.first_sight(vin, now())


async def change_config(
    record: ConfigRecord, now: Callable[[], datetime], request: ChangeRequest
) -> DoorConfig:
    """The settings after the change. Raises CorrelationIdReused."""
    return await record.change(request, now())


async def hear_vehicles(record: ConfigRecord, now: Callable[[], datetime], news: Sequence[News]) -> None:
    """Take in what vehicles said; safe to repeat."""
    if news:
        await record.take_in(news, now())


async def forget_old(record: ConfigRecord, now: Callable[[], datetime]) -> None:
    """Let go of what no repeat can refer to any more."""
    await record.forget(now() - KEEP_ANSWERS, now() - KEEP_NEWS)
