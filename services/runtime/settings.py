"""Settings from the environment, checked all at once when a process starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FilePath, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "DOORS_"


class SettingsRefused(Exception):
    """The environment does not describe a process that can start; one line per key."""


class ServerSettings(BaseModel):
    """What every server needs. Each field is read from DOORS_ and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    listen: str = Field(pattern=r"^[^:]+:\d{1,5}$")
    tls_cert: FilePath
    tls_key: FilePath
    tls_ca: FilePath
    capability_jwks: FilePath
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    drain_seconds: float = Field(default=5.0, ge=0, le=60)


class RoomSettings(ServerSettings):
    """What a room with a record and a broker needs besides."""

    database_url: str = Field(pattern=r"^(sqlite:///|postgresql://)")
    nats_url: str = Field(pattern=r"^(nats|tls)://")
    nats_ca: FilePath | None = None
    nats_user: str = Field(min_length=1)
    nats_password_file: FilePath
    nats_replicas: int = Field(default=1, ge=1, le=5)
    nats_api_prefix: str = Field(default="$JS.API", pattern=r"^[$\w]+(\.\w+)*$")
    """Under which subjects it reaches JetStream's interface."""
    nats_provision: Literal["self", "await"] = "self"
    """Whether it makes streams and consumers, or waits for those that the enrolment service makes."""


Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], environ: Mapping[str, str]) -> Model:
    """Read `model`'s fields from DOORS_<NAME> in `environ`.

    Raises SettingsRefused with a line for every key that is missing or wrong. Values are not
    repeated in it, because some are secrets.
    """
    given = {
        name: environ[PREFIX + name.upper()]
        for name in model.model_fields
        if environ.get(PREFIX + name.upper())
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(str(word) for word in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsRefused("\n".join(lines)) from None
