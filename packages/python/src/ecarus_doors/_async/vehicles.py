"""What there is to know about a vehicle, and its settings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from ecarus_doors._async.commands import AsyncCommands
from ecarus_doors._async.runtime import sleep
from ecarus_doors._core.results import checked_wait
from ecarus_doors.errors import ConflictError, NotFoundError
from ecarus_doors.models import CommandAction, CommandSource, DoorConfigUpdate, DoorUnlockMode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from ecarus_doors.models import (
        DiagnosticsCheck,
        DoorAudit,
        DoorCapabilities,
        DoorConfig,
        DoorDiagnostics,
        DoorDiagnosticsTrend,
        DoorFailures,
        DoorHistory,
        DoorHistoryEntry,
        DoorStatus,
    )

Period = Literal["1h", "24h", "7d", "30d"]
Ending = Literal["SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"]
RECEIPT_PAUSE = 1.0
LARGEST_PAGE = 200


class AsyncVehicles(AsyncCommands):
    """Status, capabilities, history, settings, diagnostics, failures, audit."""

    async def status(self, vin: str) -> DoorStatus:
        """Return the last state that the vehicle reported; `stale` where that is too long ago."""
        return await self.raw.get_door_status(vin)

    async def capabilities(self, vin: str) -> DoorCapabilities:
        """Return what a vehicle of this model has and can do, and whether it can be reached."""
        return await self.raw.get_door_capabilities(vin)

    async def history(
        self,
        vin: str,
        *,
        period: Period | None = None,
        limit: int | None = None,
        offset: int | None = None,
        action: CommandAction | str | None = None,
        exclude_action: CommandAction | str | None = None,
        status: Ending | None = None,
        source: CommandSource | str | None = None,
        as_of: datetime | None = None,
        page_token: str | None = None,
    ) -> DoorHistory:
        """Return a page of what was asked of the vehicle and how it ended, newest first."""
        return await self.raw.list_command_history(
            vin,
            period=period,
            limit=limit,
            offset=offset,
            action=CommandAction(action) if action else None,
            exclude_action=CommandAction(exclude_action) if exclude_action else None,
            status=status,
            source=CommandSource(source) if source else None,
            as_of=as_of,
            page_token=page_token,
        )

    async def history_entries(
        self,
        vin: str,
        *,
        period: Period | None = None,
        action: CommandAction | str | None = None,
        exclude_action: CommandAction | str | None = None,
        status: Ending | None = None,
        source: CommandSource | str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> AsyncIterator[DoorHistoryEntry]:
        """Yield every entry of all pages, each once, whatever is added meanwhile."""
        token: str | None = None
        while True:
            page = await self.history(
                vin,
                period=period,
                limit=page_size,
                action=action,
                exclude_action=exclude_action,
                status=status,
                source=source,
                page_token=token,
            )
            for entry in page.history:
                yield entry
            token = page.next_page_token
            if token is None:
                return

    async def config(self, vin: str) -> DoorConfig:
        """Return all settings, and whether the vehicle has applied them."""
        return await self.raw.get_door_config(vin)

    async def update_config(
        self,
        vin: str,
        *,
        auto_lock_enabled: bool | None = None,
        auto_lock_delay: int | None = None,
        unlock_mode: DoorUnlockMode | Literal["ALL", "DRIVER_ONLY", "SEQUENCE"] | None = None,
        child_lock_enabled: bool | None = None,
        speed_based_lock_enabled: bool | None = None,
        speed_lock_threshold: int | None = None,
        parking_auto_unlock: bool | None = None,
        unchanged_since: datetime | None = None,
        correlation_id: str | None = None,
    ) -> DoorConfig:
        """Change the named settings; the others stay. `unchanged_since` is the `updated_time` that was read: what
        somebody changed meanwhile is not overwritten, but InvalidRequestError.
        """
        body = DoorConfigUpdate(
            auto_lock_enabled=auto_lock_enabled,
            auto_lock_delay=auto_lock_delay,
            unlock_mode=DoorUnlockMode(unlock_mode) if unlock_mode else None,
            child_lock_enabled=child_lock_enabled,
            speed_based_lock_enabled=speed_based_lock_enabled,
            speed_lock_threshold=speed_lock_threshold,
            parking_auto_unlock=parking_auto_unlock,
            updated_time=unchanged_since,
        )
        return await self.raw.update_door_config(vin, body, correlation_id=correlation_id)

    async def diagnostics(self, vin: str) -> DoorDiagnostics:
        """Return the vehicle's last self-check."""
        return await self.raw.get_door_diagnostics(vin)

    async def check_diagnostics(self, vin: str) -> DiagnosticsCheck:
        """Ask the vehicle to check itself now."""
        return await self.raw.request_self_test(vin)

    async def diagnostics_trend(
        self,
        vin: str,
        *,
        period: Literal["7d", "30d", "90d", "365d"] | None = None,
        component: str | None = None,
        points: int | None = None,
    ) -> DoorDiagnosticsTrend:
        """Return how the health of each component went."""
        return await self.raw.get_door_diagnostics_trend(
            vin, period=period, component=component, points=points
        )

    async def failures(
        self,
        vin: str,
        *,
        period: Literal["24h", "7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
    ) -> DoorFailures:
        """Return why commands failed, counted, with the likely cause."""
        return await self.raw.get_door_failures(vin, period=period, language=language)

    async def failures_csv(
        self,
        vin: str,
        *,
        period: Literal["24h", "7d", "30d", "90d"] | None = None,
        language: Literal["en", "ko"] | None = None,
    ) -> str:
        """Return the same as a table (CSV, RFC 4180)."""
        return await self.raw.get_door_failures_table(vin, period=period, language=language)

    async def audit(
        self,
        vin: str,
        *,
        period: Period | None = None,
        limit: int | None = None,
        page_token: str | None = None,
    ) -> DoorAudit:
        """Return a page of the vehicle's audit, newest first, each entry with a sentence for people."""
        return await self.raw.list_door_audit(vin, period=period, limit=limit, page_token=page_token)

    async def receipt(self, vin: str, command_id: str, *, wait: float | None = None) -> str:
        """Return the receipt of a command that has ended, waiting up to `wait` seconds until there is one."""
        ends = time.monotonic() + checked_wait(wait)
        while True:
            try:
                return await self.raw.get_command_receipt(vin, command_id)
            except (ConflictError, NotFoundError) as error:
                pause = error.retry_after or RECEIPT_PAUSE
                if error.retry_after is None or time.monotonic() + pause > ends:
                    raise
            await sleep(pause)
