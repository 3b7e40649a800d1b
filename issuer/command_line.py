"""`python -m issuer sign-in`: what an app and its user do, from the command line, for the running sandbox.

It discovers the issuer, pushes the request, signs in on the page as a browser would, and takes the code for tokens.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

from issuer.authentication import ONE_FACTOR, TWO_FACTORS
from issuer.exchange_types import ACCESS_TOKEN, APPROVED_CASE, SPOKEN_CODE, TOKEN_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Callable

REDIRECT_URI = "http://localhost:9000/callback"
TIMEOUT_SECONDS = 10.0
STEP_SECONDS = 30
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class SignInFailedError(Exception):
    """The issuer did not give a token; the text says why."""


class CodeRefusedError(SignInFailedError):
    """The TOTP code was not accepted: it was used before, perhaps."""


@dataclass
class CommandLineClient:
    """An app of the sandbox: `client_id` with its `secret`, where it has one, at the issuer `url`.

    With `proof`, which makes DPoP proofs for a method and a URL, its tokens are bound to a key.
    """

    url: str
    client_id: str = "mobile-app"
    secret: str | None = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=TIMEOUT_SECONDS))

    proof: Callable[[str, str], str] | None = None

    def __post_init__(self) -> None:
        """Discover the endpoints."""
        self.metadata: dict[str, Any] = self._said(
            self.http.get(f"{self.url}/.well-known/openid-configuration")
        )
        if self.metadata.get("issuer") != self.url:
            raise SignInFailedError(f"{self.url} says that it is another issuer")

    def sign_in(self, name: str, password: str, code: str | None = None, **asked: str) -> dict[str, Any]:
        """Return the answer of the token endpoint. With a TOTP code two factors are asked for."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        request = {
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "acr_values": TWO_FACTORS if code else ONE_FACTOR,
            "prompt": "login",
            **asked,
        }
        pushed = self._posted("pushed_authorization_request_endpoint", request)
        start = {"client_id": self.client_id, "request_uri": pushed["request_uri"]}
        page = self._follow(self.http.get(self.metadata["authorization_endpoint"], params=start))
        page = self._filled(page, "/sign-in", {"name": name, "password": password})
        if code is not None:
            page = self._filled(page, "/sign-in/totp", {"code": code}, refused=CodeRefusedError)
        answer = {
            key: values[0] for key, values in parse_qs(urlsplit(str(page.headers["location"])).query).items()
        }
        if answer.get("state") != state or answer.get("iss") != self.url:
            raise SignInFailedError("the answer is not to this request, or not of this issuer")
        if "code" not in answer:
            raise SignInFailedError(answer.get("error", "no code"))
        return self._posted(
            "token_endpoint",
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": REDIRECT_URI,
                "code_verifier": verifier,
            },
        )

    def speak(self, token: str, vin: str, case: str) -> dict[str, Any]:
        """Return the code that lets an agent act for whose token this is."""
        headers = {"authorization": f"Bearer {token}"}
        return self._said(
            self.http.post(f"{self.url}/mandates/codes", data={"vin": vin, "case": case}, headers=headers)
        )

    def exchange(self, agent_token: str, kind: str, secret: str, scope: str) -> dict[str, Any]:
        """Return the token in which an agent acts for a customer (RFC 8693)."""
        return self._posted(
            "token_endpoint",
            {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token": secret,
                "subject_token_type": kind,
                "actor_token": agent_token,
                "actor_token_type": ACCESS_TOKEN,
                "scope": scope,
            },
        )

    def _posted(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        url = self.metadata[endpoint]
        headers = {"dpop": self.proof("POST", url)} if self.proof and endpoint == "token_endpoint" else {}
        if self.secret is None:
            return self._said(
                self.http.post(url, data={"client_id": self.client_id, **form}, headers=headers)
            )
        return self._said(self.http.post(url, data=form, headers=headers, auth=(self.client_id, self.secret)))

    def _filled(
        self,
        page: httpx.Response,
        action: str,
        form: dict[str, str],
        refused: type[SignInFailedError] = SignInFailedError,
    ) -> httpx.Response:
        found = _CSRF.search(page.text)
        if found is None:
            raise SignInFailedError("the sign-in page was not shown")
        answer = self._follow(self.http.post(self.url + action, data={"csrf": found[1], **form}))
        if answer.is_error:
            raise refused("it was not accepted, or there were too many tries")
        return answer

    def _follow(self, answer: httpx.Response) -> httpx.Response:
        """Follow redirects as long as they stay at the issuer."""
        while answer.is_redirect:
            where = httpx.URL(self.url).join(answer.headers["location"])
            if not str(where).startswith(f"{self.url}/"):
                return answer
            answer = self.http.get(where)
        return answer

    @staticmethod
    def _said(answer: httpx.Response) -> dict[str, Any]:
        try:
            document: dict[str, Any] = answer.json()
        except ValueError as error:
            raise SignInFailedError(f"the issuer answered {answer.status_code} and no JSON") from error
        if answer.is_error:
            raise SignInFailedError(f"{document.get('error')}: {document.get('error_description', '')}")
        return document


def one_time_code(secret: str, now: float) -> str:
    """Return the TOTP code of now."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).at(int(now))


def main(words: list[str]) -> int:
    """Do what the command line asks; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m issuer", description="Sign in at the sandbox's issuer, which `make run` has started."
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DOORS_DATA_DIR") or ".doors"),
        help="the sandbox's folder (.doors)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    code = commands.add_parser("code", help="print the code that a user's authenticator app would show now")
    code.add_argument("user")
    sign_in = commands.add_parser(
        "sign-in", help="sign in by the authorization code flow; print the access token"
    )
    sign_in.add_argument("user", help="user-123, user-456, agent-7, agent-8, employee-1 or employee-2")
    sign_in.add_argument("--one-factor", action="store_true", help="with the password only")
    sign_in.add_argument("--client", help="mobile-app, web or voice-assistant; an agent's is call-center")
    sign_in.add_argument("--scope", help="door where none is asked for, of an employee security.watch")
    sign_in.add_argument("--json", action="store_true", help="print the whole answer, with the refresh token")
    spoken = commands.add_parser("spoken-code", help="print the code with which a customer lets an agent act")
    spoken.add_argument("user")
    spoken.add_argument("--vin", required=True)
    spoken.add_argument("--case", required=True, help="the number of the case that the agent has opened")
    act = commands.add_parser("act", help="print the token in which an agent acts for a customer")
    act.add_argument("agent")
    act.add_argument("--spoken-code", help="what the customer told the agent")
    act.add_argument("--case", help="a case that another agent has approved")
    act.add_argument("--scope", default="door", help="security.watch, to see what was abnormal, ...")
    arguments = parser.parse_args(words)
    try:
        seed = json.loads((arguments.data / "secrets" / "issuer-seed.json").read_bytes())
        url = json.loads((arguments.data / "issuer.json").read_bytes())["issuer"]
        print(_done(arguments, seed, url))  # noqa: T201  # a command talks to a person
    except (OSError, KeyError) as missing:
        print(f"issuer: {missing}; is the sandbox running? make run", file=sys.stderr)  # noqa: T201
        return 1
    except (SignInFailedError, httpx.HTTPError) as failed:
        print(f"issuer: {failed}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _signed_in(
    client: CommandLineClient,
    name: str,
    account: dict[str, Any],
    *,
    scope: str | None = None,
    one_factor: bool = False,
) -> dict[str, Any]:
    """Return the answer to a sign-in. A code of the app is good once: where this one was used, wait for the next."""
    asked = {} if scope is None else {"scope": scope}
    if one_factor:
        return client.sign_in(name, account["password"], **asked)
    code = one_time_code(account["totpSecret"], time.time())
    try:
        return client.sign_in(name, account["password"], code, **asked)
    except CodeRefusedError:
        time.sleep(STEP_SECONDS - time.time() % STEP_SECONDS)
        fresh = one_time_code(account["totpSecret"], time.time())
        return client.sign_in(name, account["password"], fresh, **asked)


def _done(arguments: argparse.Namespace, seed: dict[str, Any], url: str) -> str:
    name = arguments.agent if arguments.command == "act" else arguments.user
    account = seed["accounts"][name]
    if arguments.command == "code":
        return one_time_code(account["totpSecret"], time.time())
    client_id = {"agent": "call-center", "employee": "operations"}.get(account["kind"], "mobile-app")
    if arguments.command == "sign-in" and arguments.client:
        client_id = arguments.client
    client = CommandLineClient(url, client_id, seed["clients"].get(client_id))
    if arguments.command == "spoken-code":
        token = _signed_in(client, name, account)["access_token"]
        return str(client.speak(token, arguments.vin, arguments.case)["code"])
    if arguments.command == "act":
        kind, secret = (
            (SPOKEN_CODE, arguments.spoken_code)
            if arguments.spoken_code
            else (APPROVED_CASE, arguments.case or "")
        )
        agent = _signed_in(client, name, account, scope=arguments.scope)
        exchanged = client.exchange(agent["access_token"], kind, secret, arguments.scope)
        return str(exchanged["access_token"])
    answer = _signed_in(client, name, account, scope=arguments.scope, one_factor=arguments.one_factor)
    return json.dumps(answer, indent=2) if arguments.json else str(answer["access_token"])
