"""A passkey in software: makes and uses WebAuthn credentials as a browser with its authenticator does.

What it says is built with fido2, which shares no code with the product.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

PRESENT, VERIFIED, ATTESTED = (
    AuthenticatorData.FLAG.UP,
    AuthenticatorData.FLAG.UV,
    AuthenticatorData.FLAG.AT,
)


@dataclass
class SoftAuthenticator:
    """One passkey for one origin. `count` goes up with each use; `verifies` says whether it asks for its PIN."""

    origin: str
    rp_id: str = "localhost"
    verifies: bool = True
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.create` gives."""
        client = CollectedClientData.create(
            CollectedClientData.TYPE.CREATE, options["challenge"], self.origin
        )
        attested = AttestedCredentialData.create(
            Aaguid.NONE, self.credential_id, ES256.from_cryptography_key(self.key.public_key())
        )
        data = AuthenticatorData.create(
            self._rp_hash(), self._flags() | ATTESTED, self.count, bytes(attested)
        )
        made = AttestationObject.create("none", data, {})
        return self._credential(clientDataJSON=bytes(client), attestationObject=bytes(made))

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.get` gives."""
        self.count += 1
        client = CollectedClientData.create(CollectedClientData.TYPE.GET, options["challenge"], self.origin)
        data = bytes(AuthenticatorData.create(self._rp_hash(), self._flags(), self.count))
        signature = self.key.sign(data + hashlib.sha256(bytes(client)).digest(), ec.ECDSA(hashes.SHA256()))
        return self._credential(clientDataJSON=bytes(client), authenticatorData=data, signature=signature)

    def _flags(self) -> AuthenticatorData.FLAG:
        return PRESENT | VERIFIED if self.verifies else PRESENT

    def _rp_hash(self) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest()

    def _credential(self, **response: bytes) -> dict[str, Any]:
        name = websafe_encode(self.credential_id)
        said = {part: websafe_encode(value) for part, value in response.items()}
        return json.loads(
            json.dumps(
                {
                    "id": name,
                    "rawId": name,
                    "type": "public-key",
                    "response": said,
                    "clientExtensionResults": {},
                }
            )
        )
