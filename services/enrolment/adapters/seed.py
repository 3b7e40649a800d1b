"""The sandbox's vehicles, enrolled at every start: a file with VIN, certificate and public keys of each.

A load generator's vehicle has a password and no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel, ConfigDict, FilePath, TypeAdapter
from pydantic.alias_generators import to_camel

from services.enrolment.adapters import store, translate
from services.enrolment.adapters.public_keys import read_public_keys
from services.enrolment.adapters.translate import NotACertificateError
from services.enrolment.adapters.vins import checked_vin
from services.enrolment.domain import Enrolment, PublicKeys
from services.platform.logs import masked_id

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from services.enrolment.adapters.certificates import CertificateCheck

_log = structlog.get_logger()


class _SeedVehicle(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    vin: str
    certificate_file: FilePath | None = None
    keys_file: FilePath | None = None


_FILE = TypeAdapter(list[_SeedVehicle])


@dataclass(frozen=True, slots=True)
class SeedVehicle:
    """A vehicle, the fingerprint of its certificate and when that ends, and its keys."""

    vin: str
    fingerprint: str | None
    keys: PublicKeys | None
    certificate_ends_at: datetime | None = None


def read(path: Path, certificates: CertificateCheck | None = None) -> list[SeedVehicle]:
    """Return the file's vehicles. Raise ValueError, OSError.

    What the broker would not let in is told in the log and enrolled all the same: the others must begin.
    """
    return [_seed_vehicle(entry, certificates) for entry in _FILE.validate_json(path.read_bytes())]


def _seed_vehicle(entry: _SeedVehicle, certificates: CertificateCheck | None) -> SeedVehicle:
    fingerprint = ends_at = None
    if entry.certificate_file is not None:
        pem = entry.certificate_file.read_bytes()
        vin, certificate = translate.vehicle_certificate(pem)
        if vin != entry.vin:
            raise ValueError(f"{entry.certificate_file} is not the certificate of {entry.vin}")
        fingerprint, ends_at = translate.fingerprint_of(certificate), certificate.not_valid_after_utc
        if certificates is not None:
            try:
                certificates.admissible(pem)
            except NotACertificateError as refused:
                _log.warning("seeded_certificate_not_admitted", vin=masked_id(vin), reason=str(refused))
    keys = None if entry.keys_file is None else read_public_keys(entry.keys_file.read_bytes())
    return SeedVehicle(checked_vin(entry.vin), fingerprint, keys, ends_at)


def plant(connection: Connection, seed_vehicles: list[SeedVehicle], at: datetime) -> list[str]:
    """Enrol what is not there and what has another certificate or other keys; what was revoked stays so.

    The VINs of those that had other keys before. Raises CredentialInUseError.
    """
    changed = []
    for seed_vehicle in seed_vehicles:
        known = store.find(connection, seed_vehicle.vin)
        if known is not None and known.revoked_at is not None:
            continue
        told = (seed_vehicle.fingerprint, seed_vehicle.keys, seed_vehicle.certificate_ends_at)
        if known is None or (known.fingerprint, known.keys, known.certificate_ends_at) != told:
            enrolment = Enrolment(
                seed_vehicle.vin,
                seed_vehicle.fingerprint,
                at,
                keys=seed_vehicle.keys,
                certificate_ends_at=seed_vehicle.certificate_ends_at,
            )
            store.put(connection, enrolment)
        if known is not None and known.keys != seed_vehicle.keys:
            changed.append(seed_vehicle.vin)
    return changed
