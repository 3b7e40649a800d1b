"""What the simulated phones read from the environment: each field from DOORS_ and its name in capitals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, FilePath, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "DOORS_"


class PhonesSettingsRefusedError(Exception):
    """The environment does not describe phones that may start; one line per key."""


class PhonesSettings(BaseModel):
    """Everything there is to set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    phones_port: int = Field(ge=1_024, le=65_535)
    """The inbox, in plain HTTP."""
    phones_push_port: int = Field(ge=1_024, le=65_535)
    """The push services, over TLS."""
    phones_tls_cert: FilePath
    phones_tls_key: FilePath
    phones_senders: FilePath
    """Who may send (credentials.read_credentials)."""
    phones_file: str = Field(min_length=1)
    """Where the phones are kept."""
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")


def read_settings(environment: Mapping[str, str]) -> PhonesSettings:
    """Return the settings. Raises PhonesSettingsRefusedError; no value is repeated in it."""
    given = {
        name: environment[PREFIX + name.upper()]
        for name in PhonesSettings.model_fields
        if environment.get(PREFIX + name.upper())
    }
    try:
        return PhonesSettings.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise PhonesSettingsRefusedError("\n".join(lines)) from None
