"""Everything the sandbox needs that is not code: keys, certificates, passwords, seeds, in one folder.

Made once and kept; a second run finds it and renews only certificates about to expire. No secret has a
default: all are random, and only the owner may read the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.broker_secrets import BrokerSecrets, ensure_secret
from mesh.ceremony import Ceremony, ensure_log_key
from mesh.files import owned_folder, private_folder, write_private, write_private_json
from mesh.issuer_seed import ensure_issuer_seed, issuer_url
from mesh.pki import VEHICLE_CA, CertificateIdentity, Pair, Pki
from mesh.ports import LOOPBACK
from mesh.push_senders import PHONES, PushSenders
from mesh.sandbox_fleet import ASLEEP_VIN, DOOR_TIME_SECONDS, EQUIPMENT, MQTT_VIN, OWNERS, sandbox_seed
from mesh.signing_keys import ensure_signing_key
from services.registry import ON_THE_BROKER, SERVICES, descriptor_of

if TYPE_CHECKING:
    from datetime import datetime

    from mesh.ports import Ports

TRUST_DOMAIN = "spiffe://ecarus"
_LONGEST_SOCKET_NAME = 107
"""What the kernel takes, without the closing zero byte (unix(7))."""

OPERATOR = "operator"
"""Who `doorctl` is: the name of its certificate."""
PERSON = "team-operator"
"""Who gives rights with `doorctl`: the name of the certificate."""
_ENDS = {"cert": "crt", "key": "key"}
GATEWAY = "gateway"
"""What serves the WebSocket: the name of its certificate."""
AUDIT_ORIGIN = "remotecontrol.ecarus.internal/audit"
"""The name of the sandbox's audit log, and of its key."""
MONITOR = "broker-monitor"
"""Who asks the broker how it is: the name of its certificate."""


def broker_user(name: str) -> str:
    """Return the broker's user of a service or of the monitor: a DNS name in its certificate.

    Not its URI: the broker does not look which CA signed, and vehicles have URIs of the same trust domain. Their CA may
    sign no DNS name.
    """
    return f"{name}.ecarus.internal" if name == MONITOR else descriptor_of(name).tls_name


