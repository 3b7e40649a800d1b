"""What a service needs that ingests what vehicles say: quotas, and how much of what is not understood is kept."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, field_validator

from protocol.subjects import EventKind
from services.platform.dead_letters import LetterLimits
from services.platform.settings import ServiceSettings
from services.telematics.quotas import DEFAULT_QUOTAS, Quota, VehicleQuotas
from services.telematics.senders import VehicleSenders

_QUOTA = re.compile(r"([a-z]+)=(\d{1,6}):(\d{1,6}):(\d{1,7})")
_MOST_MESSAGES = 100_000
_MOST_BYTES = 1_048_576


class VehicleServiceSettings(ServiceSettings):
    """Besides what every service needs.

    `vehicle_quotas` are those that differ from DEFAULT_QUOTAS, as `kind=burst:per minute:bytes`, with commas between.
    """

    vehicle_quotas: str = Field(default="", max_length=1_000)
    vehicle_mute_seconds: float = Field(default=60.0, ge=1, le=86_400)
    dead_letter_bytes: int = Field(default=8_192, ge=256, le=1_048_576)
    dead_letters_per_vehicle: int = Field(default=20, ge=1, le=1_000)
    dead_letter_days: int = Field(default=30, ge=1, le=3_650)

    @field_validator("vehicle_quotas")
    @classmethod
    def _check_quotas(cls, text: str) -> str:
        quotas_of(text)
        return text

    def quotas(self) -> VehicleQuotas:
        """For one consumer."""
        return VehicleQuotas(quotas_of(self.vehicle_quotas), self.vehicle_mute_seconds)

    @property
    def senders(self) -> VehicleSenders:
        """The vehicles whose messages are ingested, within these quotas."""
        return VehicleSenders(self.quotas)

    @property
    def letter_limits(self) -> LetterLimits:
        """For this service's dead letters."""
        return LetterLimits(
            self.dead_letter_bytes, self.dead_letters_per_vehicle, timedelta(days=self.dead_letter_days)
        )


def quotas_of(text: str) -> dict[EventKind, Quota]:
    """Return the quotas that a setting describes. Raises ValueError."""
    quotas = dict(DEFAULT_QUOTAS)
    for each in filter(None, (part.strip() for part in text.split(","))):
        match = _QUOTA.fullmatch(each)
        if match is None or match[1] not in {event.value for event in EventKind}:
            raise ValueError(
                f"{each!r} is not kind=burst:per minute:bytes, with a kind of vehicles' messages"
            )
        burst, per_minute, max_bytes = (int(number) for number in match.groups()[1:])
        if not (1 <= burst <= _MOST_MESSAGES and 1 <= per_minute <= _MOST_MESSAGES):
            raise ValueError(f"{each!r}: 1 to {_MOST_MESSAGES} messages")
        if not 1 <= max_bytes <= _MOST_BYTES:
            raise ValueError(f"{each!r}: 1 to {_MOST_BYTES} bytes")
        quotas[EventKind(match[1])] = Quota(burst, per_minute, max_bytes)
    return quotas
