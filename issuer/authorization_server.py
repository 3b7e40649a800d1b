"""OAuth 2.1 on authlib: which grants there are, and what each of them takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.errors import UnauthorizedClientError as ClientRefused
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    BaseGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
    TokenEndpointMixin,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from starlette.responses import JSONResponse, Response
from typing_extensions import override

from issuer.accounts import AGENT
from issuer.authentication import SignIn
from issuer.clients import DEFAULT_SCOPE, VEHICLE_SCOPES
from issuer.exchange_types import ACCESS_TOKEN, APPROVED_CASE, SPOKEN_CODE, TOKEN_EXCHANGE
from issuer.limits import TooManyFailuresError
from issuer.mandates import MandateRefusedError
from issuer.tokens import TokenSubject, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from issuer.accounts import Accounts
    from issuer.clients import OAuthClient
    from issuer.mandates import Mandates
    from issuer.store import CodeRow, FamilyRow
    from issuer.tokens import AccessTokenGenerator, AccessTokenReader, TokenFamilies

AUTH_METHODS = ["none", "client_secret_basic", "client_secret_post"]
SECRET_METHODS = AUTH_METHODS[1:]


class FormPayload(OAuth2Payload):
    """The parameters of a request, each once."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = dict(parameters)

    @property
    def data(self) -> dict[str, str]:
        """The parameters by name."""
        return self._parameters

    @property
    def datalist(self) -> dict[str, list[str]]:
        """The same as lists."""
        return {name: [value] for name, value in self._parameters.items()}


class FormRequest(OAuth2Request):
    """A request as authlib reads it; `jkt` is the key that its proof has shown, `address` where it comes from."""

    def __init__(
        self,
        url: str,
        parameters: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        jkt: str | None = None,
        address: str = "",
    ) -> None:
        super().__init__("POST", url, headers=headers or {})
        self.payload = FormPayload(parameters)
        self.jkt = jkt
        self.address = address

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        data: dict[str, str] = self.payload.data
        return data


@dataclass(frozen=True)
class IssuerParts:
    """What the grants work with."""

    clients: Mapping[str, OAuthClient]
    families: TokenFamilies
    accounts: Accounts
    mandates: Mandates
    reader: AccessTokenReader
    generator: AccessTokenGenerator


class SandboxAuthorizationServer(AuthorizationServer):
    """The server."""

    def __init__(self, parts: IssuerParts) -> None:
        super().__init__()
        self.parts = parts
        self.register_token_generator("default", parts.generator.generate)
        self.register_grant(CodeGrant, [S256Challenge()])
        self.register_grant(RotatingRefreshGrant)
        self.register_grant(OwnCredentialsGrant)
        self.register_grant(ExchangeGrant)
        self.register_endpoint(TokenRevocation)

    def query_client(self, client_id: str) -> OAuthClient | None:
        """Return the client of this id."""
        return self.parts.clients.get(client_id)

    @override
    def authenticate_client(self, request: FormRequest, methods: list[str], endpoint: str = "token") -> Any:
        """Return the client. Raises InvalidClientError, also for what is not Basic credentials in UTF-8."""
        try:
            return super().authenticate_client(request, methods, endpoint)
        except ValueError as error:  # authlib catches what is not Base64 only
            raise InvalidClientError("The credentials are not readable.", status_code=401) from error

    @override
    def save_token(self, token: dict[str, Any], request: FormRequest) -> None:
        """Keep a refresh token. Access tokens are not kept: they say of themselves how long they are good."""
        if "refresh_token" in token:
            self.parts.families.add_refresh_token(token["refresh_token"], request.user.family_id)

    @override
    def send_signal(self, name: str, *arguments: object, **named: object) -> None:
        """Tell nobody: there are no listeners."""

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """Return it: it is made by whoever has read it."""
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        """Return the answer."""
        if isinstance(body, dict):
            return JSONResponse(body, status, dict(headers))
        return Response(body, status, dict(headers))


class S256Challenge(CodeChallenge):
    """PKCE, of every client, with S256 and nothing else (OAuth 2.1, 4.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse a request without."""
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required: code_challenge, with code_challenge_method=S256.")
        super().validate_code_challenge(grant, redirect_uri)

    @override
    def get_authorization_code_challenge_method(self, authorization_code: object) -> str:
        """Return the one that there is."""
        return "S256"


