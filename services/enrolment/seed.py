"""The sandbox's vehicles, enrolled at every start: a file with VIN, certificate and public keys of each.

A load generator's vehicle has a password and no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, FilePath, TypeAdapter
from pydantic.alias_generators import to_camel

from services.enrolment import store, translate
from services.enrolment.domain import Enrolment, PublicKeys, checked_vin
from services.enrolment.public_keys import read_public_keys

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection


class _SeedVehicle(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    vin: str
    certificate_file: FilePath | None = None
    keys_file: FilePath | None = None


_FILE = TypeAdapter(list[_SeedVehicle])


@dataclass(frozen=True, slots=True)
class Seedling:
    """A vehicle, the fingerprint of its certificate, and its keys."""

    vin: str
    fingerprint: str | None
    keys: PublicKeys | None


def read(path: Path) -> list[Seedling]:
    """The file's vehicles. Raises ValueError, OSError."""
    return [_seedling(entry) for entry in _FILE.validate_json(path.read_bytes())]


def _seedling(entry: _SeedVehicle) -> Seedling:
    fingerprint = None
    if entry.certificate_file is not None:
        vin, certificate = translate.vehicle_certificate(entry.certificate_file.read_bytes())
        if vin != entry.vin:
            raise ValueError(f"{entry.certificate_file} is not the certificate of {entry.vin}")
        fingerprint = translate.fingerprint_of(certificate)
    keys = None if entry.keys_file is None else read_public_keys(entry.keys_file.read_bytes())
    return Seedling(checked_vin(entry.vin), fingerprint, keys)


def plant(connection: Connection, seedlings: list[Seedling], at: datetime) -> list[str]:
    """Enrol what is not there and what has another certificate or other keys; what was revoked stays so.

    The VINs of those that had other keys before. Raises AlreadyTaken.
    """
    changed = []
    for seedling in seedlings:
        known = store.find(connection, seedling.vin)
        if known is not None and known.revoked_at is not None:
            continue
        if known is None or (known.fingerprint, known.keys) != (seedling.fingerprint, seedling.keys):
            store.put(connection, Enrolment(seedling.vin, seedling.fingerprint, at, keys=seedling.keys))
        if known is not None and known.keys != seedling.keys:
            changed.append(seedling.vin)
    return changed
