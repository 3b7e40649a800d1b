"""What this service needs from the environment, besides what every service needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, FilePath, field_validator, model_validator

from services.access.adapters.dpop import origin_of
from services.access.adapters.issuer_discovery import checked_url
from services.access.adapters.issuer_keys import ALGORITHMS, SUPPORTED_ALGORITHMS
from services.access.domain import abnormal
from services.access.domain.accounts import SANDBOX_CLIENTS, SANDBOX_EMPLOYEE_CLIENTS, Source
from services.access.domain.customer_cases import CaseRule
from services.access.domain.sharing import GrantLimits
from services.access.domain.step_up import SANDBOX, STRICT, table_in
from services.platform.settings import ServiceSettings, grpc_target
from services.registry import WITH_DATABASE
from services.vehicle_models.catalogue import ModelsFolder  # noqa: TC001  # pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from pydantic import ValidationInfo

    from services.access.domain.abnormal import AbnormalKind, AbnormalRule
    from services.access.domain.step_up import Requirement


class AccessSettings(ServiceSettings):
    """Each field is read from DOORS_ and its name in capitals.

    The sandbox's rates are wide, so that a person and a test suite do not meet them by accident.
    """

    profile: Literal["sandbox", "production"]
    capability_key: FilePath
    api_key_pepper_file: FilePath
    token_issuer: str = Field(min_length=1)
    token_audience: str = Field(min_length=1)
    token_discovery_url: Annotated[str, AfterValidator(checked_url)] | None = None
    token_issuer_ca: FilePath | None = None
    token_jwks: FilePath | None = None
    token_keys_fetch_seconds: float = Field(default=60.0, ge=1, le=3_600)
    token_keys_stale_seconds: float = Field(default=14_400.0, ge=60, le=604_800)
    token_algorithms: str = Field(default=",".join(ALGORITHMS), max_length=64)
    token_leeway_seconds: int = Field(default=30, ge=0, le=120)
    token_clients: str | None = Field(default=None, max_length=8_192)
    sandbox_seed: FilePath | None = None
    step_up: str | None = Field(default=None, max_length=8_192)
    employee_clients: str | None = Field(default=None, max_length=8_192)
    cases: CaseRule = CaseRule.VOUCHED
    dpop_clients: str = Field(default="", max_length=8_192)
    public_origins: str = Field(default="", max_length=4_096)
    token_longest_seconds: int = Field(default=3_600, ge=60, le=86_400)
    keys_reread_seconds: float = Field(default=30.0, ge=1, le=60)
    commands_per_minute: int | None = Field(default=None, ge=1)
    commands_per_user_per_minute: int | None = Field(default=None, ge=1)
    commands_per_agent_per_minute: int | None = Field(default=None, ge=1)
    commands_per_client_per_minute: int | None = Field(default=None, ge=1)
    commands_per_address_per_minute: int | None = Field(default=None, ge=1)
    rate_shares: int = Field(default=1, ge=1, le=64)
    cancellations_per_minute: int | None = Field(default=None, ge=10)
    reads_per_minute: int | None = Field(default=None, ge=1)
    sessions_per_minute: int | None = Field(default=None, ge=1)
    refusals_per_minute: int | None = Field(default=None, ge=1)
    unknown_vehicles_per_minute: int | None = Field(default=None, ge=1)
    abnormal_access: str | None = Field(default=None, max_length=1_024)
    country_header: str = Field(default="", pattern=r"^[a-z0-9-]{0,64}$")
    grants_per_vehicle: int = Field(default=64, ge=1, le=1_000)
    grants_per_giver: int = Field(default=256, ge=1, le=10_000)
    failed_sign_ins_per_minute: int | None = Field(default=None, ge=1)
    rights_retention_days: int = Field(default=365, ge=1, le=3_650)
    audit_retention_days: int = Field(default=1_095, ge=1, le=3_650)
    erasure_waiting_seconds: int | None = Field(default=None, ge=0, le=2_592_000)
    subject_data_targets: str = Field(default="", max_length=8_192)
    vehicle_models: ModelsFolder | None = None

    @field_validator("token_clients")
    @classmethod
    def _names_clients(cls, value: str | None) -> str | None:
        if value is not None:
            clients_in(value)
        return value

    @field_validator("step_up")
    @classmethod
    def _names_lines(cls, value: str | None) -> str | None:
        if value is not None:
            table_in(value, STRICT)
        return value

    @field_validator("token_algorithms")
    @classmethod
    def _names_algorithms(cls, value: str) -> str:
        algorithms_in(value)
        return value

    @field_validator("abnormal_access")
    @classmethod
    def _names_rules(cls, value: str | None) -> str | None:
        if value is not None:
            abnormal.rules_in(value, abnormal.STRICT)
        return value

    @model_validator(mode="after")
    def _keys_from_one_place(self) -> Self:
        if (self.token_discovery_url is None) == (self.token_jwks is None):
            raise ValueError(
                "either DOORS_TOKEN_DISCOVERY_URL says where the issuer's metadata are, or DOORS_TOKEN_JWKS names a "
                "file with its keys"
            )
        if self.token_keys_stale_seconds < self.token_keys_fetch_seconds:
            raise ValueError(
                "DOORS_TOKEN_KEYS_STALE_SECONDS must not be less than DOORS_TOKEN_KEYS_FETCH_SECONDS"
            )
        return self

    @field_validator("public_origins")
    @classmethod
    def _names_origins(cls, value: str) -> str:
        for each in filter(None, (part.strip() for part in value.split(","))):
            origin_of(each)
        return value

    @model_validator(mode="after")
    def _bound_clients_are_clients(self) -> Self:
        if unknown := sorted(self.bound_clients - self.clients.keys() - self.employees):
            raise ValueError(
                f"DOORS_DPOP_CLIENTS names {', '.join(unknown)}, which DOORS_TOKEN_CLIENTS does not"
            )
        return self

    @model_validator(mode="after")
    def _employees_are_nobodys_customers(self) -> Self:
        if both := sorted(self.employees & self.clients.keys()):
            raise ValueError(
                f"DOORS_EMPLOYEE_CLIENTS and DOORS_TOKEN_CLIENTS both name {', '.join(both)}: employees have a client "
                "of their own"
            )
        return self

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
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms of the issuer's signatures that are taken."""
        return algorithms_in(self.token_algorithms)

    @property
    def clients(self) -> Mapping[str, Source]:
        """The source that each of the issuer's clients stands for, by client id."""
        return SANDBOX_CLIENTS if self.token_clients is None else clients_in(self.token_clients)

    @property
    def employees(self) -> frozenset[str]:
        """The issuer's clients whose tokens are employees'."""
        if self.employee_clients is None:
            return SANDBOX_EMPLOYEE_CLIENTS if self.is_sandbox else frozenset()
        return frozenset(filter(None, (each.strip() for each in self.employee_clients.split(","))))

    @property
    def abnormal_rules(self) -> Mapping[AbnormalKind, AbnormalRule]:
        """What counts as abnormal access, and what follows."""
        defaults = abnormal.SANDBOX if self.is_sandbox else abnormal.STRICT
        return defaults if self.abnormal_access is None else abnormal.rules_in(self.abnormal_access, defaults)

    @property
    def grant_limits(self) -> GrantLimits:
        """How many grants there may be."""
        return GrantLimits(self.grants_per_vehicle, self.grants_per_giver)

    @field_validator("subject_data_targets")
    @classmethod
    def _names_services(cls, value: str) -> str:
        targets_in(value)
        return value

    @property
    def data_targets(self) -> dict[str, str]:
        """Where the other services are that keep something about people, by name."""
        return targets_in(self.subject_data_targets)

    @property
    def erasure_waiting(self) -> timedelta:
        """How long a person may take their erasure back."""
        seconds = self.erasure_waiting_seconds
        return timedelta(seconds=(10 if self.is_sandbox else 604_800) if seconds is None else seconds)

    @property
    def bound_clients(self) -> frozenset[str]:
        """The clients whose tokens must be bound to a key."""
        return frozenset(filter(None, (each.strip() for each in self.dpop_clients.split(","))))

    @property
    def origins(self) -> frozenset[str]:
        """The origins under which clients call, where Envoy is not told of them; none where it is."""
        return frozenset(
            origin_of(each)
            for each in filter(None, (part.strip() for part in self.public_origins.split(",")))
        )

    @property
    def step_up_table(self) -> Mapping[str, Requirement]:
        """How strongly and how recently a person must have signed in for what."""
        defaults = SANDBOX if self.is_sandbox else STRICT
        return defaults if self.step_up is None else table_in(self.step_up, defaults)

    @property
    def requests_per_minute(self) -> dict[str, int]:
        """The rate of each class, as far as this replica gives it."""
        wide = self.is_sandbox
        whole = {
            "command": self.commands_per_minute or (6_000 if wide else 10),
            "user": self.commands_per_user_per_minute or (60_000 if wide else 30),
            "agent": self.commands_per_agent_per_minute or (60_000 if wide else 60),
            "client": self.commands_per_client_per_minute or (600_000 if wide else 60_000),
            "address": self.commands_per_address_per_minute or (600_000 if wide else 600),
            "cancel": self.cancellations_per_minute or (6_000 if wide else 60),
            "read": self.reads_per_minute or (60_000 if wide else 120),
            "session": self.sessions_per_minute or (6_000 if wide else 120),
            "refused": self.refusals_per_minute or (6_000 if wide else 30),
            "unknown": self.unknown_vehicles_per_minute or (6_000 if wide else 20),
            "failed": self.failed_sign_ins_per_minute or (6_000 if wide else 60),
        }
        return {name: -(-rate // self.rate_shares) for name, rate in whole.items()}


def algorithms_in(text: str) -> tuple[str, ...]:
    """Return the algorithms, which have commas between. Raises ValueError."""
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(SUPPORTED_ALGORITHMS) or len(set(names)) < len(names):
        raise ValueError(
            f"one or several of {', '.join(SUPPORTED_ALGORITHMS)}, each once, with commas between"
        )
    return names


def targets_in(text: str) -> dict[str, str]:
    """Return the addresses of `service=address`, with spaces between: of all other services with a database, or none.

    Raises ValueError.
    """
    if not text.strip():
        return {}
    targets = {}
    for entry in text.split():
        name, _, target = entry.partition("=")
        grpc_target(target)
        targets[name] = target
    others = set(WITH_DATABASE) - {"access"}
    if targets.keys() != others:
        raise ValueError(f"service=address ..., with spaces between, of each of {', '.join(sorted(others))}")
    return targets


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