@dataclass(frozen=True)
class IssuedCode:
    """An authorization code with what came of its sign-in, as authlib asks for it."""

    code: CodeRow
    family: FamilyRow

    @property
    def code_challenge(self) -> str:
        """The challenge of PKCE."""
        return self.code.code_challenge

    def get_redirect_uri(self) -> str:
        """Return where it was sent."""
        return self.code.redirect_uri

    def get_scope(self) -> str:
        """Return what was granted."""
        return self.family.scope


class CodeGrant(AuthorizationCodeGrant):
    """Authorization codes: good once, for a minute."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    def create_authorization_response(
        self, redirect_uri: str, grant_user: SignIn
    ) -> tuple[int, str, list[Any]]:
        """Return the redirect with the code."""
        request = self.request
        code = self.server.parts.families.new_code(
            request.client,
            grant_user,
            scope=request.scope,
            redirect_uri=redirect_uri,
            challenge=request.payload.data["code_challenge"],
        )
        answer = {"code": code, **({"state": request.payload.state} if request.payload.state else {})}
        return 302, "", [("Location", add_params_to_uri(redirect_uri, answer))]

    def query_authorization_code(self, code: str, client: OAuthClient) -> IssuedCode | None:
        """Use the code up."""
        found = self.server.parts.families.use_code(code, client)
        return IssuedCode(*found) if found else None

    def authenticate_user(self, authorization_code: IssuedCode) -> TokenSubject:
        """Return whom its tokens are about."""
        family, jkt = authorization_code.family, self.request.jkt
        if jkt is not None and self.request.client.secret_hash is None:
            self.server.parts.families.bind(family.family_id, jkt)
        return subject_of(family, jkt)

    @override
    def delete_authorization_code(self, authorization_code: IssuedCode) -> None:
        """Do nothing: it is used up, and kept so that it is known when it comes again."""


class RotatingRefreshGrant(RefreshTokenGrant):
    """Refresh tokens: each good once, for another one."""

    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        """Use the token up, once key and scope are right.

        One of a family that is bound to a key is nothing without a proof of it: a thief without the key, or a request
        that asks for too much, changes nothing for the owner.
        """
        families, client = self.server.parts.families, self.request.client
        family = families.find_refresh_token(refresh_token)
        if family is not None and family.client_id == client.client_id:
            if family.jkt is not None and family.jkt != self.request.jkt:
                raise InvalidGrantError("It is bound to a key; send a DPoP proof of that key.")
            self._validate_token_scope(UsedRefreshToken(family))
            client.get_allowed_scope(self.request.payload.scope)
        found = families.use_refresh_token(refresh_token, client)
        return UsedRefreshToken(found[1]) if found else None

    def authenticate_user(self, refresh_token: UsedRefreshToken) -> TokenSubject:
        """Return whom its tokens are about: as they signed in then, for nobody has signed in again."""
        return subject_of(refresh_token.family, self.request.jkt)

    @override
    def revoke_old_credential(self, refresh_token: UsedRefreshToken) -> None:
        """Do nothing: it is used up."""


@dataclass(frozen=True)
class UsedRefreshToken:
    """A refresh token as authlib asks for it."""

    family: FamilyRow

    def check_client(self, client: OAuthClient) -> bool:
        """Return whether it is the client's."""
        return self.family.client_id == client.client_id

    def get_scope(self) -> str:
        """Return what was granted."""
        return self.family.scope


class OwnCredentialsGrant(ClientCredentialsGrant):
    """A confidential client for itself."""

    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = SECRET_METHODS

    def generate_token(self, **named: Any) -> Any:
        """Return a token about the client; nobody has signed in."""
        nobody = SignIn(self.request.client.client_id, "", (), 0)
        return super().generate_token(**{**named, "user": TokenSubject(nobody, jkt=self.request.jkt)})


