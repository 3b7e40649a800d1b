"""The sandbox's OAuth clients: those that the access service knows."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import InvalidScopeError
from typing_extensions import override

from issuer.accounts import AGENT, CUSTOMER, EMPLOYEE
from issuer.exchange_types import TOKEN_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Iterable

SCOPES = (
    "door",
    "door.read",
    "door.control",
    "door.lock",
    "door.unlock",
    "door.cancel",
    "door.status.read",
    "door.history.read",
    "door.audit.read",
    "door.config.read",
    "door.config.write",
    "door.diagnostics.read",
    "door.diagnostics.check",
    "door.updates.read",
    "door.grants.read",
    "door.grants.write",
    "door.grants.accept",
    "door.grants.end",
    "door.access.sever",
    "door.account.restore",
    "person",
    "person.consents.read",
    "person.consents.write",
    "person.vehicles.read",
    "person.data.export",
    "person.data.erase",
    "person.notifications.read",
    "person.notifications.write",
    "webhooks.read",
    "webhooks.write",
    "security.watch",
    "security.act",
    "case.read",
    "fleet.failures.read",
)
"""Those by which access narrows a token; a test compares."""
_OF_PAGES = frozenset({"http", "https"})
DEFAULT_SCOPE = "door"
SECURITY_SCOPES = frozenset(scope for scope in SCOPES if scope.startswith(("security.", "case.", "fleet.")))
"""Of employees, and of agents about their customer: nobody has them by the scope `door`."""
PERSON_SCOPES = frozenset(scope for scope in SCOPES if scope.partition(".")[0] in {"person", "webhooks"})
"""Of customers about themselves: no agent asks for somebody else's data, to erase them, or to be sent what happens."""
VEHICLE_SCOPES = frozenset(SCOPES) - SECURITY_SCOPES - PERSON_SCOPES
"""What the scope `door` stands for."""
_SCOPES_OF = {
    CUSTOMER: VEHICLE_SCOPES | PERSON_SCOPES,
    AGENT: VEHICLE_SCOPES | SECURITY_SCOPES,
    EMPLOYEE: SECURITY_SCOPES,
}
_CODE, _REFRESH, _CREDENTIALS = "authorization_code", "refresh_token", "client_credentials"


@dataclass(frozen=True)
class OAuthClient(ClientMixin):
    """A client. Without a secret's hash it is a public one."""

    client_id: str
    redirect_uris: tuple[str, ...]
    grant_types: frozenset[str]
    secret_hash: bytes | None = None
    people: str = CUSTOMER
    """Whose sign-ins it may ask for: CUSTOMER, AGENT or EMPLOYEE."""

    def get_client_id(self) -> str:
        """Return its id."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """Return none: a request names its own."""

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the scope that is given for the one asked for. What is not known here, or not for these people, is
        left out.

        Raises InvalidScopeError where nothing is left: a token of no scope is of no use to anybody.
        """
        default = "security.watch" if self.people == EMPLOYEE else DEFAULT_SCOPE
        words = dict.fromkeys((scope or default).split())
        known = " ".join(word for word in words if word in _SCOPES_OF[self.people])
        if not known:
            raise InvalidScopeError
        return known

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether it is one of its own, to the letter."""
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is its own."""
        if self.secret_hash is None:
            return False
        return hmac.compare_digest(hashlib.sha256(client_secret.encode()).digest(), self.secret_hash)

    @override
    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Return whether it may authenticate so."""
        if self.secret_hash is None:
            return method == "none"
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        """Return whether it may ask for this: a code and nothing else."""
        return response_type == "code" and _CODE in self.grant_types

    def check_grant_type(self, grant_type: str) -> bool:
        """Return whether it may use this grant."""
        return grant_type in self.grant_types


def sandbox_clients(secrets: dict[str, str], page_origins: Iterable[str] = ()) -> dict[str, OAuthClient]:
    """Return the clients by id; `secrets` are those of the confidential ones, `page_origins` where the pages are."""
    hashes = {name: hashlib.sha256(secret.encode()).digest() for name, secret in secrets.items()}
    people, origins = frozenset({_CODE, _REFRESH}), tuple(page_origins)
    clients = (
        OAuthClient("mobile-app", ("http://localhost:9000/callback", "com.ecarus.app:/callback"), people),
        OAuthClient(
            "web",
            (
                "http://localhost:9000/callback",
                "https://localhost:8443/callback",
                *(f"{origin}/{page}/" for origin in origins for page in ("app", "portal")),
            ),
            people,
        ),
        OAuthClient(
            "agent-console",
            tuple(f"{origin}/console/" for origin in origins),
            people | {TOKEN_EXCHANGE},
            people=AGENT,
        ),
        OAuthClient(
            "voice-assistant",
            ("http://localhost:9000/callback",),
            people | {_CREDENTIALS},
            hashes["voice-assistant"],
        ),
        OAuthClient(
            "call-center",
            ("http://localhost:9000/callback",),
            people | {_CREDENTIALS, TOKEN_EXCHANGE},
            hashes["call-center"],
            people=AGENT,
        ),
        OAuthClient("operations", ("http://localhost:9000/callback",), people, people=EMPLOYEE),
    )
    return {client.client_id: client for client in clients}


def origins_of_pages(clients: Iterable[OAuthClient]) -> tuple[str, ...]:
    """Return where the pages of public clients are that people are sent back to: their scripts ask for the tokens."""
    pages = (urlsplit(uri) for each in clients if each.secret_hash is None for uri in each.redirect_uris)
    return tuple(
        dict.fromkeys(f"{page.scheme}://{page.netloc}" for page in pages if page.scheme in _OF_PAGES)
    )
