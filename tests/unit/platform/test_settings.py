"""Settings: all that is wrong is told at once, by key and without values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import Field

from services.platform.settings import (
    ServerSettings,
    ServiceSettings,
    SettingsError,
    broker_urls,
    grpc_target,
    load,
)

if TYPE_CHECKING:
    from pathlib import Path


class TunedSettings(ServiceSettings):
    """A service with a setting of its own."""

    heartbeat_seconds: float = Field(default=15.0, gt=0)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    for name in ("cert", "key", "ca", "password", "jwks"):
        (tmp_path / name).touch()
    return {
        "DOORS_LISTEN": "127.0.0.1:0",
        "DOORS_TLS_CERT": str(tmp_path / "cert"),
        "DOORS_TLS_KEY": str(tmp_path / "key"),
        "DOORS_TLS_CA": str(tmp_path / "ca"),
        "DOORS_DATABASE_URL": "sqlite:///room.sqlite3",
        "DOORS_NATS_URL": "nats://127.0.0.1:4222",
        "DOORS_NATS_USER": "rooms",
        "DOORS_NATS_PASSWORD_FILE": str(tmp_path / "password"),
        "DOORS_CAPABILITY_JWKS": str(tmp_path / "jwks"),
        "PATH": "/bin",
    }


def test_a_whole_environment_is_read(environ: dict[str, str]) -> None:
    settings = load(TunedSettings, {**environ, "DOORS_HEARTBEAT_SECONDS": "0.5", "DOORS_UNKNOWN": "x"})
    assert settings.heartbeat_seconds == 0.5
    assert settings.log_level == "INFO"
    assert settings.drain_seconds == 5.0
    assert settings.low_space_bytes == 512 * 1024 * 1024


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load(ServiceSettings, {"DOORS_LISTEN": ""})
    lines = str(refused.value).splitlines()
    assert {line.partition(":")[0] for line in lines} == {
        "DOORS_LISTEN",
        "DOORS_TLS_CERT",
        "DOORS_TLS_KEY",
        "DOORS_TLS_CA",
        "DOORS_DATABASE_URL",
        "DOORS_NATS_URL",
        "DOORS_NATS_USER",
        "DOORS_NATS_PASSWORD_FILE",
        "DOORS_CAPABILITY_JWKS",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DOORS_LISTEN", "8511"),
        ("DOORS_TLS_CERT", "/not/there-secret"),
        ("DOORS_DATABASE_URL", "mysql://user:secret@host/x"),
        ("DOORS_NATS_URL", "http://user:secret@host"),
        ("DOORS_NATS_URL", "tls://a:4222,secret"),
        ("DOORS_NATS_URL", "tls://a:4222,nats://secret:4222"),
        ("DOORS_NATS_TLS_NAME", "secret name"),
        ("DOORS_NATS_REPLICAS", "0"),
        ("DOORS_BROKER_LOOK_SECONDS", "0.1"),
        ("DOORS_BROKER_SILENCE_SECONDS", "0.5"),
        ("DOORS_BROKER_PATIENCE_SECONDS", "61"),
        ("DOORS_HEALTH_PATIENCE_SECONDS", "61"),
        ("DOORS_LOG_LEVEL", "secret"),
        ("DOORS_DRAIN_SECONDS", "secret"),
        ("DOORS_DRAIN_SECONDS", "-1"),
        ("DOORS_HEARTBEAT_SECONDS", "0"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(environ: dict[str, str], key: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(TunedSettings, {**environ, key: value})
    [line] = str(refused.value).splitlines()
    assert line.startswith(f"{key}: ")
    assert "secret" not in line


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("127.0.0.1:8511", "ipv4:127.0.0.1:8511"),
        ("10.0.0.1:8511, 10.0.0.2:8512", "ipv4:10.0.0.1:8511,10.0.0.2:8512"),
        ("signer.internal:8511", "dns:///signer.internal:8511"),
    ],
)
def test_where_another_room_is(target: str, told: str) -> None:
    assert grpc_target(target) == told


@pytest.mark.parametrize("target", ["signer", "a:1,b:2", "10.0.0.1:1,b:2", "a:99999", "", ",", "http://a:1"])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="must"):
        grpc_target(target)


def test_the_broker_is_one_address_or_several() -> None:
    assert broker_urls("tls://a:4222") == ["tls://a:4222"]
    assert broker_urls("nats://a:4222, nats://b:4223,nats://c") == [
        "nats://a:4222",
        "nats://b:4223",
        "nats://c",
    ]


@pytest.mark.parametrize("wrong", ["0", "-1", "1048575", "much"])
def test_low_space_has_bounds(environ: dict[str, str], wrong: str) -> None:
    assert load(ServiceSettings, {**environ, "DOORS_LOW_SPACE_BYTES": "2097152"}).low_space_bytes == 2_097_152
    with pytest.raises(SettingsError, match="DOORS_LOW_SPACE_BYTES"):
        load(ServiceSettings, {**environ, "DOORS_LOW_SPACE_BYTES": wrong})


@pytest.mark.parametrize("wrong", ["0", "0.05", "61", "often"])
def test_how_often_revocations_are_read_has_bounds(environ: dict[str, str], wrong: str) -> None:
    usual = load(ServerSettings, environ)
    assert (usual.revoked_workloads, usual.revocation_check_seconds) == (None, 2.0)
    with pytest.raises(SettingsError, match="DOORS_REVOCATION_CHECK_SECONDS"):
        load(ServerSettings, {**environ, "DOORS_REVOCATION_CHECK_SECONDS": wrong})


def test_a_revocation_list_that_is_not_there_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="DOORS_REVOKED_WORKLOADS"):
        load(ServerSettings, {**environ, "DOORS_REVOKED_WORKLOADS": "/not/there"})