class ExchangeGrant(BaseGrant, TokenEndpointMixin):
    """Token exchange (RFC 8693): an agent's own token and a mandate for one that is about the customer."""

    GRANT_TYPE = TOKEN_EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    def validate_token_request(self) -> None:
        """Take the mandate. Raises OAuth2Error."""
        request, parts = self.request, self.server.parts
        request.client = self.authenticate_token_endpoint_client()
        if not request.client.check_grant_type(TOKEN_EXCHANGE):
            raise ClientRefused("The client is not authorized for token exchange.")
        form = request.form
        kind = form.get("subject_token_type")
        if kind not in {SPOKEN_CODE, APPROVED_CASE} or form.get("actor_token_type") != ACCESS_TOKEN:
            raise InvalidRequestError(
                "Send a spoken code or an approved case, and the access token of the agent."
            )
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise InvalidRequestError("What is given is an access token.")
        asked = request.client.get_allowed_scope(request.payload.scope)
        agent = parts.reader.claims(form.get("actor_token", ""))
        if agent is None or agent.get("client_id") != request.client.client_id or "act" in agent:
            raise InvalidGrantError("The token of the agent is not good.")
        self._check_key(agent)
        if parts.accounts.kind_of(agent["sub"]) != AGENT:
            raise InvalidGrantError("Only an agent acts for somebody else.")
        if not _scopes_in(agent).issuperset(asked.split()):
            raise InvalidScopeError("The token of the agent is of a narrower scope; ask for that.")
        try:
            mandate = parts.mandates.take(kind, form.get("subject_token", ""), agent["sub"], request.address)
        except MandateRefusedError as refused:
            raise InvalidGrantError("The mandate is not good, or not any more.") from refused
        except TooManyFailuresError as many:
            raise OAuth2Error("Too many tries.", error="slow_down", status_code=429) from many
        # How the agent signed in: nobody else did.
        sign_in = SignIn(
            mandate.subject, agent.get("acr", ""), tuple(agent.get("amr", ())), agent.get("auth_time", 0)
        )
        request.user = TokenSubject(
            sign_in, actor=agent["sub"], vin=mandate.vin, case=mandate.case, jkt=request.jkt
        )

    def _check_key(self, agent: Mapping[str, Any]) -> None:
        """Raise InvalidGrantError unless the sender holds the key of the agent's token. A client without a secret has
        nothing else to show that it is the agent's, so there the token must have one.
        """
        key, shown = agent.get("cnf", {}).get("jkt"), self.request.jkt
        if key is None and self.request.client.secret_hash is None:
            raise InvalidGrantError("A client without a secret exchanges tokens that are bound to a key.")
        if key not in {None, shown}:
            raise InvalidGrantError("The token of the agent is bound to a key; send a proof of it.")

    def create_token_response(self) -> tuple[int, dict[str, Any], list[Any]]:
        """Return the customer's token in which the agent acts."""
        scope = self.request.payload.scope
        token = self.generate_token(user=self.request.user, scope=scope, include_refresh_token=False)
        return 200, {**token, "issued_token_type": ACCESS_TOKEN}, self.TOKEN_RESPONSE_HEADER


def _scopes_in(claims: Mapping[str, Any]) -> set[str]:
    """Return what a token is good for: `door` is all that is about vehicles."""
    held = set(claims.get("scope", DEFAULT_SCOPE).split())
    return held | VEHICLE_SCOPES if DEFAULT_SCOPE in held else held


@dataclass(frozen=True)
class RevokedFamily:
    """What a token that is to be revoked belongs to."""

    family_id: str


class TokenRevocation(RevocationEndpoint):
    """Revocation (RFC 7009): either token ends all that came of its sign-in."""

    CLIENT_AUTH_METHODS: ClassVar[list[str]] = AUTH_METHODS

    @override
    def authenticate_token(self, request: FormRequest, client: OAuthClient) -> RevokedFamily | None:
        """Return the family. Whose it is does not show: another client's token is answered like none."""
        if "token" not in request.form:
            raise InvalidRequestError("Missing 'token' in request.")
        parts = self.server.parts
        token = request.form["token"]
        family_id = parts.families.family_of(token)
        if family_id is None:
            claims = parts.reader.claims(token)
            family_id = claims.get("sid") if claims else None
        return RevokedFamily(family_id) if family_id else None

    @override
    def revoke_token(self, token: RevokedFamily, request: FormRequest) -> None:
        """End the family, if it is this client's."""
        self.server.parts.families.end(token.family_id, request.client.client_id)
