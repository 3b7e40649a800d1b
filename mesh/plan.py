"""The components of the mesh: what each is started with, and when it counts as ready."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.broker_accounts import STORE_API
from mesh.broker_health import SystemAccount, broker_healthy
from mesh.component import MeshComponent
from mesh.edge_config import (
    CORS_ORIGINS,
    PROBLEM_TYPES,
    ROOT,
    EdgeLimits,
    problem_types,
    read_origins,
    render_edge,
    write_team_trust,
)
from mesh.environment import MAY_SET, of_python, of_the_machine, of_the_user
from mesh.files import write_private
from mesh.issuer_seed import issuer_url
from mesh.nats_config import render_nats
from mesh.page_settings import catalogue, page_settings
from mesh.pki import Pair
from mesh.ports import LOOPBACK
from mesh.probes import GrpcAlive, admin_ready, grpc_serving, http_ok, https_answers, https_ok
from mesh.push_senders import PHONES
from mesh.sandbox import AUDIT_ORIGIN, GATEWAY, MONITOR, broker_user
from mesh.tokens import AUDIENCE
from services.registry import SERVICES, WITH_DATABASE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.ports import Ports
    from mesh.sandbox import Sandbox
    from services.registry import ServiceDescriptor

PROFILE = "sandbox"
# What remains of the ten seconds for a stop, after Envoy's drain, is enough for all to end in turn.
ENVOY_DRAIN_SECONDS = 1
BROKER_ALIVE_SECONDS = 10.0
"""How long the running broker may take to answer a new connection: a fleet that reconnects comes first."""
_USUAL = {"DOORS_DRAIN_SECONDS": "2", "DOORS_LOG_LEVEL": "INFO"}
"""Unless the user says otherwise."""
MODELS = ROOT / "mesh" / "vehicle_models"
"""Those of the sandbox's vehicles, unless the user has a folder of their own."""
_WITH_MODELS = frozenset(name for name, allowed in MAY_SET.items() if "VEHICLE_MODELS" in allowed)
_WIDE = {
    "DOORS_WEBSOCKET_CONNECTIONS_PER_USER": "500",
    "DOORS_WEBSOCKET_CONNECTIONS_PER_ADDRESS": "4000",
    "DOORS_WEBSOCKET_SUBSCRIPTIONS_PER_USER": "2000",
    "DOORS_WEBSOCKET_VEHICLES_PER_MINUTE": "10000",
}
"""The sandbox is one address and few people."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to run."""

    nats: MeshComponent
    services: tuple[MeshComponent, ...]
    envoy: MeshComponent
    vehicles: MeshComponent
    gateway: MeshComponent | None = None
    has_pages: bool = False
    """Whether there are pages for people: somebody has to know who signs in there."""
    issuer: MeshComponent | None = None
    """None where the user named an issuer of their own."""
    phones: MeshComponent | None = None


