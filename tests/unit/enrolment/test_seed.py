"""What a seed file enrols, and what is reported it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from mesh.pki import VEHICLE_CA, Pki
from mesh.sandbox import vehicle_identity
from services.enrolment.adapters import seed
from services.enrolment.adapters.certificates import CertificateCheck

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2031, 1, 1, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"


def test_a_certificate_that_is_over_is_told_and_stops_nothing(tmp_path: Path) -> None:
    pki = Pki(tmp_path, NOW, VEHICLE_CA)
    certificate = pki.ensure(vehicle_identity(VIN)).cert
    file = tmp_path / "seed.json"
    file.write_text(json.dumps([{"vin": VIN, "certificateFile": str(certificate)}]))
    for now, told in ((NOW, 0), (NOW + timedelta(days=91), 1)):
        check = CertificateCheck.read(pki.ca.read_bytes(), lambda at=now: at)
        with capture_logs() as logs:
            (one,) = seed.read(file, check)
        assert one.vin == VIN
        assert one.certificate_ends_at == NOW + timedelta(days=90)
        assert [line["event"] for line in logs] == ["seeded_certificate_not_admitted"] * told
        assert VIN not in str(logs)
