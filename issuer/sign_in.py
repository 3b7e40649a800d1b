"""The authorization endpoint and the pages on which people sign in and add factors."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.errors import OAuth2Error
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from issuer import pages
from issuer.accounts import MAX_NAME, FactorRefusedError
from issuer.authentication import ONE_TIME_CODE, PASSKEY, PASSWORD, SESSION_SECONDS, TWO_FACTORS, Demand
from issuer.authorization_server import FormRequest
from issuer.forms import RequestRefusedError, address_of, parameters_in, read_form, read_json
from issuer.limits import TooManyFailuresError
from issuer.pushed_requests import PREFIX, check_authorization
from issuer.sessions import COOKIE, demand_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from issuer.app import IssuerApp
    from issuer.authentication import SignIn
    from issuer.sessions import BrowserSession

ENROLMENT_SECONDS = 300
"""Who adds a factor has signed in no longer ago than this, with two factors if there are two."""
_ACCOUNT = {"account": "page"}
_SEE_OTHER = HTTPStatus.SEE_OTHER


class SignInPages:
    """The pages of one issuer."""

    def __init__(self, app: IssuerApp) -> None:
        self._app = app
        self._accounts = app.server.parts.accounts

    def routes(self) -> list[Route]:
        """Return where they are."""
        form, document = self._form, self._json
        return [
            Route("/authorize", self._page(self._authorize)),
            Route("/sign-in", self._page(self._show)),
            Route("/sign-in", form(self._password), methods=["POST"]),
            Route("/sign-in/totp", form(self._totp), methods=["POST"]),
            Route("/sign-in/passkey/options", document(self._passkey_options), methods=["POST"]),
            Route("/sign-in/passkey", document(self._passkey), methods=["POST"]),
            Route("/account", self._page(self._account)),
            Route("/account/totp", form(self._new_totp), methods=["POST"]),
            Route("/account/totp/confirm", form(self._confirm_totp), methods=["POST"]),
            Route("/account/passkey/options", document(self._new_passkey), methods=["POST"]),
            Route("/account/passkey", document(self._add_passkey), methods=["POST"]),
            Route("/sign-out", form(self._sign_out), methods=["POST"]),
        ]

    # How requests come in: the session is found by its cookie, and what changes something shows its secret.

    def _page(
        self, answer: Callable[[Request, BrowserSession], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        def answered(request: Request) -> Response:
            return answer(request, self._app.sessions.find(request.cookies.get(COOKIE)))

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answered, request)

        return endpoint

    def _form(
        self, answer: Callable[[Request, BrowserSession, dict[str, str]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        def answered(request: Request, form: dict[str, str]) -> Response:
            browser = self._app.sessions.find(request.cookies.get(COOKIE))
            if not _is_same(form.get("csrf", ""), browser.csrf):
                return pages.error_page("This page is too old. Go back and try again.", 403)
            return answer(request, browser, form)

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answered, request, await read_form(request))

        return endpoint

    def _json(
        self, answer: Callable[[Request, BrowserSession, dict[str, Any]], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        def answered(request: Request, document: dict[str, Any]) -> Response:
            browser = self._app.sessions.find(request.cookies.get(COOKIE))
            if not _is_same(request.headers.get("x-csrf-token", ""), browser.csrf):
                return JSONResponse({"error": "refused"}, 403)
            return answer(request, browser, document)

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answered, request, await read_json(request))

        return endpoint

    # The authorization endpoint.

    def _authorize(self, request: Request, browser: BrowserSession) -> Response:
        try:
            parameters = parameters_in(request.scope["query_string"])
        except RequestRefusedError as refused:
            return pages.error_page(f"The request was not read: {refused}.")
        uri = parameters.get("request_uri")
        if uri is not None:
            pushed = self._app.pushed.take(uri, parameters.get("client_id", ""))
            if not uri.startswith(PREFIX) or pushed is None:
                return pages.error_page(
                    "This request is not known, or not any more. Start again in your app."
                )
            parameters = pushed
        try:
            check_authorization(self._app.server, self._app.form_request(request, parameters))
        except OAuth2Error as error:
            if not error.redirect_uri:
                return pages.error_page(f"{error.error}: {error.get_error_description() or ''}")
            return self._to_client(error.redirect_uri, error.error, parameters, error.get_error_description())
        browser.request, browser.asked_at = parameters, int(self._app.now())
        return self._advance(browser)

    def _advance(self, browser: BrowserSession) -> Response:
        """Go on with what waits: finish it, or show what is missing."""
        parameters = browser.request or _ACCOUNT
        sign_in = self._sign_in(browser)
        if sign_in is not None:
            if parameters == _ACCOUNT:
                return self._kept(browser, RedirectResponse("/account", _SEE_OTHER))
            return self._finish(browser, parameters, sign_in)
        if parameters.get("prompt") == "none":
            return self._refuse(browser, parameters, "login_required")
        return self._kept(browser, RedirectResponse("/sign-in", _SEE_OTHER))

    def _demand(self, browser: BrowserSession) -> Demand:
        parameters = browser.request or _ACCOUNT
        if parameters != _ACCOUNT:
            return demand_in(parameters, browser.asked_at)
        has_any = browser.account is not None and self._accounts.enrolled(browser.account).has_any
        return Demand((TWO_FACTORS,) if has_any else (), ENROLMENT_SECONDS)

    def _sign_in(self, browser: BrowserSession) -> SignIn | None:
        if browser.account is None:
            return None
        return browser.factors.satisfy(browser.account, self._demand(browser), int(self._app.now()))

    def _finish(self, browser: BrowserSession, parameters: dict[str, str], sign_in: SignIn) -> Response:
        server = self._app.server
        client = server.query_client(parameters["client_id"])
        if client is None or client.people != self._accounts.kind_of(sign_in.subject):
            return self._refuse(browser, parameters, "access_denied")
        grant = server.get_consent_grant(FormRequest(f"{self._app.url}/authorize", parameters))
        _, _, headers = grant.create_authorization_response(grant.redirect_uri, sign_in)
        browser.request = None
        return self._kept(browser, self._redirect(dict(headers)["Location"]))

    def _refuse(self, browser: BrowserSession, parameters: dict[str, str], error: str) -> Response:
        browser.request = None
        return self._kept(browser, self._to_client(parameters["redirect_uri"], error, parameters))

    def _to_client(
        self, redirect_uri: str, error: str, parameters: dict[str, str], description: str | None = None
    ) -> Response:
        answer = {"error": error, **({"error_description": description} if description else {})}
        if "state" in parameters:
            answer["state"] = parameters["state"]
        return self._redirect(add_params_to_uri(redirect_uri, answer))

    def _redirect(self, location: str) -> Response:
        """Return the answer to the client, which says who answers (RFC 9207)."""
        return RedirectResponse(add_params_to_uri(location, {"iss": self._app.url}), _SEE_OTHER)

    def _kept(self, browser: BrowserSession, response: Response) -> Response:
        self._app.sessions.keep(browser)
        response.set_cookie(
            COOKIE, browser.cookie, max_age=SESSION_SECONDS, httponly=True, samesite="lax", path="/"
        )
        return response

    # Signing in.

    def _show(self, _request: Request, browser: BrowserSession) -> Response:
        if self._sign_in(browser) is not None:
            return self._advance(browser)
        return self._kept(browser, self._missing(browser))

    def _missing(self, browser: BrowserSession, said: str = "", status: int = 200) -> Response:
        """Return the page for the factor that is missing."""
        name = browser.account
        if name is None:
            return pages.password_page(browser, None, said=said, status=status)
        enrolled, demand = self._accounts.enrolled(name), self._demand(browser)
        if browser.factors.best(name, demand, int(self._app.now())) is None:
            return pages.password_page(browser, enrolled, said=said, status=status)
        if not enrolled.has_any:
            return self._refuse(browser, browser.request or {}, "unmet_authentication_requirements")
        return pages.second_factor_page(browser, enrolled, said=said, status=status)

    def _password(self, request: Request, browser: BrowserSession, form: dict[str, str]) -> Response:
        name = form.get("name", "")[:MAX_NAME]
        try:
            self._accounts.check_password(name, form.get("password", ""), address_of(request))
        except FactorRefusedError:
            return self._kept(browser, pages.password_page(browser, None, said=pages.REFUSED, status=403))
        except TooManyFailuresError:
            return self._kept(browser, pages.password_page(browser, None, said=pages.TOO_MANY, status=429))
        return self._shown(browser, name, PASSWORD)

    def _totp(self, request: Request, browser: BrowserSession, form: dict[str, str]) -> Response:
        name = browser.account
        if name is None:
            return RedirectResponse("/sign-in", _SEE_OTHER)
        try:
            self._accounts.check_totp(name, form.get("code", ""), address_of(request))
        except FactorRefusedError:
            return self._kept(browser, self._missing(browser, pages.REFUSED, 403))
        except TooManyFailuresError:
            return self._kept(browser, self._missing(browser, pages.TOO_MANY, 429))
        return self._shown(browser, name, ONE_TIME_CODE)

    def _passkey_options(
        self, _request: Request, browser: BrowserSession, _document: dict[str, Any]
    ) -> Response:
        if browser.account is None:
            return _REFUSED
        options, browser.challenge = self._accounts.passkey_request(browser.account)
        return self._kept(browser, JSONResponse(json.loads(options)))

    def _passkey(self, request: Request, browser: BrowserSession, document: dict[str, Any]) -> Response:
        name, challenge = browser.account, browser.challenge
        if name is None or challenge is None:
            return _REFUSED
        browser.challenge = None  # good for one try
        try:
            self._accounts.check_passkey(name, document, challenge, address_of(request))
        except FactorRefusedError:
            return self._kept(browser, JSONResponse({"error": "refused"}, 403))
        except TooManyFailuresError:
            return self._kept(browser, JSONResponse({"error": "slow_down"}, 429))
        return _as_json(self._shown(browser, name, PASSKEY))

    def _shown(self, browser: BrowserSession, name: str, method: str) -> Response:
        browser.shown(name, method, int(self._app.now()))
        self._app.sessions.renew(browser)
        return self._advance(browser)

    def _sign_out(self, _request: Request, browser: BrowserSession, _form: dict[str, str]) -> Response:
        self._app.sessions.drop(browser)
        response = RedirectResponse("/sign-in", _SEE_OTHER)
        response.delete_cookie(COOKIE)
        return response

    # Factors.

    def _account(self, _request: Request, browser: BrowserSession) -> Response:
        name = self._enrolling(browser)
        if name is None:
            return self._kept(browser, RedirectResponse("/sign-in", _SEE_OTHER))
        return self._kept(browser, pages.account_page(browser, self._accounts.enrolled(name)))

    def _enrolling(self, browser: BrowserSession) -> str | None:
        """Return whose factors may be changed now; None for who must sign in first."""
        browser.request = dict(_ACCOUNT)
        return browser.account if self._sign_in(browser) is not None else None

    def _new_totp(self, _request: Request, browser: BrowserSession, _form: dict[str, str]) -> Response:
        name = self._enrolling(browser)
        if name is None:
            return self._kept(browser, RedirectResponse("/sign-in", _SEE_OTHER))
        uri = self._accounts.begin_totp(name)
        return self._kept(browser, pages.account_page(browser, self._accounts.enrolled(name), uri=uri))

    def _confirm_totp(self, _request: Request, browser: BrowserSession, form: dict[str, str]) -> Response:
        name = self._enrolling(browser)
        if name is None:
            return self._kept(browser, RedirectResponse("/sign-in", _SEE_OTHER))
        try:
            self._accounts.confirm_totp(name, form.get("code", ""))
        except FactorRefusedError:
            enrolled = self._accounts.enrolled(name)
            return self._kept(browser, pages.account_page(browser, enrolled, said=pages.REFUSED))
        return self._kept(browser, RedirectResponse("/account", _SEE_OTHER))

    def _new_passkey(self, _request: Request, browser: BrowserSession, _document: dict[str, Any]) -> Response:
        name = self._enrolling(browser)
        if name is None:
            return _REFUSED
        options, browser.challenge = self._accounts.passkey_creation(name)
        return self._kept(browser, JSONResponse(json.loads(options)))

    def _add_passkey(self, _request: Request, browser: BrowserSession, document: dict[str, Any]) -> Response:
        name, challenge = self._enrolling(browser), browser.challenge
        if name is None or challenge is None:
            return _REFUSED
        browser.challenge = None
        try:
            self._accounts.add_passkey(name, document, challenge)
        except FactorRefusedError:
            return self._kept(browser, JSONResponse({"error": "refused"}, 403))
        return self._kept(browser, JSONResponse({"next": "/account"}))


_REFUSED = JSONResponse({"error": "refused"}, 403)


def _is_same(given: str, known: str) -> bool:
    return hmac.compare_digest(given.encode(), known.encode())


def _as_json(response: Response) -> Response:
    """Return a redirect as a script reads it, with its cookie."""
    answer = JSONResponse({"next": response.headers["location"]})
    for value in response.headers.getlist("set-cookie"):
        answer.headers.append("set-cookie", value)
    return answer
