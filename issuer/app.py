"""The issuer over HTTP: metadata, keys, the endpoints of OAuth, and the mandates of agents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from issuer.authentication import CLASSES, TWO_FACTORS
from issuer.authorization_server import FormRequest
from issuer.clients import DEFAULT_SCOPE as WHOLE_SCOPE
from issuer.clients import SCOPES
from issuer.dpop import ALGORITHMS as PROOF_ALGORITHMS
from issuer.dpop import ProofRefusedError
from issuer.exchange_types import TOKEN_EXCHANGE
from issuer.forms import RequestRefusedError, address_of, read_form
from issuer.hardening import PageOrigins, RequestBounds
from issuer.keys import IssuerKeysUnusableError
from issuer.mandates import SPOKEN_SECONDS, Mandate, MandateRefusedError
from issuer.pushed_requests import PUSHED_SECONDS
from issuer.sign_in import SignInPages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from issuer.authorization_server import SandboxAuthorizationServer
    from issuer.dpop import ProofChecker
    from issuer.keys import SigningKeys
    from issuer.limits import RequestRates
    from issuer.pushed_requests import PushedRequests
    from issuer.sessions import BrowserSessions

MANDATE_SIGN_IN_SECONDS = 300
"""Who lets somebody act for a customer has signed in no longer ago than this, with two factors."""
_NO_STORE = {"cache-control": "no-store"}


@dataclass(frozen=True)
class IssuerApp:
    """What the endpoints work with."""

    url: str
    server: SandboxAuthorizationServer
    keys: SigningKeys
    proofs: ProofChecker
    pushed: PushedRequests
    sessions: BrowserSessions
    rates: RequestRates
    now: Callable[[], float]
    page_origins: tuple[str, ...] = ()

    def routes(self) -> Starlette:
        """Return the application."""
        pages = SignInPages(self)
        host = urlsplit(self.url).hostname or ""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/.well-known/oauth-authorization-server", self._metadata),
                Route("/jwks", self._jwks),
                Route("/healthz", self._health),
                Route("/par", self._posted(self._push), methods=["POST"]),
                Route("/token", self._posted(self._token), methods=["POST"]),
                Route("/revoke", self._posted(self._revoke), methods=["POST"]),
                Route("/mandates/codes", self._posted(self._speak), methods=["POST"]),
                Route("/mandates/cases", self._posted(self._open_case), methods=["POST"]),
                Route("/mandates/cases/{case}/approval", self._posted(self._approve), methods=["POST"]),
                *pages.routes(),
                Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
            ],
            middleware=[
                # Outermost, so that a page's script can read also that it asks too often.
                Middleware(PageOrigins, origins=self.page_origins),
                Middleware(RequestBounds, rates=self.rates),
                Middleware(TrustedHostMiddleware, allowed_hosts=[host, "127.0.0.1"]),
            ],
            exception_handlers={IssuerKeysUnusableError: _keys_unusable, RequestRefusedError: _unreadable},
        )

    def metadata(self) -> dict[str, Any]:
        """Return what the issuer says of itself (RFC 8414, OpenID Connect Discovery 1.0)."""
        secrets = ["none", "client_secret_basic", "client_secret_post"]
        grants = ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE]
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "pushed_authorization_request_endpoint": f"{self.url}/par",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": secrets,
            "revocation_endpoint_auth_methods_supported": secrets,
            "scopes_supported": list(SCOPES),
            "acr_values_supported": list(CLASSES),
            "prompt_values_supported": ["none", "login"],
            "dpop_signing_alg_values_supported": PROOF_ALGORITHMS,
            "authorization_response_iss_parameter_supported": True,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
            "subject_types_supported": ["public"],
        }

    async def _metadata(self, _request: Request) -> Response:
        return JSONResponse(self.metadata(), headers={"cache-control": "max-age=60"})

    async def _jwks(self, _request: Request) -> Response:
        return JSONResponse(self.keys.published(), headers={"cache-control": "no-cache"})

    async def _health(self, _request: Request) -> Response:
        self.keys.signing()
        return JSONResponse({"status": "ok"})

    def _posted(
        self, answer: Callable[[Request, dict[str, str]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that reads a form and answers beside the loop: hashing and the disk take time."""

        async def endpoint(request: Request) -> Response:
            form = await read_form(request)
            response = await run_in_threadpool(answer, request, form)
            response.headers.update(_NO_STORE)
            return response

        return endpoint

    def form_request(self, request: Request, form: dict[str, str], jkt: str | None = None) -> FormRequest:
        """Return the request as the authorization server reads it."""
        # authlib looks for this one name as it is written here.
        headers = {"Authorization": request.headers.get("authorization", "")}
        return FormRequest(
            self.url + request.url.path, form, headers=headers, jkt=jkt, address=address_of(request)
        )

    def _token(self, request: Request, form: dict[str, str]) -> Response:
        proofs = request.headers.getlist("dpop")
        jkt = None
        if proofs:
            try:
                # More than one is none that is well formed (RFC 9449, 4.3).
                jkt = self.proofs.thumbprint(", ".join(proofs), "POST", f"{self.url}/token")
            except ProofRefusedError as refused:
                return _error("invalid_dpop_proof", f"The proof is not accepted: {refused}.")
        answer: Response = self.server.create_token_response(self.form_request(request, form, jkt))
        return answer

    def _revoke(self, request: Request, form: dict[str, str]) -> Response:
        answer: Response = self.server.create_endpoint_response(
            "revocation", self.form_request(request, form)
        )
        return answer

    def _push(self, request: Request, form: dict[str, str]) -> Response:
        uri = self.pushed.push(self.form_request(request, form))
        if isinstance(uri, Response):
            return uri
        return JSONResponse({"request_uri": uri, "expires_in": PUSHED_SECONDS}, 201)

    def _speak(self, request: Request, form: dict[str, str]) -> Response:
        claims = self._person(request)
        if isinstance(claims, Response):
            return claims
        try:
            code = self.server.parts.mandates.speak(claims["sub"], form.get("vin", ""), form.get("case", ""))
        except MandateRefusedError as refused:
            return _error("invalid_request", f"It is not given: {refused}.")
        return JSONResponse({"code": code, "expires_in": SPOKEN_SECONDS}, 201)

    def _open_case(self, request: Request, form: dict[str, str]) -> Response:
        claims = self._person(request)
        if isinstance(claims, Response):
            return claims
        mandate = Mandate(form.get("customer", ""), form.get("vin", ""), form.get("case", ""))
        try:
            self.server.parts.mandates.open_case(claims["sub"], mandate)
        except MandateRefusedError as refused:
            return _error("invalid_request", f"It is not given: {refused}.")
        return JSONResponse({"case": mandate.case}, 201)

    def _approve(self, request: Request, form: dict[str, str]) -> Response:
        claims = self._person(request)
        if isinstance(claims, Response):
            return claims
        # Who approves says what: they have looked at it, and not at a number only.
        mandate = Mandate(form.get("customer", ""), form.get("vin", ""), request.path_params["case"])
        try:
            self.server.parts.mandates.approve_case(claims["sub"], form.get("agent", ""), mandate)
        except MandateRefusedError as refused:
            return _error("invalid_request", f"It is not approved: {refused}.")
        return JSONResponse({"case": mandate.case})

    def _person(self, request: Request) -> dict[str, Any] | Response:
        """Return the claims of who asks for a mandate: in person, with two fresh factors and the whole scope.

        What comes of a mandate unlocks: who gives it has shown no less than who unlocks.
        """
        claims = self._bearer(request)
        if claims is None or "act" in claims:
            return _error("invalid_token", "Send your own access token.", 401)
        age = self.now() - claims.get("auth_time", 0)
        if claims.get("acr") != TWO_FACTORS or age > MANDATE_SIGN_IN_SECONDS:
            error = "insufficient_user_authentication"
            needed = f'acr_values="{TWO_FACTORS}", max_age="{MANDATE_SIGN_IN_SECONDS}"'
            answer = _error(error, "Sign in with two factors again.", 401)
            answer.headers["www-authenticate"] = f'{_scheme_of(claims)} error="{error}", {needed}'
            return answer
        if "scope" in claims and WHOLE_SCOPE not in claims["scope"].split():
            error = "insufficient_scope"
            answer = _error(error, f"Only a token of the scope {WHOLE_SCOPE} can be handed on.", 403)
            answer.headers["www-authenticate"] = (
                f'{_scheme_of(claims)} error="{error}", scope="{WHOLE_SCOPE}"'
            )
            return answer
        return claims

    def _bearer(self, request: Request) -> dict[str, Any] | None:
        """Return the claims of the access token that the request came with; one that is bound needs its proof."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        claims = self.server.parts.reader.claims(token.strip())
        if claims is None or scheme.lower() != ("dpop" if "cnf" in claims else "bearer"):
            return None
        if "cnf" in claims:
            try:
                shown = self.proofs.thumbprint(
                    request.headers.get("dpop", ""), "POST", self.url + request.url.path
                )
            except ProofRefusedError:
                return None
            return claims if shown == claims["cnf"].get("jkt") else None
        return claims


def _scheme_of(claims: dict[str, Any]) -> str:
    return "DPoP" if "cnf" in claims else "Bearer"


def _error(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


async def _unreadable(_request: Request, error: Exception) -> Response:
    return _error("invalid_request", f"The request was not read: {error}.")


async def _keys_unusable(_request: Request, error: Exception) -> Response:
    return _error("temporarily_unavailable", f"No token can be signed: {error}.", 503)
