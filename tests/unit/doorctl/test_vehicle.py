from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2 as contract
from typer.testing import CliRunner

from doorctl.__main__ import app
from key_files.pem import private_pem

if TYPE_CHECKING:
    from pathlib import Path

VIN = "KMHSH81C7LU123456"


@pytest.mark.parametrize("which", ["keys", "certificate"])
def test_no_file_with_a_private_key_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    def asked(*_anything: object) -> None:
        raise AssertionError("it was sent")

    monkeypatch.setattr("doorctl.operator_channel.Operator.from_environment", asked)
    files = {name: tmp_path / name for name in ("keys", "certificate")}
    for name, path in files.items():
        path.write_bytes(private_pem(Ed25519PrivateKey.generate()) if name == which else b"public")
    words = [
        "vehicle",
        "enrol",
        VIN,
        "--certificate",
        str(files["certificate"]),
        "--keys",
        str(files["keys"]),
    ]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"doorctl: {files[which]} holds a private key: enrol the ")


@pytest.mark.parametrize(
    ("ends_in_days", "revoked", "state"),
    [
        (None, False, "admitted\n"),
        (30, False, "admitted until "),
        (-1, False, "not admitted: expired "),
        (30, True, "revoked "),
    ],
)
def test_the_list_says_who_is_let_in(
    monkeypatch: pytest.MonkeyPatch, ends_in_days: int | None, revoked: bool, state: str
) -> None:
    """Not of a certificate that is over: the broker refuses it, whatever the record says."""
    enrolment = contract.VehicleEnrolment(vin=VIN, certificate_sha256=bytes(32))
    now = datetime.now(UTC)
    enrolment.enrolled_at.FromDatetime(now)
    if ends_in_days is not None:
        enrolment.certificate_ends_at.FromDatetime(now + timedelta(days=ends_in_days))
    if revoked:
        enrolment.revoked_at.FromDatetime(now)

    class Operator:
        def ask(self, *_words: Any) -> contract.ListVehiclesResponse:
            return contract.ListVehiclesResponse(enrolments=[enrolment])

    monkeypatch.setattr("doorctl.operator_channel.Operator.from_environment", lambda _: Operator())
    done = CliRunner().invoke(app, ["vehicle", "list"])
    assert done.exit_code == 0
    assert f"{VIN} 0000000000000000 no keys {state}" in done.stdout


def test_keys_must_be_given(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["vehicle", "enrol", VIN, "--certificate", str(tmp_path)])
    assert done.exit_code == 2
    assert "--keys" in done.stderr
