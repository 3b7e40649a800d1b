"""What the sandbox knows from the start: vehicles, grants and keys from a file, put in at every start."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from protocol.subjects import VIN_PATTERN
from services.access.adapters import store
from services.access.adapters.identity import KEY_PREFIX, key_hash
from services.access.domain.accounts import Source  # noqa: TC001  # pydantic reads it
from services.access.domain.consents import ASKED, LANGUAGES, ConsentPurpose, GivenText
from services.access.domain.grants import GrantRole, NewGrant
from services.access.domain.key_scopes import WORDS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


SEEDED_BY = "sandbox-seed"
SANDBOX_SOURCE = "SANDBOX_SEED"
"""How the sandbox's people gave their consents: by starting it."""
_Vin = Annotated[str, Field(pattern=f"^{VIN_PATTERN}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _SeedGrant(_Entry):
    grant_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    principal: str = Field(min_length=1, max_length=128)
    vin: _Vin
    role: GrantRole


class _SeedKey(_Entry):
    key: str = Field(pattern=rf"^{KEY_PREFIX}[A-Za-z0-9._~+/-]{{22,}}$")
    principal: str = Field(min_length=1, max_length=128)
    source: Source
    valid_seconds: int | None = Field(default=None, gt=0)
    scopes: list[str] = Field(default=[], max_length=32)

    @field_validator("scopes")
    @classmethod
    def _of_words(cls, value: list[str]) -> list[str]:
        if surplus := sorted(set(value) - WORDS):
            raise ValueError(f"{', '.join(surplus)}: no words of a key's scope")
        return value


class _SeedConsent(_Entry):
    principal: str = Field(min_length=1, max_length=128)
    purpose: ConsentPurpose


class Seed(_Entry):
    """The file's content (JSON, lowerCamel names). Parse with `Seed.model_validate_json`."""

    vehicles: list[_Vin]
    grants: list[_SeedGrant]
    api_keys: list[_SeedKey]
    consents: list[_SeedConsent] = []


def plant(connection: Connection, seed: Seed, pepper: bytes, at: datetime) -> None:
    """Add what is not there; what was revoked stays so. Raises GrantConflictError."""
    store.add_vehicles(connection, seed.vehicles, at)
    for grant in seed.grants:
        new = NewGrant(grant.grant_id, grant.principal, grant.vin, grant.role)
        store.create_grant(connection, new, SEEDED_BY, at)
    for consent in seed.consents:
        text = ASKED[consent.purpose]
        shown = GivenText(text.version, LANGUAGES[0], text.digest(LANGUAGES[0]))
        store.give_consent(
            connection, consent.principal, consent.purpose, shown, SANDBOX_SOURCE, at, again=False
        )
    for key in seed.api_keys:
        ends = None if key.valid_seconds is None else at + timedelta(seconds=key.valid_seconds)
        digest, scopes = key_hash(pepper, key.key), sorted(key.scopes)
        store.add_key(connection, digest, key.principal, key.source, at, ends, scopes=scopes)
        if scopes:  # of one that was planted before keys had scopes
            store.name_scope(connection, digest, scopes)
