"""The manifests that a vehicle lacks: how they reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from protocol.subjects import CommandKind
from services.command.adapters.session_requests import sealed
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.platform.jetstream import Broker
    from services.telematics.keys import VehicleKeyDirectory
    from services.telematics.manifest_files import ManifestFile


_log = structlog.get_logger()


class ManifestDelivery:
    """Brings vehicles the key manifests that they lack. `files` are all there are, oldest first."""

    def __init__(
        self,
        files: Sequence[ManifestFile],
        keys: VehicleKeyDirectory,
        broker: Broker,
        now: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._keys = keys
        self._broker = broker
        self._now = now

    async def bring(self, vin: str, version: int, occasion: str) -> None:
        """Send what follows the vehicle's version. `occasion` is the id of the message that told it. Raises
        StorageUnavailableError when nobody can tell the vehicle's keys.
        """
        lacking = [file for file in self._files if file.version > version]
        if not lacking:
            return
        await self._keys.fetch([vin])
        keys = self._keys.find(vin)
        if keys is None:
            return
        _log.info("manifests_sent", vin=masked_id(vin), versions=[file.version for file in lacking])
        await self._broker.publish_all(
            [
                sealed(
                    vin, keys, CommandKind.KEYS, f"keys.{file.version}.{occasion}", file.endorsed, self._now()
                )
                for file in lacking
            ]
        )
