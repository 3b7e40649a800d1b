"""What this service needs from the environment, besides what every service needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, FilePath, field_validator, model_validator

from services.access.domain.grants import SANDBOX_CLIENTS, Source
from services.access.domain.sharing import GrantLimits
from services.platform.settings import ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from pydantic import ValidationInfo


class AccessSettings(ServiceSettings):
    """Each field is read from DOORS_ and its name in capitals.

    The sandbox's rates are wide, so that a person and a test suite do not meet them by accident.
    """

    profile: Literal["sandbox", "production"]
    capability_key: FilePath
    api_key_pepper_file: FilePath
    token_issuer: str = Field(min_length=1)
    token_audience: str = Field(min_length=1)
    token_jwks: FilePath
    token_clients: str | None = Field(default=None, max_length=8_192)
    sandbox_seed: FilePath | None = None
    token_longest_seconds: int = Field(default=3_600, ge=60, le=86_400)
    keys_reread_seconds: float = Field(default=30.0, ge=1, le=60)
    commands_per_minute: int | None = Field(default=None, ge=1)
    cancellations_per_minute: int | None = Field(default=None, ge=10)
    reads_per_minute: int | None = Field(default=None, ge=1)
    refusals_per_minute: int | None = Field(default=None, ge=1)
    unknown_vehicles_per_minute: int | None = Field(default=None, ge=1)
    grants_per_vehicle: int = Field(default=64, ge=1, le=1_000)
    grants_per_giver: int = Field(default=256, ge=1, le=10_000)
    failed_sign_ins_per_minute: int | None = Field(default=None, ge=1)

    @field_validator("token_clients")
    @classmethod
    def _names_clients(cls, value: str | None) -> str | None:
        if value is not None:
            clients_in(value)
        return value

    @model_validator(mode="after")
    def _clients_of_its_own(self) -> Self:
        if self.token_clients is None and not self.is_sandbox:
            raise ValueError(
                "DOORS_TOKEN_CLIENTS names the issuer's clients; only the sandbox has some without"
            )
        return self

    @field_validator("sandbox_seed")
    @classmethod
    def _only_in_the_sandbox(cls, value: FilePath | None, info: ValidationInfo) -> FilePath | None:
        if value is not None and info.data.get("profile") != "sandbox":
            raise ValueError("known keys and grants are for DOORS_PROFILE=sandbox only; remove it")
        return value

    @property
    def is_sandbox(self) -> bool:
        """Whether published keys may open anything."""
        return self.profile == "sandbox"

    @property
    def clients(self) -> Mapping[str, Source]:
        """The source that each of the issuer's clients stands for, by client id."""
        return SANDBOX_CLIENTS if self.token_clients is None else clients_in(self.token_clients)

    @property
    def grant_limits(self) -> GrantLimits:
        """How many grants there may be."""
        return GrantLimits(self.grants_per_vehicle, self.grants_per_giver)

    @property
    def requests_per_minute(self) -> dict[str, int]:
        """The rate of each class."""
        wide = self.is_sandbox
        return {
            "command": self.commands_per_minute or (6_000 if wide else 10),
            "cancel": self.cancellations_per_minute or (6_000 if wide else 60),
            "read": self.reads_per_minute or (60_000 if wide else 120),
            "refused": self.refusals_per_minute or (6_000 if wide else 30),
            "unknown": self.unknown_vehicles_per_minute or (6_000 if wide else 20),
            "failed": self.failed_sign_ins_per_minute or (6_000 if wide else 60),
        }


def clients_in(text: str) -> dict[str, Source]:
    """Return the clients of `id=SOURCE`, with commas between. Raises ValueError."""
    clients: dict[str, Source] = {}
    for entry in text.split(","):
        client_id, _, source = entry.strip().rpartition("=")
        if not client_id or source not in Source.__members__ or client_id in clients:
            raise ValueError(
                f"client=SOURCE,..., each client once, SOURCE one of {', '.join(Source.__members__)}"
            )
        clients[client_id] = Source[source]
    return clients
