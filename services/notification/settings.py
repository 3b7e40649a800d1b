"""What this service is told when it starts."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from services.notification.adapters.senders.settings import PushSettings
from services.notification.adapters.webhooks.settings import WebhookSettings
from services.platform.dead_letters import LetterLimits
from services.platform.settings import ServiceSettings, Target


class NotificationSettings(ServiceSettings, PushSettings, WebhookSettings):
    """Besides what every service needs: whom it asks, the push services, and bounds."""

    access_target: Target
    command_target: Target
    devices_per_person: int = Field(default=10, ge=1, le=100)
    reminder_minutes: int = Field(default=10, ge=1, le=240)
    push_device_days: int = Field(default=270, ge=1, le=3_650)
    dead_letter_bytes: int = Field(default=8_192, ge=256, le=1_048_576)
    dead_letters_per_vehicle: int = Field(default=20, ge=1, le=1_000)
    dead_letter_days: int = Field(default=30, ge=1, le=3_650)

    @property
    def letter_limits(self) -> LetterLimits:
        """For this service's dead letters."""
        return LetterLimits(
            self.dead_letter_bytes, self.dead_letters_per_vehicle, timedelta(days=self.dead_letter_days)
        )
