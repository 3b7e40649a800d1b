"""Which environments start the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import OKPAlgorithm

from services.access.adapters.capability_issuer import SigningKeyError, read_signing_key
from services.access.adapters.limits import WHAT
from services.access.domain.accounts import SANDBOX_CLIENTS, SANDBOX_EMPLOYEE_CLIENTS, Source
from services.access.settings import AccessSettings
from services.platform.settings import SettingsError, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "file"
    file.write_text("x")
    files = "TLS_CERT TLS_KEY TLS_CA NATS_PASSWORD_FILE CAPABILITY_JWKS CAPABILITY_KEY API_KEY_PEPPER_FILE TOKEN_JWKS"
    return {
        "DOORS_LISTEN": "127.0.0.1:1",
        "DOORS_DATABASE_URL": "sqlite:///x",
        "DOORS_NATS_URL": "nats://x",
        "DOORS_NATS_USER": "access",
        "DOORS_TOKEN_ISSUER": "https://issuer.test",
        "DOORS_TOKEN_AUDIENCE": "remote-door-control",
        "DOORS_PROFILE": "sandbox",
        **{f"DOORS_{name}": str(file) for name in files.split()},
    }


SETTING_OF = {
    "command": "COMMANDS_PER_MINUTE",
    "user": "COMMANDS_PER_USER_PER_MINUTE",
    "agent": "COMMANDS_PER_AGENT_PER_MINUTE",
    "client": "COMMANDS_PER_CLIENT_PER_MINUTE",
    "address": "COMMANDS_PER_ADDRESS_PER_MINUTE",
    "cancel": "CANCELLATIONS_PER_MINUTE",
    "read": "READS_PER_MINUTE",
    "session": "SESSIONS_PER_MINUTE",
    "refused": "REFUSALS_PER_MINUTE",
    "unknown": "UNKNOWN_VEHICLES_PER_MINUTE",
    "failed": "FAILED_SIGN_INS_PER_MINUTE",
}


def test_the_sandbox_is_wide_and_production_is_not(environment: dict[str, str]) -> None:
    wide = load(AccessSettings, environment).requests_per_minute
    wider = dict.fromkeys(("read", "user", "agent"), 60_000) | dict.fromkeys(("client", "address"), 600_000)
    assert wide == dict.fromkeys(WHAT, 6_000) | wider
    environment |= {"DOORS_PROFILE": "production", "DOORS_TOKEN_CLIENTS": "app=MOBILE_APP"}
    narrow = {
        "command": 10,
        "user": 30,
        "agent": 60,
        "client": 60_000,
        "address": 600,
        "cancel": 60,
        "read": 120,
        "session": 120,
        "refused": 30,
        "unknown": 20,
        "failed": 60,
    }
    assert load(AccessSettings, environment).requests_per_minute == narrow
    for number, setting in enumerate(SETTING_OF.values(), 10):
        environment[f"DOORS_{setting}"] = str(number)
    changed = load(AccessSettings, environment).requests_per_minute
    assert changed == {name: number for number, name in enumerate(SETTING_OF, 10)}
    # Two replicas give half each, and never nothing.
    environment |= {"DOORS_RATE_SHARES": "2"}
    halves = load(AccessSettings, environment).requests_per_minute
    assert halves == {name: (number + 1) // 2 for number, name in enumerate(SETTING_OF, 10)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOORS_TOKEN_LONGEST_SECONDS", "59"),
        ("DOORS_TOKEN_LONGEST_SECONDS", "86401"),
        ("DOORS_KEYS_REREAD_SECONDS", "61"),
        ("DOORS_KEYS_REREAD_SECONDS", "0"),
        ("DOORS_CANCELLATIONS_PER_MINUTE", "9"),
        ("DOORS_TOKEN_LEEWAY_SECONDS", "121"),
        ("DOORS_TOKEN_KEYS_FETCH_SECONDS", "0.5"),
        ("DOORS_TOKEN_KEYS_FETCH_SECONDS", "3601"),
        ("DOORS_TOKEN_KEYS_STALE_SECONDS", "59"),
        ("DOORS_TOKEN_KEYS_STALE_SECONDS", "604801"),
        ("DOORS_TOKEN_ALGORITHMS", "HS256"),
        ("DOORS_TOKEN_ALGORITHMS", "none"),
        ("DOORS_TOKEN_ALGORITHMS", "ES256,ES256"),
        ("DOORS_TOKEN_ALGORITHMS", ","),
        ("DOORS_TOKEN_DISCOVERY_URL", "http://issuer.example/.well-known/openid-configuration"),
        ("DOORS_TOKEN_DISCOVERY_URL", "https://user:word@issuer.example/x"),
        ("DOORS_TOKEN_DISCOVERY_URL", "file:///etc/passwd"),
        ("DOORS_TOKEN_ISSUER_CA", "/nowhere"),
    ],
)
def test_a_setting_out_of_its_bounds_stops_the_start(
    environment: dict[str, str], name: str, value: str
) -> None:
    environment[name] = value
    with pytest.raises(SettingsError, match=name):
        load(AccessSettings, environment)


@pytest.mark.parametrize("profile", [None, "prod", "SANDBOX"])
def test_there_is_no_default_profile(environment: dict[str, str], profile: str | None) -> None:
    environment["DOORS_PROFILE"] = profile or ""
    with pytest.raises(SettingsError, match="DOORS_PROFILE"):
        load(AccessSettings, environment)


def test_known_keys_are_for_the_sandbox_only(environment: dict[str, str]) -> None:
    environment |= {
        "DOORS_PROFILE": "production",
        "DOORS_SANDBOX_SEED": environment["DOORS_TLS_CA"],
    }
    with pytest.raises(SettingsError, match="DOORS_SANDBOX_SEED"):
        load(AccessSettings, environment)


def test_the_signing_key_is_one_the_rooms_know(tmp_path: Path) -> None:
    pem, jwks = tmp_path / "key.pem", tmp_path / "jwks.json"
    mine, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def publish(**keys: Ed25519PrivateKey) -> None:
        entries = [
            {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in keys.items()
        ]
        jwks.write_text(json.dumps({"keys": entries}))

    def write(key: Ed25519PrivateKey | object) -> None:
        raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[union-attr]  # two kinds of key
        pem.write_bytes(raw)

    write(mine)
    publish(other=other, mine=mine)
    assert read_signing_key(pem, jwks).key_id == "mine"
    publish(other=other)
    with pytest.raises(SigningKeyError, match="DOORS_CAPABILITY_JWKS"):
        read_signing_key(pem, jwks)
    write(generate_private_key(SECP256R1()))
    with pytest.raises(SigningKeyError, match="Ed25519"):
        read_signing_key(pem, jwks)


def test_the_issuers_clients_are_a_setting_and_the_sandbox_has_its_own(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).clients == SANDBOX_CLIENTS
    environment["DOORS_TOKEN_CLIENTS"] = "https://app.example=MOBILE_APP, desk=CALL_CENTER"
    clients = {"https://app.example": Source.MOBILE_APP, "desk": Source.CALL_CENTER}
    assert load(AccessSettings, environment).clients == clients
    environment["DOORS_PROFILE"] = "production"
    assert load(AccessSettings, environment).clients == clients
    del environment["DOORS_TOKEN_CLIENTS"]
    with pytest.raises(SettingsError, match="DOORS_TOKEN_CLIENTS"):
        load(AccessSettings, environment)


@pytest.mark.parametrize("wrong", ["app", "app=APP", "=WEB", "app=WEB,app=WEB", "app=WEB,", "app=web"])
def test_clients_that_are_not_spelt_so_stop_the_start(environment: dict[str, str], wrong: str) -> None:
    environment["DOORS_TOKEN_CLIENTS"] = wrong
    with pytest.raises(SettingsError, match="DOORS_TOKEN_CLIENTS"):
        load(AccessSettings, environment)


def test_the_issuers_keys_come_from_one_place(environment: dict[str, str]) -> None:
    url = "https://issuer.test/.well-known/openid-configuration"
    with pytest.raises(SettingsError, match="DOORS_TOKEN_DISCOVERY_URL"):
        load(AccessSettings, environment | {"DOORS_TOKEN_DISCOVERY_URL": url})
    del environment["DOORS_TOKEN_JWKS"]
    with pytest.raises(SettingsError, match="DOORS_TOKEN_JWKS"):
        load(AccessSettings, environment)
    environment["DOORS_TOKEN_DISCOVERY_URL"] = url
    assert load(AccessSettings, environment).token_discovery_url == url
    local = "http://127.0.0.1:8090/.well-known/oauth-authorization-server"
    assert (
        load(AccessSettings, environment | {"DOORS_TOKEN_DISCOVERY_URL": local}).token_discovery_url == local
    )


def test_keys_may_not_be_older_than_they_are_fetched_often(environment: dict[str, str]) -> None:
    environment |= {"DOORS_TOKEN_KEYS_FETCH_SECONDS": "600", "DOORS_TOKEN_KEYS_STALE_SECONDS": "300"}
    with pytest.raises(SettingsError, match="DOORS_TOKEN_KEYS_STALE_SECONDS"):
        load(AccessSettings, environment)


def test_the_algorithms_are_pinned(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).algorithms == ("EdDSA", "ES256")
    environment["DOORS_TOKEN_ALGORITHMS"] = "PS256, RS256"
    assert load(AccessSettings, environment).algorithms == ("PS256", "RS256")


def test_how_strongly_somebody_must_have_signed_in_is_a_table(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).step_up_table["door.unlock"].max_age_seconds == 3_600
    environment |= {"DOORS_PROFILE": "production", "DOORS_TOKEN_CLIENTS": "app=MOBILE_APP"}
    assert load(AccessSettings, environment).step_up_table["door.unlock"].max_age_seconds == 300
    environment["DOORS_STEP_UP"] = "door.unlock=60:phr"
    changed = load(AccessSettings, environment).step_up_table
    assert (changed["door.unlock"].acr_values, changed["door.unlock"].max_age_seconds) == (("phr",), 60)
    assert changed["grant.write"].max_age_seconds == 300
    environment["DOORS_STEP_UP"] = "door.lock=60:phr"
    with pytest.raises(SettingsError, match="line=seconds"):
        load(AccessSettings, environment)


def test_employees_have_clients_of_their_own(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).employees == SANDBOX_EMPLOYEE_CLIENTS
    environment["DOORS_EMPLOYEE_CLIENTS"] = "security-desk, soc"
    environment["DOORS_DPOP_CLIENTS"] = "soc"
    assert load(AccessSettings, environment).employees == {"security-desk", "soc"}
    environment["DOORS_EMPLOYEE_CLIENTS"] = "mobile-app"
    environment["DOORS_DPOP_CLIENTS"] = ""
    with pytest.raises(
        SettingsError, match="DOORS_EMPLOYEE_CLIENTS and DOORS_TOKEN_CLIENTS both name mobile-app"
    ):
        load(AccessSettings, environment)


@pytest.mark.parametrize(("told", "rule"), [(None, "vouched"), ("vouched", "vouched"), ("kept", "kept")])
def test_whose_word_it_is_that_a_case_is_open(
    environment: dict[str, str], told: str | None, rule: str
) -> None:
    if told is not None:
        environment["DOORS_CASES"] = told
    assert load(AccessSettings, environment).cases.value == rule
    environment["DOORS_CASES"] = "any"
    with pytest.raises(SettingsError, match="DOORS_CASES"):
        load(AccessSettings, environment)


def test_clients_that_must_prove_to_hold_a_key_are_clients(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).bound_clients == frozenset()
    environment["DOORS_DPOP_CLIENTS"] = "mobile-app, web"
    assert load(AccessSettings, environment).bound_clients == {"mobile-app", "web"}
    environment["DOORS_DPOP_CLIENTS"] = "mobile-app,toaster"
    with pytest.raises(SettingsError, match="DOORS_DPOP_CLIENTS names toaster"):
        load(AccessSettings, environment)


def test_origins_are_written_in_one_way(environment: dict[str, str]) -> None:
    assert load(AccessSettings, environment).origins == frozenset()
    environment["DOORS_PUBLIC_ORIGINS"] = "https://API.example.com:443,http://127.0.0.1:8080/"
    assert load(AccessSettings, environment).origins == {"https://api.example.com", "http://127.0.0.1:8080"}
    for wrong in ("api.example.com", "https://api.example.com/v1", "ftp://a", "https://"):
        with pytest.raises(SettingsError):
            load(AccessSettings, {**environment, "DOORS_PUBLIC_ORIGINS": wrong})
