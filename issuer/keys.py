"""The key that tokens are signed with, and the set that is published: files that may be replaced meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path


ALGORITHM = "EdDSA"
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class SignatureRegistry(JWSRegistry):
    """Signatures of the algorithms that are named, and no others.

    EdDSA keeps the name that RFC 8037 gave it: RFC 9864's is not known yet to what reads our tokens.
    """

    max_header_length = 4_096

    @override
    def get_alg(self, name: str) -> Any:
        """Return the algorithm. Raises UnsupportedAlgorithmError."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"{name} is not used here")
        return self.algorithms[name]


class IssuerKeysUnusableError(Exception):
    """The key files do not fit each other; the text says how."""


class SigningKeys:
    """The files, read again when they have changed. Raises IssuerKeysUnusableError where they are of no use."""

    def __init__(self, key: Path, jwks: Path) -> None:
        self._key = key
        self._jwks = jwks
        self._stamp: tuple[int, int] | None = None
        self._signing: OKPKey | None = None
        self._published: list[dict[str, Any]] = []

    def signing(self) -> OKPKey:
        """Return the key to sign with, with its id. It is never one that is not published."""
        self._read()
        if self._signing is None or self._signing.kid not in {key.get("kid") for key in self._published}:
            raise IssuerKeysUnusableError(
                "the signing key is not published: its public half is not in the key set"
            )
        return self._signing

    def published(self) -> dict[str, Any]:
        """Return the JWK set: public halves, nothing else."""
        self._read()
        return {"keys": self._published}

    def _read(self) -> None:
        try:
            stamp = (self._key.stat().st_mtime_ns, self._jwks.stat().st_mtime_ns)
            if stamp == self._stamp:
                return
            document = json.loads(self._jwks.read_bytes())
            signing = OKPKey.import_key(self._key.read_bytes())
        except (OSError, ValueError) as error:
            raise IssuerKeysUnusableError(str(error)) from error
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise IssuerKeysUnusableError(f"{self._jwks} is not a JWK set")
        if any(_PRIVATE & key.keys() for key in keys):
            raise IssuerKeysUnusableError(f"{self._jwks} holds a private key and is not published")
        thumbprint = signing.thumbprint()
        self._signing = OKPKey.import_key(
            {**signing.as_dict(private=True), "kid": thumbprint, "alg": ALGORITHM}
        )
        self._published = keys
        self._stamp = stamp