def python_environment(sandbox: Sandbox, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every component written in Python is given."""
    return {
        **of_the_machine(environment),
        **of_python(environment),
        # Compiled code is kept with the data: without it every start would compile for seconds.
        "PYTHONPYCACHEPREFIX": _absolute(sandbox.folder / "pycache"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        "PYTHONUNBUFFERED": "1",
    }


def python_modules(sandbox: Sandbox) -> list[str]:
    """Return what these components will import: themselves, and what makes the tables where there are none."""
    has_tables = all(sandbox.database(name).is_file() for name in WITH_DATABASE)
    return [
        *([] if has_tables else ["alembic.command"]),
        *(f"services.{each.name}.__main__" for each in SERVICES),
        *(f"{name}.__main__" for name in ("gateway", "vehicle", "issuer", "phones")),
    ]


class Planner:
    """Makes the plan.

    `environment` is what the user set: each component is given what it needs of it, and the mesh's own values win.
    """

    def __init__(self, ports: Ports, sandbox: Sandbox, environment: Mapping[str, str]) -> None:
        self._ports = ports
        self._sandbox = sandbox
        self._limits = EdgeLimits.read(environment)
        self._origins = read_origins(environment)
        self._programs = Path(sys.executable).parent
        self._environment = environment
        self._machine = of_the_machine(environment)
        self._python = python_environment(sandbox, environment)

    def plan(self) -> Plan:
        """Write the configuration files and describe every component."""
        self._sandbox.push_senders.ensure(self._ports)
        return Plan(
            nats=self._nats(),
            services=tuple(self._service(each) for each in SERVICES),
            envoy=self._envoy(),
            vehicles=self._vehicles(),
            gateway=self._gateway(),
            phones=self._phones(),
            has_pages=bool(self._page_settings),
            issuer=None if self._own_issuer else self._issuer(),
        )

    def _log(self, name: str) -> Path:
        return self._sandbox.logs / f"{name}.log"

    def _pair(self, name: str) -> Pair:
        return Pair(self._sandbox.pki / f"{name}.crt", self._sandbox.pki / f"{name}.key")

    def _broker(self, service: str) -> dict[str, str]:
        return {
            "DOORS_NATS_URL": f"tls://{LOOPBACK}:{self._ports.nats}",
            "DOORS_NATS_CA": _absolute(self._sandbox.pki / "ca.crt"),
            "DOORS_NATS_USER": broker_user(service),
            "DOORS_NATS_PASSWORD_FILE": _absolute(self._sandbox.nats_password(service)),
            "DOORS_NATS_API_PREFIX": STORE_API,
            "DOORS_NATS_PROVISION": "self" if service == "enrolment" else "await",
        }

    def _nats(self) -> MeshComponent:
        config = self._sandbox.folder / "nats" / "nats.conf"
        text = render_nats(self._ports, self._sandbox, self._pair("nats"))
        write_private(config, text.encode())
        account = SystemAccount(
            broker_user(MONITOR), self._sandbox.nats_password(MONITOR), self._pair(MONITOR)
        )
        return MeshComponent(
            name="nats",
            command=(str(self._programs / "nats-server"), "-c", _absolute(config)),
            environment=self._machine,
            log=self._log("nats"),
            probe=lambda: broker_healthy(self._ports.nats, self._sandbox.pki / "ca.crt", account),
            stop_seconds=2.0,
            is_alive=broker_healthy(
                self._ports.nats, self._sandbox.pki / "ca.crt", account, BROKER_ALIVE_SECONDS
            ),
            masked=True,
        )

    def _service(self, service: ServiceDescriptor) -> MeshComponent:
        """Return one service, told what its descriptor says that it needs, and what it alone is told."""
        particular = {
            "access": self._access_settings,
            "status": self._status_settings,
            "enrolment": self._enrolment_settings,
            "signer": self._signer_settings,
            "audit": self._audit_settings,
            "notification": self._notification_settings,
        }.get(service.name, dict[str, str])
        settings = {
            **self._server(service.name, self._ports.service(service.name)),
            **self._vehicle_settings(service),
            **particular(),
        }
        if service.needs_broker:
            settings |= self._broker(service.name)
            settings["DOORS_AUDIT_TARGET"] = self._target("audit")
        if service.has_database:
            settings["DOORS_DATABASE_URL"] = self._sandbox.database_url(service.name)
        return self._serving(service.name, settings)

    def _serving(self, name: str, settings: Mapping[str, str]) -> MeshComponent:
        port = self._ports.service(name)
        may_set = of_the_user(self._environment, name)
        usual = {**_USUAL, **({"DOORS_VEHICLE_MODELS": _absolute(MODELS)} if name in _WITH_MODELS else {})}
        environment = {**self._python, **usual, **may_set, **settings}
        return MeshComponent(
            name=name,
            command=(sys.executable, "-m", f"services.{name}"),
            environment=environment,
            log=self._log(name),
            probe=lambda: grpc_serving(port, self._sandbox.pki / "ca.crt", self._pair("edge")),
            is_alive=GrpcAlive(port, self._sandbox.pki / "ca.crt", self._pair("edge")),
        )

    def _server(self, name: str, port: int) -> dict[str, str]:
        pair = self._pair(name)
        return {
            "DOORS_LISTEN": f"{LOOPBACK}:{port}",
            "DOORS_TLS_CERT": _absolute(pair.cert),
            "DOORS_TLS_KEY": _absolute(pair.key),
            "DOORS_TLS_CA": _absolute(self._sandbox.pki / "ca.crt"),
            "DOORS_CAPABILITY_JWKS": _absolute(self._sandbox.capability_jwks),
            "DOORS_REVOKED_WORKLOADS": _absolute(self._sandbox.pki / "ca.crl"),
        }

    def _target(self, service: str) -> str:
        return f"{LOOPBACK}:{self._ports.service(service)}"

    def _vehicle_settings(self, service: ServiceDescriptor) -> dict[str, str]:
        """Return what a service needs to talk with vehicles: each only the keys it works with."""
        keys = self._sandbox.ceremony
        settings = {}
        if service.opens_answers:
            settings["DOORS_VEHICLE_KEYS_TARGET"] = self._target("enrolment")
            settings["DOORS_CLOUD_SEAL_KEYS"] = _absolute(keys.seal_keys)
        if service.opens_reports:
            settings["DOORS_CLOUD_REPORT_KEYS"] = _absolute(keys.report_keys)
        if service.asks_for_checks:
            settings["DOORS_COMMAND_TARGET"] = self._target("command")
        if service.gives_orders:
            settings["DOORS_SIGNER_TARGET"] = self._target("signer")
            settings["DOORS_ORDER_MAC_KEY"] = _absolute(self._sandbox.order_mac_key)
        if service.delivers_orders:
            settings["DOORS_KEY_MANIFESTS"] = _absolute(keys.manifests)
            # The simulator stands for the gateway through which sleeping vehicles are woken.
            settings["DOORS_WAKE_URL"] = f"http://{LOOPBACK}:{self._ports.control}"
        return settings

    def _access_settings(self) -> dict[str, str]:
        return {
            **self._token_settings(),
            "DOORS_PROFILE": PROFILE,
            "DOORS_CAPABILITY_KEY": _absolute(self._sandbox.capability_key),
            "DOORS_API_KEY_PEPPER_FILE": _absolute(self._sandbox.api_key_pepper),
            "DOORS_SANDBOX_SEED": _absolute(self._sandbox.seed),
            "DOORS_SUBJECT_DATA_TARGETS": " ".join(
                f"{name}={self._target(name)}" for name in WITH_DATABASE if name != "access"
            ),
        }

    def _token_settings(self) -> dict[str, str]:
        """Return whose tokens are taken: those of the issuer that the user named with DOORS_TOKEN_DISCOVERY_URL, or
        the sandbox's own.
        """
        audience = {"DOORS_TOKEN_AUDIENCE": self._environment.get("DOORS_TOKEN_AUDIENCE") or AUDIENCE}
        if self._own_issuer:
            return audience
        url = issuer_url(self._ports)
        return {
            **audience,
            "DOORS_TOKEN_ISSUER": url,
            "DOORS_TOKEN_DISCOVERY_URL": f"{url}/.well-known/openid-configuration",
        }

    @property
    def _own_issuer(self) -> bool:
        return bool(self._environment.get("DOORS_TOKEN_DISCOVERY_URL"))

    def _issuer(self) -> MeshComponent:
        environment = {
            **self._python,
            "DOORS_LOG_LEVEL": "INFO",
            **of_the_user(self._environment, "issuer"),
            "DOORS_PROFILE": PROFILE,
            "DOORS_ISSUER_URL": issuer_url(self._ports),
            "DOORS_ISSUER_PORT": str(self._ports.issuer),
            "DOORS_ISSUER_KEY": _absolute(self._sandbox.issuer_key),
            "DOORS_ISSUER_JWKS": _absolute(self._sandbox.issuer_jwks),
            "DOORS_ISSUER_SEED": _absolute(self._sandbox.issuer_seed),
            "DOORS_ISSUER_DATABASE": _absolute(self._sandbox.issuer_database),
            "DOORS_ISSUER_PAGE_ORIGINS": ",".join(self._ports.page_origins),
            "DOORS_TOKEN_AUDIENCE": AUDIENCE,
        }
        return MeshComponent(
            name="issuer",
            command=(sys.executable, "-m", "issuer"),
            environment=environment,
            log=self._log("issuer"),
            probe=lambda: http_ok(self._ports.issuer, "/healthz"),
            is_alive=http_ok(self._ports.issuer, "/healthz"),
            stop_seconds=2.0,
        )

    def _gateway(self) -> MeshComponent:
        environment = {
            **self._python,
            **_USUAL,
            **_WIDE,
            "DOORS_WEBSOCKET_ORIGINS": ",".join(self._ports.page_origins),
            CORS_ORIGINS: str(self._origins),
            **self._page_settings,
            **of_the_user(self._environment, GATEWAY),
            **self._server(GATEWAY, self._ports.gateway),
            "DOORS_ACCESS_TARGET": self._target("access"),
            "DOORS_STATUS_TARGET": self._target("status"),
        }
        healthy = https_ok(self._ports.gateway, "/healthz", self._sandbox.pki / "ca.crt", self._pair("edge"))
        return MeshComponent(
            name=GATEWAY,
            command=(sys.executable, "-m", "gateway"),
            environment=environment,
            log=self._log(GATEWAY),
            probe=lambda: healthy,
            is_alive=https_answers(
                self._ports.gateway, "/healthz", self._sandbox.pki / "ca.crt", self._pair("edge")
            ),
        )

    @property
    def _page_settings(self) -> dict[str, str]:
        return page_settings(self._ports, self._sandbox, self._environment, own_issuer=self._own_issuer)

    def _status_settings(self) -> dict[str, str]:
        return {
            "DOORS_UPDATE_ID_KEY": _absolute(self._sandbox.update_id_key),
            "DOORS_COMMAND_TARGET": self._target("command"),
        }

    def _signer_settings(self) -> dict[str, str]:
        """Return the signer's component: it holds the one key that moves doors, and is given what it needs and
        nothing more.
        """
        return {
            "DOORS_ACCESS_TARGET": self._target("access"),
            "DOORS_SIGNING_KEY": _absolute(self._sandbox.ceremony.signing_key),
            "DOORS_ORDER_MAC_KEY": _absolute(self._sandbox.order_mac_key),
            "DOORS_KEY_MANIFESTS": _absolute(self._sandbox.ceremony.manifests),
        }

    def _enrolment_settings(self) -> dict[str, str]:
        return {
            "DOORS_STORE_PREFIX_FILE": _absolute(self._sandbox.store_prefix),
            "DOORS_VEHICLE_CA": _absolute(self._sandbox.vehicle_ca),
            "DOORS_ADMISSION_SEED_FILE": _absolute(self._sandbox.admission_seed),
            "DOORS_ENROLMENT_SEED": _absolute(self._sandbox.enrolment_seed),
        }

    def _audit_settings(self) -> dict[str, str]:
        return {
            "DOORS_AUDIT_HOUSE_KEY": _absolute(self._sandbox.audit_house_key),
            "DOORS_AUDIT_LOG_KEYS": _absolute(self._sandbox.audit_log_keys),
            "DOORS_AUDIT_ORIGIN": AUDIT_ORIGIN,
            "DOORS_AUDIT_FOLDER": _absolute(self._sandbox.audit_folder),
            "DOORS_AUDIT_SECOND_PLACE": _absolute(self._sandbox.audit_second_place),
        }

    def _notification_settings(self) -> dict[str, str]:
        return {
            "DOORS_ACCESS_TARGET": self._target("access"),
            "DOORS_COMMAND_TARGET": self._target("command"),
            "DOORS_UPDATE_ID_KEY": _absolute(self._sandbox.update_id_key),
            "DOORS_WEBHOOK_KEY": _absolute(self._sandbox.webhook_key),
            "DOORS_WEBHOOK_CA": _absolute(self._sandbox.pki / "ca.crt"),
            "DOORS_WEBHOOK_ALLOW_PRIVATE": "loopback",
            **self._sandbox.push_senders.settings(self._ports, self._sandbox.pki / "ca.crt"),
        }

    def _phones(self) -> MeshComponent:
        environment = {
            **self._python,
            "DOORS_LOG_LEVEL": "INFO",
            **of_the_user(self._environment, PHONES),
            **self._sandbox.push_senders.phones_settings(self._ports, self._pair(PHONES)),
        }
        return MeshComponent(
            name=PHONES,
            command=(sys.executable, "-m", "phones"),
            environment=environment,
            log=self._log(PHONES),
            probe=lambda: http_ok(self._ports.phones, "/healthz"),
            is_alive=http_ok(self._ports.phones, "/healthz"),
            stop_seconds=2.0,
        )

    def _envoy(self) -> MeshComponent:
        config = self._sandbox.folder / "envoy" / "envoy.yaml"
        write_team_trust(self._sandbox.pki.resolve())
        admin = self._sandbox.envoy_admin
        admin.unlink(missing_ok=True)  # of a run that was killed
        types = problem_types(
            self._environment, catalogue(self._ports) if self._page_settings else PROBLEM_TYPES
        )
        text = render_edge(
            self._ports, self._sandbox.pki.resolve(), admin, self._limits, self._origins, types
        )
        write_private(config, text.encode())
        words = ("--disable-hot-restart", "--drain-time-s", str(ENVOY_DRAIN_SECONDS), "--log-level", "warn")
        return MeshComponent(
            name="envoy",
            command=(str(self._programs / "envoy"), "-c", _absolute(config), *words),
            environment=self._machine,
            log=self._log("envoy"),
            probe=lambda: admin_ready(admin),
            stop_seconds=1.0,
            is_alive=admin_ready(admin),
        )

    def _vehicles(self) -> MeshComponent:
        environment = {
            **self._python,
            "DOORS_LOG_LEVEL": "INFO",
            **of_the_user(self._environment, "vehicles"),
            "DOORS_NATS_URL": f"tls://{LOOPBACK}:{self._ports.nats}",
            "DOORS_MQTT_URL": f"mqtts://{LOOPBACK}:{self._ports.mqtt}",
            "DOORS_NATS_CA": _absolute(self._sandbox.pki / "ca.crt"),
            "DOORS_VEHICLES_FILE": _absolute(self._sandbox.vehicles),
            "DOORS_VEHICLE_DATA_DIR": _absolute(self._sandbox.folder / "vehicles"),
            "DOORS_CONTROL_PORT": str(self._ports.control),
        }
        return MeshComponent(
            name="vehicles",
            command=(sys.executable, "-m", "vehicle"),
            environment=environment,
            log=self._log("vehicles"),
            probe=lambda: http_ok(self._ports.control, "/readyz"),
            stop_seconds=2.0,
        )


def _absolute(path: Path) -> str:
    return str(path.resolve())
