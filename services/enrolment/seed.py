"""The sandbox's vehicles, enrolled at every start: a file with the VIN and the certificate of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, FilePath, TypeAdapter
from pydantic.alias_generators import to_camel

from services.enrolment import store, translate
from services.enrolment.domain import Enrolment

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection


class _SeedVehicle(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    vin: str
    certificate_file: FilePath


_FILE = TypeAdapter(list[_SeedVehicle])


@dataclass(frozen=True, slots=True)
class Seedling:
    """A vehicle and the fingerprint of its certificate."""

    vin: str
    fingerprint: str


def read(path: Path) -> list[Seedling]:
    """The file's vehicles. Raises ValueError, OSError."""
    found = []
    for entry in _FILE.validate_json(path.read_bytes()):
        vin, certificate = translate.vehicle_certificate(entry.certificate_file.read_bytes())
        if vin != entry.vin:
            raise ValueError(f"{entry.certificate_file} is not the certificate of {entry.vin}")
        found.append(Seedling(vin, translate.fingerprint_of(certificate)))
    return found


def plant(connection: Connection, seedlings: list[Seedling], at: datetime) -> None:
    """Enrol what is not there and what has a new certificate; what was revoked stays so."""
    for seedling in seedlings:
        known = store.find(connection, seedling.vin)
        if known is None or (known.revoked_at is None and known.fingerprint != seedling.fingerprint):
            store.put(connection, Enrolment(seedling.vin, seedling.fingerprint, at))
