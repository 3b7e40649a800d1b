"""Who the sandbox is to its push services: what Google, Apple and browsers would have handed out, made here at random.

The private halves are the notification service's, the public ones the simulated phones'.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mesh.files import write_private, write_private_json

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.pki import Pair
    from mesh.ports import Ports

APNS_KEY_ID = "SANDBOXKEY"
APNS_TEAM_ID = "SANDBOXTEA"
APNS_TOPICS = ("run.ecarus.remote-door",)
WEB_PUSH_CONTACT = "mailto:sandbox@ecarus.internal"
PHONES = "phones"
"""The simulated phones: the name of the component and of its certificate."""
_PROJECT = "ecarus-sandbox"
_EMAIL = f"notification@{_PROJECT}.iam.gserviceaccount.com"
_FCM_KEY_ID = "sandbox-key-1"


def push_url(ports: Ports) -> str:
    """Return where the sandbox's push services are: all three behind one port."""
    return f"https://localhost:{ports.push}"


@dataclass(frozen=True, slots=True)
class PushSenders:
    """The files, below the sandbox's folder."""

    folder: Path

    @property
    def service_account(self) -> Path:
        """The key file of FCM's service account (JSON)."""
        return self.folder / "secrets" / "fcm-service-account.json"

    @property
    def apns_key(self) -> Path:
        """What APNs' provider tokens are signed with (PEM)."""
        return self.folder / "secrets" / "apns.p8"

    @property
    def web_push_key(self) -> Path:
        """The application server's key (PEM)."""
        return self.folder / "secrets" / "web-push.key"

    @property
    def public(self) -> Path:
        """The public halves, for the push services."""
        return self.folder / "public" / "push-senders.json"

    @property
    def phones(self) -> Path:
        """Where the simulated phones are kept."""
        return self.folder / "data" / "phones.json"

    def ensure(self, ports: Ports) -> None:
        """Make the keys that are missing, and say where the push services are. Raises ValueError, OSError."""
        fcm, apns, web_push = self._fcm_key(), _p256_key(self.apns_key), _p256_key(self.web_push_key)
        account = {
            "type": "service_account",
            "project_id": _PROJECT,
            "private_key_id": _FCM_KEY_ID,
            "private_key": _private_pem(fcm).decode(),
            "client_email": _EMAIL,
            "token_uri": f"{push_url(ports)}/token",
        }
        write_private_json(self.service_account, account)
        public = {
            "fcm": {
                "project": _PROJECT,
                "email": _EMAIL,
                "keyId": _FCM_KEY_ID,
                "publicKey": _public_pem(fcm),
            },
            "apns": {
                "team": APNS_TEAM_ID,
                "keyId": APNS_KEY_ID,
                "topics": APNS_TOPICS,
                "publicKey": _public_pem(apns),
            },
            "webPush": {"applicationServerKey": _point(web_push)},
        }
        write_private_json(self.public, public)

    @property
    def application_server_key(self) -> str:
        """What browsers subscribe under: the public half of `web_push_key`, base64url."""
        return _point(_p256_key(self.web_push_key))

    def settings(self, ports: Ports, ca: Path) -> dict[str, str]:
        """Return what the notification service is told: the push services of the simulated phones, and who it is to
        them.
        """
        url = push_url(ports)
        return {
            "DOORS_FCM_SERVICE_ACCOUNT": str(self.service_account.resolve()),
            "DOORS_FCM_PROJECT": _PROJECT,
            "DOORS_FCM_URL": url,
            "DOORS_APNS_KEY": str(self.apns_key.resolve()),
            "DOORS_APNS_KEY_ID": APNS_KEY_ID,
            "DOORS_APNS_TEAM_ID": APNS_TEAM_ID,
            "DOORS_APNS_TOPICS": ",".join(APNS_TOPICS),
            "DOORS_APNS_URL": url,
            "DOORS_WEB_PUSH_KEY": str(self.web_push_key.resolve()),
            "DOORS_WEB_PUSH_CONTACT": WEB_PUSH_CONTACT,
            "DOORS_WEB_PUSH_HOSTS": f"localhost:{ports.push}",
            "DOORS_WEB_PUSH_PRIVATE_ADDRESSES": "true",
            "DOORS_PUSH_CA": str(ca.resolve()),
        }

    def phones_settings(self, ports: Ports, pair: Pair) -> dict[str, str]:
        """Return what the simulated phones are told; `pair` is their certificate."""
        return {
            "DOORS_PHONES_PORT": str(ports.phones),
            "DOORS_PHONES_PUSH_PORT": str(ports.push),
            "DOORS_PHONES_TLS_CERT": str(pair.cert.resolve()),
            "DOORS_PHONES_TLS_KEY": str(pair.key.resolve()),
            "DOORS_PHONES_SENDERS": str(self.public.resolve()),
            "DOORS_PHONES_FILE": str(self.phones.resolve()),
        }

    def _fcm_key(self) -> rsa.RSAPrivateKey:
        if self.service_account.is_file():
            pem = json.loads(self.service_account.read_bytes())["private_key"]
            key = load_pem_private_key(pem.encode(), password=None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise ValueError(f"{self.service_account} holds no RSA key")
            return key
        return rsa.generate_private_key(65_537, 2_048)


def _p256_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in the file, which is made where there is none."""
    if not path.is_file():
        write_private(path, _private_pem(ec.generate_private_key(ec.SECP256R1())))
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path} is not a P-256 key")  # noqa: TRY004  # wrong content, not a wrong argument
    return key


def _point(key: ec.EllipticCurvePrivateKey) -> str:
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
