"""Settings from the environment, checked all at once when a process starts."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, ValidationError

from services.platform.space import LEAST_LOW_SPACE_BYTES, LOW_SPACE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "DOORS_"


_ENDPOINT = re.compile(r"[^:,/\s]+:\d{1,5}")
_BROKER = re.compile(r"(nats|tls)://[^:,/@\s]+(:\d{1,5})?")
_HIGHEST_PORT = 65_535


def broker_urls(text: str) -> list[str]:
    """Return the addresses in DOORS_NATS_URL: `tls://host:port`, one or several with commas between, all of one scheme.

    Raises ValueError.
    """
    urls = [each.strip() for each in text.split(",")]
    if not all(_BROKER.fullmatch(url) for url in urls):
        raise ValueError("must be nats://host:port or tls://host:port, or several with commas between")
    if len({url.partition("://")[0] for url in urls}) > 1:
        raise ValueError("must not mix nats:// and tls://")
    return urls


def grpc_target(text: str) -> str:
    """Return a `Target` as gRPC takes it. Raises ValueError."""
    endpoints = [each.strip() for each in text.split(",")]
    if not all(_is_endpoint(each) for each in endpoints):
        raise ValueError("must be host:port, or several addresses with commas between")
    if all(_is_ipv4(each.partition(":")[0]) for each in endpoints):
        return f"ipv4:{','.join(endpoints)}"
    if len(endpoints) > 1:
        raise ValueError("must list IPv4 addresses; one name may stand for several addresses by itself")
    return f"dns:///{endpoints[0]}"


def _is_endpoint(text: str) -> bool:
    return _ENDPOINT.fullmatch(text) is not None and int(text.rpartition(":")[2]) <= _HIGHEST_PORT


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _checked_target(text: str) -> str:
    grpc_target(text)
    return text


def _checked_brokers(text: str) -> str:
    broker_urls(text)
    return text


Target = Annotated[str, AfterValidator(_checked_target)]
"""Where another service is: `name:port`, all of whose addresses are used, or `10.0.0.1:port,10.0.0.2:port`."""


class SettingsError(Exception):
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
    health_patience_seconds: float = Field(default=10.0, ge=0, le=60)
    revoked_workloads: FilePath | None = None
    revocation_check_seconds: float = Field(default=2.0, ge=0.1, le=60)


class DatabaseSettings(ServerSettings):
    """What a service with a record needs besides."""

    database_url: str = Field(pattern=r"^(sqlite:///|postgresql://)")
    low_space_bytes: int = Field(default=LOW_SPACE_BYTES, ge=LEAST_LOW_SPACE_BYTES, le=1 << 50)


class ServiceSettings(DatabaseSettings):
    """What a service with a record and a broker needs besides."""

    nats_url: Annotated[str, AfterValidator(_checked_brokers)]
    nats_ca: FilePath | None = None
    nats_tls_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]{1,253}$")
    nats_user: str = Field(min_length=1)
    nats_password_file: FilePath
    nats_replicas: int = Field(default=1, ge=1, le=5)
    nats_api_prefix: str = Field(default="$JS.API", pattern=r"^[$\w]+(\.\w+)*$")
    """Under which subjects it reaches JetStream's interface."""
    nats_provision: Literal["self", "await"] = "self"
    """Whether it makes streams and consumers, or waits for those that the enrolment service makes."""
    broker_look_seconds: float = Field(default=5.0, ge=1, le=60)
    broker_silence_seconds: float = Field(default=4.0, ge=1, le=60)
    """After so long without any answer a connection to the broker is taken for dead."""
    audit_target: Target | None = None
    """Where the audit ledger is; without one its entries are not made."""
    broker_patience_seconds: float = Field(default=6.0, ge=0, le=60)
    """How long the broker may be away, or answer nothing, before health says so."""


Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], environ: Mapping[str, str]) -> Model:
    """Read `model`'s fields from DOORS_<NAME> in `environ`.

    Raises SettingsError with a line for every key that is missing or wrong. Values are not
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
        raise SettingsError("\n".join(lines)) from None


def ignored(model: type[BaseModel], environ: Mapping[str, str]) -> list[str]:
    """Return the DOORS_ variables that `model` does not read, by name: mistyped, perhaps, or another service's."""
    read = {PREFIX + name.upper() for name in model.model_fields}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in read)
