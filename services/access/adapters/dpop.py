"""DPoP (RFC 9449): a token that is bound to a key is good for whoever proves to hold that key.

A proof is for one request: its method, its URL, its token, within seconds of its making, and once. What was seen is
remembered by this process, which tells the other replicas within moments (shared_proofs). A copy that is faster may be
used once at each of them, for the very same method and URL, and once more at one that has just started; that is what
it costs to ask nobody else on the way of a request.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt

from services.access.adapters import compact_jws
from services.access.adapters.recent import ExpiringCache
from services.access.adapters.token_claims import is_name, is_time
from services.platform import errors
from services.platform.errors import Refusal
from services.platform.step_up import CHALLENGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALGORITHMS = ("ES256", "EdDSA")
DPOP = "DPoP"
PARAMETERS = f'algs="{" ".join(ALGORITHMS)}"'
"""What a challenge of this scheme says besides the fault (RFC 9449, 7.1)."""
OLDEST_SECONDS = 60
"""A proof was made at most so long ago."""
AHEAD_SECONDS = 30
"""And not further in the future than clocks may differ."""
PROOF_ID_BYTES = 16
"""Of what a proof is remembered by: a hash of its key and its `jti`."""
_MAX_PROOF = 4_096
_MAX_SEEN = 200_000
_TYPE = "dpop+jwt"
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
"""Those of a public key that make its thumbprint, by its kind (RFC 7638)."""
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ProofOfRequest:
    """What a request says of who holds the key: the DPoP header as it came, and what it must be a proof for.

    `url` is the one that the client called, without query.
    """

    header: str | None
    method: str
    url: str


class ProofVerifier:
    """Checks proofs. With `origins` (`https://api.example.com`) a URL is checked against these instead of the host that
    the request names: behind something that calls Envoy by another name than clients do.
    """

    def __init__(
        self, now: Callable[[], float], origins: frozenset[str] = frozenset(), most: int = _MAX_SEEN
    ) -> None:
        self._now = now
        self._origins = origins
        self._seen: ExpiringCache[bytes, bool] = ExpiringCache(most)
        self._share: Callable[[bytes], None] = lambda _proof_id: None

    def share(self, tell: Callable[[bytes], None]) -> None:
        """Have `tell` hear of every proof that is seen from now on. It must not wait nor fail."""
        self._share = tell

    def learn(self, proof_id: bytes) -> None:
        """Know a proof that another replica has seen."""
        self._seen.put(proof_id, True, self._now() + OLDEST_SECONDS + AHEAD_SECONDS)

    def check(self, proof: ProofOfRequest, token: str, thumbprint: str) -> None:
        """Raise Refusal PROOF_INVALID unless this proves that its sender holds the key of this thumbprint, now, for
        this request and this token, for the first time.
        """
        if proof.header is None:
            raise proof_invalid("there is none; send one in the header DPoP")
        if len(proof.header) > _MAX_PROOF:
            raise proof_invalid(f"it is longer than {_MAX_PROOF} characters")
        try:
            header, claims = compact_jws.read(proof.header)
            key = _key_in(header)
            jwt.decode(
                proof.header,
                key,
                algorithms=[header["alg"]],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise proof_invalid("its form or signature is wrong") from error
        if thumbprint_of(header["jwk"]) != thumbprint:
            raise proof_invalid("it is signed with another key than the token's")
        self._check_claims(claims, proof, token)
        proof_id = hashlib.sha256(f"{thumbprint} {claims['jti']}".encode()).digest()[:PROOF_ID_BYTES]
        if self._seen.get(proof_id, self._now()) is not None:
            raise proof_invalid("it was used before; make one for each request")
        self.learn(proof_id)
        self._share(proof_id)

    def _check_claims(self, claims: Mapping[str, Any], proof: ProofOfRequest, token: str) -> None:
        if not is_name(claims.get("jti")):
            raise proof_invalid("jti is not a name of this proof")
        if claims.get("htm") != proof.method:
            raise proof_invalid("htm is not the request's method")
        if not self._is_url(claims.get("htu"), proof.url):
            raise proof_invalid("htu is not the URL of the request")
        made_at = claims.get("iat")
        if not is_time(made_at) or not -OLDEST_SECONDS <= made_at - self._now() <= AHEAD_SECONDS:
            raise proof_invalid(f"iat is not within {OLDEST_SECONDS} s; make one for each request")
        if claims.get("ath") != compact_jws.encoded(hashlib.sha256(token.encode()).digest()):
            raise proof_invalid("ath is not the hash of the token")

    def _is_url(self, told: object, called: str) -> bool:
        if not isinstance(told, str):
            return False
        try:
            (origin, path), (asked_origin, asked_path) = _parts(told), _parts(called)
        except ValueError:
            return False
        return path == asked_path and (origin in self._origins if self._origins else origin == asked_origin)


def thumbprint_of(key: Mapping[str, Any]) -> str:
    """Return the thumbprint of a public key (RFC 7638). Raises KeyError for one of another kind."""
    members = {name: key[name] for name in _MEMBERS[key["kty"]]}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return compact_jws.encoded(hashlib.sha256(text.encode()).digest())


def origin_of(url: str) -> str:
    """Return scheme and host of a URL in the one way to write them. Raises ValueError."""
    origin, path = _parts(url)
    if path != "/":
        raise ValueError(f"{url} has a path")
    return origin


def challenge_as_asked(refusal: Refusal, authorization: str | None) -> None:
    """Let a challenge of `Bearer` be one of `DPoP` for who has sent a token so (RFC 9449, 7.1)."""
    told = refusal.headers.get(CHALLENGE, "")
    asked = (authorization or "").strip().partition(" ")[0].lower()
    if asked == "dpop" and told.startswith("Bearer "):
        challenge = f"{DPOP} {told.removeprefix('Bearer ')}, {PARAMETERS}"
        refusal.headers = {**refusal.headers, CHALLENGE: challenge}


def bound_elsewhere(why: str) -> Refusal:
    """Return the refusal of a token that is presented in the wrong way."""
    return _refused(errors.TOKEN_INVALID, "invalid_token", f"The token was not accepted: {why}.")


def proof_invalid(why: str) -> Refusal:
    """Return the refusal of a proof."""
    return _refused(errors.PROOF_INVALID, "invalid_dpop_proof", f"The DPoP proof was not accepted: {why}.")


def _refused(reason: errors.Reason, error: str, detail: str) -> Refusal:
    challenge = f'{DPOP} error="{error}", error_description="{detail.removesuffix(".")}", {PARAMETERS}'
    return Refusal(reason, detail, headers={CHALLENGE: challenge})


def _key_in(header: Mapping[str, Any]) -> Any:
    """Return the key that a proof brings. Raises ValueError, TypeError, KeyError, PyJWTError."""
    key = header["jwk"]
    if header.get("typ") != _TYPE or header.get("alg") not in ALGORITHMS:
        raise ValueError("typ or alg")
    if {"crit", "b64", "zip"} & header.keys() or not isinstance(key, dict) or _PRIVATE & key.keys():
        raise ValueError("header")
    public = jwt.PyJWK.from_dict({name: key[name] for name in _MEMBERS[key["kty"]]}, algorithm=header["alg"])
    return public.key


def _parts(url: str) -> tuple[str, str]:
    """Return origin and path of a URL, each in the one way to write it. Raises ValueError."""
    split = urlsplit(url)
    if split.scheme not in _DEFAULT_PORTS or not split.hostname or split.username is not None:
        raise ValueError("not a URL of a request")
    port = split.port or _DEFAULT_PORTS[split.scheme]
    shown = "" if port == _DEFAULT_PORTS[split.scheme] else f":{port}"
    return f"{split.scheme}://{split.hostname.rstrip('.')}{shown}", split.path or "/"
