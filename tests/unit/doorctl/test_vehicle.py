from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from doorctl.__main__ import app
from protocol.key_files import private_pem

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

VIN = "KMHSH81C7LU123456"


def test_a_private_key_is_not_even_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_anything: object) -> None:
        raise AssertionError("it was sent")

    monkeypatch.setattr("doorctl.operator_channel.Operator.from_environment", asked)
    keys, certificate = tmp_path / "car.pem", tmp_path / "car.crt"
    keys.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    certificate.write_text("certificate")
    words = ["vehicle", "enrol", VIN, "--certificate", str(certificate), "--keys", str(keys)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"doorctl: {keys} holds a private key: enrol the public ones\n"


def test_keys_must_be_given(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["vehicle", "enrol", VIN, "--certificate", str(tmp_path)])
    assert done.exit_code == 2
    assert "--keys" in done.stderr
