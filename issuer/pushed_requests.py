"""Authorization requests that clients push before they send anybody here (RFC 9126)."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error

from issuer.authorization_server import AUTH_METHODS
from issuer.sessions import DemandMalformedError, demand_in
from issuer.store import PushedRequestRow, digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

    from issuer.authorization_server import FormRequest, SandboxAuthorizationServer
    from issuer.store import IssuerStore

PUSHED_SECONDS = 60
PREFIX = "urn:ietf:params:oauth:request_uri:"
_SECRET_BYTES = 32
_NOT_KEPT = frozenset({"client_secret"})


class PushedRequests:
    """Keeps them for a minute; each is good once."""

    def __init__(
        self, server: SandboxAuthorizationServer, store: IssuerStore, now: Callable[[], float]
    ) -> None:
        self._server = server
        self._store = store
        self._now = now

    def push(self, request: FormRequest) -> str | Response:
        """Check the request as if it were sent to the authorization endpoint; return its URI, or the error's answer."""
        try:
            client = self._server.authenticate_client(request, AUTH_METHODS, "par")
            if "request_uri" in request.form or "request" in request.form:
                raise InvalidRequestError("Push the parameters themselves.")
            request.payload.data["client_id"] = client.client_id
            check_authorization(self._server, request)
        except OAuth2Error as error:
            error.redirect_uri = None  # this is answered to the client, and not by way of a browser
            answer: Response = self._server.handle_error_response(request, error)
            return answer
        uri = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        kept = {name: value for name, value in request.form.items() if name not in _NOT_KEPT}
        with self._store.transaction() as session:
            session.add(
                PushedRequestRow(
                    uri_hash=digest(uri),
                    client_id=client.client_id,
                    parameters=json.dumps(kept),
                    expires_at=int(self._now()) + PUSHED_SECONDS,
                )
            )
        return uri

    def take(self, uri: str, client_id: str) -> dict[str, str] | None:
        """Return the parameters that this client has pushed, and know the URI no longer; None for nothing."""
        with self._store.transaction() as session:
            row = session.get(PushedRequestRow, digest(uri))
            if row is None or row.client_id != client_id or row.expires_at <= self._now():
                return None
            session.delete(row)
            parameters: dict[str, str] = json.loads(row.parameters)
            return parameters


def check_authorization(server: SandboxAuthorizationServer, request: FormRequest) -> str:
    """Return where the answer goes. Raises OAuth2Error, with a redirect URI where it may be told there."""
    form = request.form
    if "redirect_uri" not in form:
        raise InvalidRequestError("redirect_uri is missing.", state=form.get("state"))
    grant = server.get_consent_grant(request)
    redirect_uri: str = grant.redirect_uri
    error = None
    if form.get("response_mode", "query") != "query":
        error = "response_mode is query."
    try:
        demand_in(form, 0)
    except DemandMalformedError as malformed:
        error = f"{malformed}."
    if error is not None:
        raise InvalidRequestError(error, redirect_uri=redirect_uri, state=form.get("state"))
    return redirect_uri
