"""What each service is started with: the keys it works with, and no others."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from issuer.settings import IssuerSettings
from mesh.environment import MAY_SET, ignored
from mesh.plan import Planner
from mesh.ports import Ports
from mesh.sandbox import Sandbox
from phones.settings import PhonesSettings
from services import registry
from services.platform.settings import ServerSettings
from services.status.__main__ import StatusSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT = {
    "PATH": "/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "Asia/Seoul",
    "PYTHONWARNINGS": "error",
    "PYTHONDONTWRITEBYTECODE": "1",
    "DOORS_PORT_BASE": "8000",
    "DOORS_DATA_DIR": "/data",
    "DOORS_LOG_LEVEL": "DEBUG",
    "DOORS_DOUBT_SECONDS": "3",
    "DOORS_READS_PER_MINUTE": "7",
    "DOORS_COMMAND_TTL_SECONDS": "9",
    "DOORS_SIGNING_KEY": "/of/the/user",
    "DOORS_X": "of the user",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "PGPASSWORD": "secret",
    "GITHUB_TOKEN": "secret",
}
PYTHONS = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS"}
MACHINE = {"PATH", "LC_ALL", "TZ"}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    one = Sandbox(tmp_path / "doors")
    one.prepare(datetime.now(UTC))
    return one


@pytest.fixture
def components(sandbox: Sandbox) -> dict[str, Mapping[str, str]]:
    plan = Planner(Ports(), sandbox, ENVIRONMENT).plan()
    assert plan.issuer is not None
    assert plan.phones is not None
    everything = (plan.nats, plan.issuer, *plan.services, plan.envoy, plan.vehicles, plan.phones)
    return {one.name: one.environment for one in everything}


@pytest.fixture
def services(sandbox: Sandbox) -> dict[str, Mapping[str, str]]:
    plan = Planner(Ports(), sandbox, ENVIRONMENT).plan()
    return {service.name: service.environment for service in plan.services}


def holders(services: dict[str, Mapping[str, str]], value: Path) -> set[str]:
    return {name for name, environment in services.items() if str(value.resolve()) in environment.values()}


def test_the_signer_is_told_what_it_needs_and_nothing_more(
    services: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    settings = {name: value for name, value in services["signer"].items() if name.startswith("DOORS_")}
    assert settings.keys() == {
        "DOORS_LISTEN",
        "DOORS_TLS_CERT",
        "DOORS_TLS_KEY",
        "DOORS_TLS_CA",
        "DOORS_CAPABILITY_JWKS",
        "DOORS_ACCESS_TARGET",
        "DOORS_ORDER_MAC_KEY",
        "DOORS_SIGNING_KEY",
        "DOORS_KEY_MANIFESTS",
        "DOORS_LOG_LEVEL",
        "DOORS_DRAIN_SECONDS",
        "DOORS_REVOKED_WORKLOADS",
    }
    assert settings["DOORS_LISTEN"] == "127.0.0.1:8517"
    assert settings["DOORS_ACCESS_TARGET"] == "127.0.0.1:8511"
    assert settings["DOORS_LOG_LEVEL"] == "DEBUG"
    assert not any("nats" in value for value in settings.values())
    assert settings["DOORS_TLS_CERT"] == str((sandbox.pki / "signer.crt").resolve())


def test_a_private_key_goes_to_who_works_with_it(
    services: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    keys = sandbox.ceremony
    assert holders(services, keys.signing_key) == {"signer"}
    assert holders(services, keys.seal_keys) == {"command", "config", "status", "diagnostics"}
    assert holders(services, keys.report_keys) == {"status", "diagnostics"}
    assert holders(services, keys.manifests) == {"signer", "command"}
    assert holders(services, keys.root_key) == set()
    assert holders(services, sandbox.capability_key) == {"access"}
    assert holders(services, sandbox.update_id_key) == {"status", "notification"}
    assert holders(services, sandbox.webhook_key) == {"notification"}


def test_every_room_finds_those_it_asks(services: dict[str, Mapping[str, str]]) -> None:
    def who_has(setting: str) -> dict[str, str]:
        return {name: values[setting] for name, values in services.items() if setting in values}

    enrolment, signer = "127.0.0.1:8516", "127.0.0.1:8517"
    assert who_has("DOORS_VEHICLE_KEYS_TARGET") == dict.fromkeys(
        ("command", "status", "config", "diagnostics"), enrolment
    )
    assert who_has("DOORS_SIGNER_TARGET") == dict.fromkeys(("command", "config"), signer)
    assert who_has("DOORS_ACCESS_TARGET").keys() == {"signer", "notification"}
    assert who_has("DOORS_COMMAND_TARGET").keys() == {"diagnostics", "notification", "status"}


@pytest.mark.parametrize("name", ["nats", "envoy"])
def test_what_is_not_ours_is_given_the_machines_environment_only(
    components: dict[str, Mapping[str, str]], name: str
) -> None:
    assert components[name].keys() == MACHINE


def settings_of(service: str) -> set[str]:
    """What the service reads: the fields of every settings model that its main module knows."""
    module = importlib.import_module(f"services.{service}.__main__")
    models = [
        each for each in vars(module).values() if isinstance(each, type) and issubclass(each, ServerSettings)
    ]
    return {f"DOORS_{name.upper()}" for model in models for name in model.model_fields}


@pytest.mark.parametrize("service", registry.NAMES)
def test_a_room_is_given_its_own_settings_and_nothing_else(
    components: dict[str, Mapping[str, str]], service: str
) -> None:
    given = components[service].keys()
    assert given - MACHINE - PYTHONS <= settings_of(service)
    assert given >= MACHINE | PYTHONS


@pytest.mark.parametrize("service", registry.NAMES)
def test_every_setting_of_a_room_is_the_mesh_s_or_the_user_s_to_say(
    components: dict[str, Mapping[str, str]], service: str
) -> None:
    """A new setting belongs into mesh/environment.py, or the user cannot set it in the sandbox."""
    users = {f"DOORS_{name}" for name in MAY_SET[service]}
    optional = {"DOORS_SANDBOX_SEED", "DOORS_ENROLMENT_SEED", "DOORS_WAKE_URL", "DOORS_TOKEN_JWKS"}
    assert users <= settings_of(service)
    assert settings_of(service) - users - optional <= components[service].keys()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DOORS_BOGUS", "; see docs/deployment.md"),
        ("DOORS_X", "; see docs/deployment.md"),
        ("DOORS_PORT", "; see docs/deployment.md"),
        ("DOORS_SIGNING_KEY", "; see docs/deployment.md"),
        ("DOORS_PORTBASE", "; did you mean DOORS_PORT_BASE?"),
        ("DOORS_READS_PER_MINUT", "; did you mean DOORS_READS_PER_MINUTE?"),
        ("DOORS_LOG_LEVLE", "; did you mean DOORS_LOG_LEVEL?"),
    ],
)
def test_only_what_is_near_a_setting_is_taken_for_it(name: str, hint: str) -> None:
    assert ignored({name: "1"}) == [f"{name} is no setting of the sandbox and is ignored{hint}"]


def test_a_users_setting_goes_to_whose_it_is(components: dict[str, Mapping[str, str]]) -> None:
    def who_has(setting: str) -> set[str]:
        return {name for name, given in components.items() if given.get(setting) == ENVIRONMENT[setting]}

    assert who_has("DOORS_DOUBT_SECONDS") == {"status"}
    assert who_has("DOORS_READS_PER_MINUTE") == {"access"}
    assert who_has("DOORS_COMMAND_TTL_SECONDS") == {"command"}
    assert who_has("DOORS_LOG_LEVEL") == {*registry.NAMES, "vehicles", "issuer", "phones"}
    for name in (
        "DOORS_X",
        "DOORS_PORT_BASE",
        "DOORS_DATA_DIR",
        "DOORS_SIGNING_KEY",
        "PYTHONDONTWRITEBYTECODE",
    ):
        assert who_has(name) == set()
    assert not any("secret" in given.values() for given in components.values())


def test_the_tokens_of_the_users_own_issuer_are_taken_instead_of_the_sandboxs(sandbox: Sandbox) -> None:
    def access(**more: str) -> Mapping[str, str]:
        plan = Planner(Ports(), sandbox, {**ENVIRONMENT, **more}).plan()
        (one,) = [each.environment for each in plan.services if each.name == "access"]
        return one

    own = {
        "DOORS_TOKEN_DISCOVERY_URL": "https://issuer.test/.well-known/openid-configuration",
        "DOORS_TOKEN_ISSUER": "https://issuer.test",
    }
    given = access(**own)
    assert {name: given[name] for name in own} == own
    assert given["DOORS_TOKEN_AUDIENCE"] == "remote-door-control"
    assert Planner(Ports(), sandbox, {**ENVIRONMENT, **own}).plan().issuer is None
    assert access(**own, DOORS_TOKEN_AUDIENCE="doors")["DOORS_TOKEN_AUDIENCE"] == "doors"
    assert access(DOORS_TOKEN_ISSUER="https://issuer.test")["DOORS_TOKEN_ISSUER"] != "https://issuer.test"


def test_no_component_sees_another_ones_secrets(
    components: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    for name, environment in components.items():
        told = " ".join(environment.values())
        others = [service for service in registry.NAMES if service != name]
        assert not any(f"/{service}.key" in told or f"nats-{service}.password" in told for service in others)
        assert not any(f"/{service}.db" in told for service in others)
        assert ("api-key-pepper" in told) == (name == "access")
        assert (str(sandbox.admission_seed.resolve()) in told) == (name == "enrolment")
    assert {name for name, given in components.items() if "DOORS_PROFILE" in given} == {"access", "issuer"}
    for secret in (sandbox.issuer_key, sandbox.issuer_seed, sandbox.issuer_database):
        told = {name for name, given in components.items() if str(secret.resolve()) in given.values()}
        assert told == {"issuer"}


def test_the_issuer_is_given_what_it_reads(components: dict[str, Mapping[str, str]]) -> None:
    ours = {name for name in components["issuer"] if name.startswith("DOORS_")}
    fields = {f"DOORS_{name.upper()}" for name in IssuerSettings.model_fields}
    assert ours == fields - {"DOORS_ISSUER_TOKEN_SECONDS"}
    assert components["access"]["DOORS_TOKEN_ISSUER"] == components["issuer"]["DOORS_ISSUER_URL"]
    assert components["issuer"]["DOORS_ISSUER_URL"] == "http://localhost:8700"


def test_the_phones_are_given_what_they_read_and_no_senders_key(
    components: dict[str, Mapping[str, str]], sandbox: Sandbox
) -> None:
    ours = {name for name in components["phones"] if name.startswith("DOORS_")}
    assert ours == {f"DOORS_{name.upper()}" for name in PhonesSettings.model_fields}
    senders = sandbox.push_senders
    for secret in (senders.service_account, senders.apns_key, senders.web_push_key):
        told = {name for name, given in components.items() if str(secret.resolve()) in given.values()}
        assert told <= {"notification"}


def test_the_vehicles_are_given_what_they_read(components: dict[str, Mapping[str, str]]) -> None:
    ours = {name for name in components["vehicles"] if name.startswith("DOORS_")}
    assert ours == {
        "DOORS_NATS_URL",
        "DOORS_MQTT_URL",
        "DOORS_NATS_CA",
        "DOORS_VEHICLES_FILE",
        "DOORS_VEHICLE_DATA_DIR",
        "DOORS_CONTROL_PORT",
        "DOORS_LOG_LEVEL",
    }


def test_a_user_may_subscribe_to_no_more_than_status_watches_for_them(sandbox: Sandbox) -> None:
    plan = Planner(Ports(), sandbox, {}).plan()
    assert plan.gateway is not None
    (status,) = (each for each in plan.services if each.name == "status")
    name = "DOORS_MAX_WATCHES_PER_USER"
    watched = int(status.environment.get(name, StatusSettings.model_fields["max_watches_per_user"].default))
    assert int(plan.gateway.environment["DOORS_WEBSOCKET_SUBSCRIPTIONS_PER_USER"]) <= watched
