"""What is issued: RFC 9068 access tokens, refresh tokens that are good once, and families that end as a whole."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6750 import BearerTokenGenerator
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlmodel import col, select, update
from typing_extensions import override

from issuer.accounts import EMPLOYEE
from issuer.authentication import SignIn
from issuer.exchange_types import EXCHANGED_SECONDS, TOKEN_EXCHANGE
from issuer.keys import ALGORITHM, IssuerKeysUnusableError, SignatureRegistry
from issuer.store import CodeRow, FamilyRow, RefreshTokenRow, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer.clients import OAuthClient
    from issuer.keys import SigningKeys
    from issuer.store import IssuerStore

CODE_SECONDS = 60
REFRESH_SECONDS = 30 * 86_400
"""For so long after a sign-in its refresh tokens are good."""
_SECRET_BYTES = 32
_REGISTRY = SignatureRegistry(algorithms=[ALGORITHM])


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """Whom a token is about and what else it says: authlib's user."""

    sign_in: SignIn
    family_id: str | None = None
    actor: str | None = None
    vin: str | None = None
    case: str | None = None
    jkt: str | None = None

    def get_user_id(self) -> str:
        """Return the claim `sub`."""
        return self.sign_in.subject


class AccessTokenGenerator(BearerTokenGenerator):
    """Makes the answer of the token endpoint."""

    def __init__(
        self, issuer: str, audience: str, keys: SigningKeys, token_seconds: int, now: Callable[[], float]
    ) -> None:
        super().__init__(
            self._access_token,
            refresh_token_generator=lambda **_: secrets.token_urlsafe(_SECRET_BYTES),
            expires_generator=lambda _client, grant: (
                EXCHANGED_SECONDS if grant == TOKEN_EXCHANGE else token_seconds
            ),
        )
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._now = now

    @override
    def generate(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Return the answer; `token_type` says whether a proof must come with the token."""
        token: dict[str, Any] = super().generate(*arguments, **named)
        if named["user"].jkt is not None:
            token["token_type"] = "DPoP"  # noqa: S105  # a name
        return token

    def _access_token(self, client: OAuthClient, grant_type: str, user: TokenSubject, scope: str) -> str:
        """Return a token with the claims of RFC 9068, and those that narrow and bind it."""
        now, signed_in = int(self._now()), user.sign_in
        said: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": signed_in.subject,
            "client_id": client.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + self._get_expires_in(client, grant_type),
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            "acr": signed_in.acr or None,
            "amr": list(signed_in.amr) or None,
            "auth_time": signed_in.auth_time or None,
            "sid": user.family_id,
            "roles": [EMPLOYEE] if client.people == EMPLOYEE else None,  # RFC 9068, 2.2.3.1
            "act": {"sub": user.actor} if user.actor else None,
            "vin": user.vin,
            "case": user.case,
            "cnf": {"jkt": user.jkt} if user.jkt else None,
        }
        key = self._keys.signing()
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}
        claims = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(header, claims, key, registry=_REGISTRY)


class TokenFamilies:
    """Codes, refresh tokens and the families they belong to."""

    def __init__(self, store: IssuerStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def new_code(
        self, client: OAuthClient, sign_in: SignIn, *, scope: str, redirect_uri: str, challenge: str
    ) -> str:
        """Begin a family and return its code."""
        code, family_id, now = (
            secrets.token_urlsafe(_SECRET_BYTES),
            secrets.token_urlsafe(16),
            int(self._now()),
        )
        with self._store.transaction() as session:
            session.add(
                FamilyRow(
                    family_id=family_id,
                    client_id=client.client_id,
                    subject=sign_in.subject,
                    scope=scope,
                    acr=sign_in.acr,
                    amr=" ".join(sign_in.amr),
                    auth_time=sign_in.auth_time,
                    expires_at=now + REFRESH_SECONDS,
                )
            )
            session.add(
                CodeRow(
                    code_hash=digest(code),
                    family_id=family_id,
                    client_id=client.client_id,
                    redirect_uri=redirect_uri,
                    code_challenge=challenge,
                    # Kept for as long as its tokens live, so that it is known when it comes a second time.
                    expires_at=now + REFRESH_SECONDS,
                )
            )
        return code

    def use_code(self, code: str, client: OAuthClient) -> tuple[CodeRow, FamilyRow] | None:
        """Use it up, whatever comes of it. One that comes again ends what came of it."""
        found: tuple[CodeRow, FamilyRow] | None = self._use(
            CodeRow, col(CodeRow.code_hash) == digest(code), client
        )
        return found

    def find_refresh_token(self, token: str) -> FamilyRow | None:
        """Return its family, and change nothing: whoever asks is not known yet to be able to use it."""
        with self._store.transaction() as session:
            row = session.get(RefreshTokenRow, digest(token))
            return session.get(FamilyRow, row.family_id) if row else None

    def use_refresh_token(self, token: str, client: OAuthClient) -> tuple[RefreshTokenRow, FamilyRow] | None:
        """Use it up. One that comes again ends its family: two have it, and one of them is a thief."""
        found: tuple[RefreshTokenRow, FamilyRow] | None = self._use(
            RefreshTokenRow, col(RefreshTokenRow.token_hash) == digest(token), client
        )
        return found

    def _use(self, model: Any, where: Any, client: OAuthClient) -> Any:
        with self._store.transaction() as session:
            used = session.exec(update(model).where(where, col(model.used).is_(False)).values(used=True))
            row = session.exec(select(model).where(where)).one_or_none()
            family = session.get(FamilyRow, row.family_id) if row else None
            if row is None or family is None:
                return None
            if family.client_id != client.client_id or used.rowcount != 1:
                family.ended = True
                session.add(family)
                return None
            limit = CODE_SECONDS + family.expires_at - REFRESH_SECONDS if model is CodeRow else row.expires_at
            return None if family.ended or self._now() > limit else (row, family)

    def add_refresh_token(self, token: str, family_id: str) -> None:
        """Keep a new one of the family. However often it is renewed, it ends with its family."""
        with self._store.transaction() as session:
            expires_at = session.get_one(FamilyRow, family_id).expires_at
            session.add(RefreshTokenRow(token_hash=digest(token), family_id=family_id, expires_at=expires_at))

    def bind(self, family_id: str, jkt: str) -> None:
        """Bind the family to a key: its refresh tokens are good with proofs of that key only."""
        with self._store.transaction() as session:
            family = session.get_one(FamilyRow, family_id)
            family.jkt = jkt
            session.add(family)

    def end(self, family_id: str, client_id: str) -> None:
        """End a family, if it is this client's."""
        with self._store.transaction() as session:
            family = session.get(FamilyRow, family_id)
            if family is not None and family.client_id == client_id:
                family.ended = True
                session.add(family)

    def family_of(self, token: str) -> str | None:
        """Return whose refresh token this is."""
        with self._store.transaction() as session:
            row = session.get(RefreshTokenRow, digest(token))
            return row.family_id if row else None

    def is_ended(self, family_id: str) -> bool:
        """Return whether its tokens are worth nothing any more."""
        with self._store.transaction() as session:
            family = session.get(FamilyRow, family_id)
            return family is None or family.ended


def subject_of(family: FamilyRow, jkt: str | None) -> TokenSubject:
    """Return whom the family's tokens are about."""
    sign_in = SignIn(family.subject, family.acr, tuple(family.amr.split()), family.auth_time)
    return replace(TokenSubject(sign_in), family_id=family.family_id, jkt=jkt)


class AccessTokenReader:
    """Reads the issuer's own access tokens, where they are shown to it."""

    def __init__(
        self,
        keys: SigningKeys,
        families: TokenFamilies,
        now: Callable[[], float],
        *,
        issuer: str,
        audience: str,
    ) -> None:
        self._keys = keys
        self._families = families
        self._now = now
        self._issuer = issuer
        self._audience = audience

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return what it says; None for one that is not ours, not good any more, or whose family has ended."""
        try:
            keys = KeySet.import_key_set({"keys": self._keys.published()["keys"]})
            read = jwt.decode(token, keys, registry=_REGISTRY)
        except (JoseError, IssuerKeysUnusableError, ValueError, TypeError, KeyError, RecursionError):
            return None
        claims: dict[str, Any] = dict(read.claims)
        if read.header.get("typ") != "at+jwt" or claims.get("iss") != self._issuer:
            return None
        if claims.get("aud") != self._audience or claims.get("exp", 0) <= self._now():
            return None
        family = claims.get("sid")
        return None if isinstance(family, str) and self._families.is_ended(family) else claims
