"""The issuer over real HTTP, on a clock that is moved by hand, and what a browser and an app do with it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pyotp
import pytest
import uvicorn

from issuer.__main__ import build
from issuer.settings import IssuerSettings
from issuer.store import IssuerStore
from mesh.issuer_seed import ensure_issuer_seed
from mesh.signing_keys import ensure_signing_key
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "remote-door-control"
CALLBACK = "http://localhost:9000/callback"
TWO_FACTORS, ONE_FACTOR = "urn:ecarus:acr:2fa", "urn:ecarus:acr:1fa"
PAGE_ORIGIN = "http://localhost:9080"
"""Where the pages for people are."""
VERIFIER = "v" * 64
_TLS = ssl.create_default_context()
"""Made once: each client of its own would read all CAs anew."""
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class IssuerHarness:
    """The running issuer. `at` is its clock; `seed` who can sign in."""

    folder: Path
    url: str
    seed: dict[str, Any]
    at: float = field(default_factory=time.time)
    open_clients: list[httpx.Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, verify=_TLS)

    def now(self) -> float:
        return self.at

    def code(self, name: str) -> str:
        """What the person's authenticator app shows now."""
        return pyotp.TOTP(self.seed["accounts"][name]["totpSecret"]).at(int(self.at))

    def password(self, name: str) -> str:
        return self.seed["accounts"][name]["password"]

    def browser(self) -> Browser:
        return Browser(self)

    def post(
        self, path: str, client: str = "mobile-app", headers: dict[str, str] | None = None, **form: str
    ) -> httpx.Response:
        """What a client posts: a public one with its id, a confidential one with its secret."""
        secret = self.seed["clients"].get(client)
        if secret is None:
            return self.http.post(path, data={"client_id": client, **form}, headers=headers)
        return self.http.post(path, data=form, headers=headers, auth=(client, secret))

    def claims(self, token: str) -> dict[str, Any]:
        """What an access token says, after its signature was checked with the published keys."""
        keys = jwt.PyJWKSet.from_dict(self.http.get("/jwks").json())
        header = jwt.get_unverified_header(token)
        assert header["typ"] == "at+jwt"
        key = keys[header["kid"]]
        options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
        return jwt.decode(token, key.key, ["EdDSA"], audience=AUDIENCE, issuer=self.url, options=options)

    def token(
        self, name: str, client: str = "mobile-app", *, two: bool = True, **asked: str
    ) -> dict[str, Any]:
        """The answer of the token endpoint, after a whole sign-in."""
        browser = self.browser()
        asked = {"acr_values": TWO_FACTORS, **asked} if two else asked
        code = browser.sign_in(name, client=client, **asked)["code"]
        answer = self.redeem(code, client)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def redeem(
        self, code: str, client: str = "mobile-app", headers: dict[str, str] | None = None, **changed: str
    ) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        form |= {"code_verifier": VERIFIER, **changed}
        return self.post("/token", client, headers, **form)

    def refresh(
        self, token: str, client: str = "mobile-app", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return self.post("/token", client, headers, grant_type="refresh_token", refresh_token=token)

    def proof(self, key: ec.EllipticCurvePrivateKey, **changed: Any) -> str:
        """A DPoP proof for the token endpoint."""
        jwk: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        claims = {
            "htm": "POST",
            "htu": f"{self.url}/token",
            "iat": int(self.at),
            "jti": secrets.token_urlsafe(8),
        }
        headers = {"typ": "dpop+jwt", "jwk": jwk, **changed.pop("headers", {})}
        return jwt.encode({**claims, **changed}, key, "ES256", headers=headers)


@dataclass
class Browser:
    """A browser with its cookies. It follows redirects at the issuer only."""

    harness: IssuerHarness
    page: httpx.Response | None = None

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.harness.url, verify=_TLS)
        self.harness.open_clients.append(self.http)

    def authorize(self, **changed: str | None) -> httpx.Response:
        """Go to the authorization endpoint; None leaves a parameter out."""
        asked = {
            "response_type": "code",
            "client_id": "mobile-app",
            "redirect_uri": CALLBACK,
            "state": "s-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changed,
        }
        return self.go("/authorize", {name: value for name, value in asked.items() if value is not None})

    def go(self, path: str, query: dict[str, str] | None = None) -> httpx.Response:
        return self._follow(self.http.get(path, params=query))

    def fill(self, path: str, **form: str) -> httpx.Response:
        """Send the form of the page that is shown."""
        return self._follow(self.http.post(path, data={"csrf": self.csrf, **form}))

    def script(self, path: str, document: dict[str, Any]) -> httpx.Response:
        """What the page's script posts."""
        return self.http.post(path, json=document, headers={"x-csrf-token": self.csrf})

    @property
    def csrf(self) -> str:
        assert self.page is not None
        found = re.search(r'(?:name="csrf" value|data-csrf)="([^"]+)"', self.page.text)
        assert found, self.page.text
        return found[1]

    def password(self, name: str) -> httpx.Response:
        return self.fill("/sign-in", name=name, password=self.harness.password(name))

    def totp(self, name: str) -> httpx.Response:
        return self.fill("/sign-in/totp", code=self.harness.code(name))

    def sign_in(self, name: str, **asked: Any) -> dict[str, str]:
        """What the client is answered, after as many factors as are asked for."""
        client = asked.pop("client", "mobile-app")
        page = self.authorize(client_id=client, **asked)
        if "/sign-in" in str(page.url):
            page = self.password(name)
        if "Second factor" in page.text:
            # A code is good once: the next one is shown half a minute later.
            self.harness.at += 30
            page = self.totp(name)
        return answer_in(page, asked.get("redirect_uri", CALLBACK))

    def _follow(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect and not answer.headers["location"].startswith(
            ("http://localhost:9000", "com.", PAGE_ORIGIN)
        ):
            answer = self.http.get(answer.headers["location"])
        self.page = answer
        return answer


def answer_in(page: httpx.Response, redirect_uri: str = CALLBACK) -> dict[str, str]:
    """The answer to the client in a redirect."""
    assert page.is_redirect, page.text
    location = page.headers["location"]
    assert location.startswith(redirect_uri + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture(scope="module")
def running_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerHarness]:
    folder = tmp_path_factory.mktemp("issuer")
    port = free_port()
    ensure_signing_key(folder / "issuer.key", folder / "issuer.jwks.json")
    ensure_issuer_seed(folder / "seed.json")
    harness = IssuerHarness(
        folder, f"http://localhost:{port}", json.loads((folder / "seed.json").read_text())
    )
    settings = IssuerSettings(
        profile="sandbox",
        issuer_url=harness.url,
        issuer_port=port,
        issuer_key=folder / "issuer.key",
        issuer_jwks=folder / "issuer.jwks.json",
        issuer_seed=folder / "seed.json",
        issuer_database=str(folder / "issuer.db"),
        token_audience=AUDIENCE,
        issuer_page_origins=f"{PAGE_ORIGIN},https://localhost:9443",
    )
    store = IssuerStore(folder / "issuer.db", harness.now)
    app = build(settings, store, harness.seed, harness.now)
    server = _Server(
        uvicorn.Config(
            app.routes(), host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield harness
    harness.http.close()
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture
def issuer(running_issuer: IssuerHarness) -> Iterator[IssuerHarness]:
    """The issuer, a quarter of an hour after the last test: what was counted then is forgotten."""
    running_issuer.at += 900
    yield running_issuer
    while running_issuer.open_clients:
        running_issuer.open_clients.pop().close()
