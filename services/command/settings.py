"""The settings of the command service."""

from __future__ import annotations

from datetime import timedelta

from pydantic import DirectoryPath, Field, FilePath

from services.command.domain.rules import Rules
from services.platform.settings import Target  # noqa: TC001  # pydantic reads the annotations
from services.telematics.settings import VehicleServiceSettings
from services.vehicle_models.catalogue import ModelsFolder  # noqa: TC001  # pydantic reads the annotations


class CommandSettings(VehicleServiceSettings):
    """What this service needs besides."""

    vehicle_keys_target: Target
    signer_target: Target
    cloud_seal_keys: FilePath
    order_mac_key: FilePath
    key_manifests: DirectoryPath
    wake_url: str | None = Field(default=None, pattern=r"^https?://[^/]+")
    command_ttl_seconds: int = Field(default=30, ge=1, le=30)
    estimated_duration_seconds: int = Field(default=5, ge=1, le=30)
    history_retention_days: int = Field(default=90, ge=1, le=3650)
    status_check_retention_days: int = Field(default=30, ge=0, le=3650)
    status_checks_listed: bool = True
    shown_doors_patience_seconds: float = Field(default=2.0, ge=0, le=5)
    fleet_minimum_vehicles: int = Field(default=5, ge=2, le=10_000)
    command_waits: int = Field(default=256, ge=0, le=512)
    command_waits_per_user: int = Field(default=4, ge=0, le=512)
    vehicle_models: ModelsFolder | None = None

    @property
    def rules(self) -> Rules:
        """What the use cases keep to."""
        return Rules(
            timedelta(seconds=self.command_ttl_seconds),
            self.estimated_duration_seconds,
            timedelta(days=self.history_retention_days),
            checks_kept=timedelta(days=self.status_check_retention_days),
            checks_listed=self.status_checks_listed,
        )
