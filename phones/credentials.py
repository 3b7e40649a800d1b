"""Who may send: the public halves of what the push services have handed out to the sandbox's operator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SenderCredentials:
    """Of all three push services."""

    fcm_project: str
    fcm_email: str
    fcm_key_id: str
    fcm_key: RSAKey
    apns_team: str
    apns_key_id: str
    apns_topics: tuple[str, ...]
    apns_key: ECKey
    application_server_key: str
    """Under which browsers subscribe: a point of P-256, base64url."""


def read_credentials(file: Path) -> SenderCredentials:
    """Return what the file says (JSON). Raises ValueError, KeyError, OSError."""
    members = json.loads(file.read_bytes())
    fcm, apns = members["fcm"], members["apns"]
    return SenderCredentials(
        fcm_project=fcm["project"],
        fcm_email=fcm["email"],
        fcm_key_id=fcm["keyId"],
        fcm_key=RSAKey.import_key(fcm["publicKey"]),
        apns_team=apns["team"],
        apns_key_id=apns["keyId"],
        apns_topics=tuple(apns["topics"]),
        apns_key=ECKey.import_key(apns["publicKey"]),
        application_server_key=members["webPush"]["applicationServerKey"],
    )