IDENTITIES = (
    *(
        CertificateIdentity(
            service.name,
            uri=f"{TRUST_DOMAIN}/{service.spiffe_path}",
            dns=(service.tls_name, "localhost"),
            addresses=(LOOPBACK,),
        )
        for service in SERVICES
    ),
    CertificateIdentity(
        GATEWAY,
        uri=f"{TRUST_DOMAIN}/room/gateway",
        dns=("gateway.rooms.ecarus.internal", "localhost"),
        addresses=(LOOPBACK,),
    ),
    CertificateIdentity(PHONES, dns=("localhost",), addresses=(LOOPBACK,), client=False),
    CertificateIdentity("edge", uri=f"{TRUST_DOMAIN}/edge", server=False),
    CertificateIdentity("public", dns=("localhost", "api.ecarus.run"), addresses=(LOOPBACK,), client=False),
    CertificateIdentity("team-demo", uri=f"{TRUST_DOMAIN}/team/demo", server=False),
    CertificateIdentity(OPERATOR, uri=f"{TRUST_DOMAIN}/operator", server=False),
    CertificateIdentity(MONITOR, dns=(broker_user(MONITOR),), server=False),
    CertificateIdentity(PERSON, uri=f"{TRUST_DOMAIN}/team/operator", server=False),
    CertificateIdentity(
        "nats", dns=("localhost", "nats.ecarus.internal"), addresses=(LOOPBACK,), client=False
    ),
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where things are below the data folder."""

    folder: Path

    @property
    def pki(self) -> Path:
        """Certificates and their keys."""
        return self.folder / "pki"

    @property
    def vehicle_ca(self) -> Path:
        """The CA of vehicles (PEM). `pki/ca.crt` is that of everybody else."""
        return self.pki / f"{VEHICLE_CA}.crt"

    @property
    def broker_clients(self) -> Path:
        """Both CAs: whose certificates the broker accepts."""
        return self.pki / "broker-clients.crt"

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.folder / "logs"

    @property
    def envoy_admin(self) -> Path:
        """The socket of Envoy's admin interface, in a folder that only the owner enters.

        Below the data, unless that is too deep for a socket's name: then in a folder of the owner's own
        among the temporary files.
        """
        usual = self.folder.resolve() / "envoy" / "admin.sock"
        if len(os.fsencode(usual)) <= _LONGEST_SOCKET_NAME:
            return usual
        name = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]
        return owned_folder(Path(tempfile.gettempdir()) / f"doors-{os.getuid()}-{name}") / "admin.sock"

    @property
    def capability_key(self) -> Path:
        """The access service's signing key (PEM)."""
        return self.folder / "secrets" / "capability.key"

    @property
    def capability_jwks(self) -> Path:
        """Its public half, for every service."""
        return self.folder / "public" / "capability.jwks.json"

    @property
    def issuer_key(self) -> Path:
        """The development token issuer's signing key (PEM)."""
        return self.folder / "secrets" / "issuer.key"

    @property
    def issuer_jwks(self) -> Path:
        """Its public half, for the access service."""
        return self.folder / "public" / "issuer.jwks.json"

    @property
    def issuer_seed(self) -> Path:
        """The people who can sign in at the issuer, with their passwords and TOTP secrets, and its clients' secrets."""
        return self.folder / "secrets" / "issuer-seed.json"

    @property
    def issuer_database(self) -> Path:
        """What the issuer keeps."""
        return self.folder / "data" / "issuer.db"

    @property
    def issuer_file(self) -> Path:
        """Where the issuer is: who makes or asks for tokens finds it by this."""
        return self.folder / "issuer.json"

    @property
    def api_key_pepper(self) -> Path:
        """The secret under which API keys are hashed."""
        return self.folder / "secrets" / "api-key-pepper"

    @property
    def order_mac_key(self) -> Path:
        """What command, config and the signer share: the stamp under an order as it was accepted."""
        return self.folder / "secrets" / "order-mac.key"

    @property
    def update_id_key(self) -> Path:
        """What every replica of the status service seals the ids of updates with."""
        return self.folder / "secrets" / "update-id.key"

    @property
    def webhook_key(self) -> Path:
        """What webhooks' secrets are sealed under."""
        return self.folder / "secrets" / "webhook.key"

    @property
    def audit_house_key(self) -> Path:
        """What the audit ledger wraps people's keys with."""
        return self.folder / "secrets" / "audit-house.key"

    @property
    def audit_log_keys(self) -> Path:
        """What the audit ledger signs its checkpoints with (PEM)."""
        return self.folder / "secrets" / "audit-log.key"

    @property
    def audit_log_public(self) -> Path:
        """Its public half, as whoever verifies the ledger needs it (a verifier key, c2sp.org/signed-note)."""
        return self.folder / "public" / "audit-log.vkey"

    @property
    def audit_folder(self) -> Path:
        """The published audit log."""
        return self.folder / "audit" / "log"

    @property
    def audit_second_place(self) -> Path:
        """Where its last checkpoint is kept besides: here beside everything else, for want of another machine."""
        return self.folder / "audit" / "second-place"

    @property
    def broker_secrets(self) -> BrokerSecrets:
        """What the broker and the services know of each other."""
        return BrokerSecrets(self.folder / "secrets")

    @property
    def admission_seed(self) -> Path:
        """The nkey seed with which the enrolment service signs admissions."""
        return self.broker_secrets.admission_seed

    @property
    def store_prefix(self) -> Path:
        """What stands before the subjects at which the broker's stores listen: who knows it may write into them."""
        return self.broker_secrets.store_prefix

    @property
    def enrolment_seed(self) -> Path:
        """The vehicles that the enrolment service knows from the start."""
        return self.folder / "enrolment-seed.json"

    @property
    def operator(self) -> Path:
        """Where `doorctl` finds the services, and who it is."""
        return self.folder / "operator.json"

    @property
    def seed(self) -> Path:
        """Vehicles, grants and API keys that the access service starts with."""
        return self.folder / "sandbox-seed.json"

    @property
    def vehicles(self) -> Path:
        """What the simulator runs."""
        return self.folder / "vehicles.json"

    @property
    def push_senders(self) -> PushSenders:
        """Who the sandbox is to its push services."""
        return PushSenders(self.folder)

    @property
    def ceremony(self) -> Ceremony:
        """The keys of the protocol between cloud and vehicles."""
        return Ceremony(self.folder)

    def vehicle_pki(self, now: datetime) -> Pki:
        """Return the vehicles' certificates."""
        return Pki(self.pki, now, VEHICLE_CA)

    def nats_password(self, user: str) -> Path:
        """Return the file with the broker password of a service or a vehicle."""
        return self.broker_secrets.password(user)

    def database(self, service: str) -> Path:
        """Return the file of the service's own database."""
        return self.folder.resolve() / "data" / f"{service}.db"

    def database_url(self, service: str) -> str:
        """Return the same as the service is told it."""
        return f"sqlite:///{self.database(service)}"

    def prepare(self, now: datetime) -> None:
        """Make what is missing. Raises ValueError, OSError, CeremonyError or KeyFileError naming a file that
        cannot be used.
        """
        private_folder(self.folder)
        for name in ("logs", "data", "nats", "envoy", "vehicles", "audit"):
            private_folder(self.folder / name)
        pki = Pki(self.pki, now)
        for identity in IDENTITIES:
            pki.ensure(identity)
        pki.ensure_revocations()
        vehicle_pki = self.vehicle_pki(now)
        for vin in OWNERS:
            vehicle_pki.ensure(vehicle_identity(vin))
        write_private(self.broker_clients, pki.ca.read_bytes() + vehicle_pki.ca.read_bytes())
        self.broker_secrets.ensure((*ON_THE_BROKER, MONITOR))
        ensure_secret(self.api_key_pepper)
        ensure_secret(self.order_mac_key)
        ensure_secret(self.update_id_key)
        ensure_secret(self.webhook_key)
        ensure_secret(self.audit_house_key)
        private_folder(self.audit_folder)
        private_folder(self.audit_second_place)
        ensure_log_key(self.audit_log_keys, self.audit_log_public, AUDIT_ORIGIN)
        ensure_signing_key(self.capability_key, self.capability_jwks)
        ensure_signing_key(self.issuer_key, self.issuer_jwks)
        ensure_issuer_seed(self.issuer_seed)
        self.ceremony.hold(now)
        write_private_json(self.seed, sandbox_seed())
        write_private_json(self.vehicles, [self._vehicle(vin) for vin in OWNERS])
        write_private_json(self.enrolment_seed, [self._enrolment(vin) for vin in OWNERS])

    def write_issuer_file(self, ports: Ports) -> None:
        """Let `make token` and the issuer's command line find it at these ports."""
        write_private_json(self.issuer_file, {"issuer": issuer_url(ports)})

    @property
    def issuer(self) -> str:
        """The issuer's URL, of the last start. Raises FileNotFoundError when there was none."""
        return str(json.loads(self.issuer_file.read_bytes())["issuer"])

    def write_operator_file(self, ports: Ports) -> None:
        """Let `doorctl` find the services at these ports."""
        pair = Pair(self.pki / f"{OPERATOR}.crt", self.pki / f"{OPERATOR}.key")
        files = {"ca": self.pki / "ca.crt", "cert": pair.cert, "key": pair.key}
        services = {
            each.name: f"{LOOPBACK}:{ports.service(each.name)}" for each in SERVICES if each.is_operated
        }
        person = {end: str((self.pki / f"{PERSON}.{suffix}").resolve()) for end, suffix in _ENDS.items()}
        write_private_json(
            self.operator,
            {
                **{name: str(path.resolve()) for name, path in files.items()},
                "person": person,
                "services": services,
            },
        )

    def _pair_of(self, vin: str) -> Pair:
        name = vehicle_identity(vin).name
        folder = self.pki.resolve()
        return Pair(folder / f"{name}.crt", folder / f"{name}.key")

    def _vehicle(self, vin: str) -> dict[str, object]:
        return {
            "vin": vin,
            "awake": vin != ASLEEP_VIN,
            "doorTimeSeconds": DOOR_TIME_SECONDS,
            "link": "mqtt" if vin == MQTT_VIN else "nats",
            "certFile": str(self._pair_of(vin).cert),
            "keyFile": str(self._pair_of(vin).key),
            **({"equipment": EQUIPMENT[vin]} if vin in EQUIPMENT else {}),
            **self.ceremony.car_settings(vin),
        }

    def _enrolment(self, vin: str) -> dict[str, str]:
        return {
            "vin": vin,
            "certificateFile": str(self._pair_of(vin).cert),
            "keysFile": str(self.ceremony.make_car(vin).public.resolve()),
        }


def vehicle_identity(vin: str) -> CertificateIdentity:
    """Return whom a vehicle's certificate is for."""
    return CertificateIdentity(f"vehicle-{vin}", uri=f"{TRUST_DOMAIN}/vehicle/{vin}", server=False)
