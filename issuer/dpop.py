"""Proofs of possession (RFC 9449) at the token endpoint: a client that sends one gets tokens bound to its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, import_key
from joserfc.jws import extract_compact
from sqlalchemy.exc import IntegrityError

from issuer.keys import SignatureRegistry
from issuer.store import SeenRow, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer.store import IssuerStore

ALGORITHMS = ["ES256", "EdDSA"]
"""Those that access takes proofs of, too."""
IAT_WINDOW_SECONDS = 60
"""How old, or how far ahead, a proof may be."""
MAX_PROOF = 4_096
_MAX_ID = 256
_REGISTRY = SignatureRegistry(algorithms=ALGORITHMS, strict_check_header=False)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class ProofRefusedError(Exception):
    """The proof is not accepted; the text says why."""


class ProofChecker:
    """Checks proofs. Each is good once, for one method and URL."""

    def __init__(self, store: IssuerStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def thumbprint(self, proof: str, method: str, url: str) -> str:
        """Return the thumbprint of the key (`jkt`) that the proof shows. Raises ProofRefusedError."""
        if len(proof) > MAX_PROOF:
            raise ProofRefusedError("it is too long")
        try:
            header = extract_compact(proof.encode(), registry=_REGISTRY).headers()
            jwk = header.get("jwk")
            if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS:
                raise ProofRefusedError("typ or alg is not that of a proof")
            if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
                raise ProofRefusedError("jwk is not a public key")
            key = import_key(jwk)
            if not isinstance(key, ECKey | OKPKey):
                raise ProofRefusedError("jwk is not a public key")
            claims = jwt.decode(proof, key, registry=_REGISTRY).claims
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ProofRefusedError("it is not signed by the key that it shows") from error
        if claims.get("htm") != method or claims.get("htu") != url:
            raise ProofRefusedError("htm or htu is not this request")
        at, proof_id = claims.get("iat"), claims.get("jti")
        if not isinstance(at, int) or isinstance(at, bool) or abs(self._now() - at) > IAT_WINDOW_SECONDS:
            raise ProofRefusedError("iat is not now")
        if not isinstance(proof_id, str) or not 0 < len(proof_id) <= _MAX_ID:
            raise ProofRefusedError("jti is missing")
        thumbprint = key.thumbprint()
        self._use(f"{thumbprint} {proof_id}")
        return thumbprint

    def _use(self, name: str) -> None:
        try:
            with self._store.transaction() as session:
                expires_at = int(self._now()) + 2 * IAT_WINDOW_SECONDS
                session.add(SeenRow(seen_hash=digest(name), expires_at=expires_at))
        except IntegrityError as error:
            raise ProofRefusedError("it was used before") from error
