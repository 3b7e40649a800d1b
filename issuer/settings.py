"""What the issuer reads from the environment: each field from DOORS_ and its name in capitals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, FilePath, ValidationError, field_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "DOORS_"
_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1)(:\d{1,5})?")
SANDBOX = "sandbox"


class IssuerSettingsRefusedError(Exception):
    """The environment does not describe an issuer that may start; one line per key."""


class IssuerSettings(BaseModel):
    """Everything there is to set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    profile: str
    issuer_url: str = Field(min_length=1, max_length=256)
    issuer_port: int = Field(ge=1_024, le=65_535)
    issuer_key: FilePath
    issuer_jwks: FilePath
    issuer_seed: FilePath
    issuer_database: str = Field(min_length=1)
    token_audience: str = Field(min_length=1)
    issuer_page_origins: str = Field(default="", max_length=4_096)
    """The origins whose pages may ask for tokens, with commas between."""
    issuer_token_seconds: int = Field(default=600, ge=60, le=3_600)
    log_level: str = Field(default="INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    @field_validator("profile")
    @classmethod
    def _only_the_sandbox(cls, value: str) -> str:
        if value != SANDBOX:
            raise ValueError(f"this issuer is for development: it starts with DOORS_PROFILE={SANDBOX} only")
        return value

    @field_validator("issuer_page_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for each in filter(None, value.split(",")):
            if not _ORIGIN.fullmatch(each):
                raise ValueError("must be origins (http://localhost:PORT) with commas between")
        return value

    @property
    def page_origins(self) -> tuple[str, ...]:
        """The origins whose pages may ask for tokens."""
        return tuple(filter(None, self.issuer_page_origins.split(",")))

    @field_validator("issuer_url")
    @classmethod
    def _on_the_loopback(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "http" or parts.hostname != "localhost" or parts.path:
            raise ValueError(
                "must be http://localhost:PORT: passkeys are for a name, and it listens there only"
            )
        return value


def read_settings(environment: Mapping[str, str]) -> IssuerSettings:
    """Return the settings. Raises IssuerSettingsRefusedError; no value is repeated in it."""
    given = {
        name: environment[PREFIX + name.upper()]
        for name in IssuerSettings.model_fields
        if environment.get(PREFIX + name.upper())
    }
    try:
        return IssuerSettings.model_validate(given)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise IssuerSettingsRefusedError("\n".join(lines)) from None
