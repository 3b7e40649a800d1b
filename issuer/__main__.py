"""The issuer's process. `python -m issuer sign-in` is a client of it for the command line (issuer.command_line)."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from issuer.accounts import Accounts
from issuer.app import IssuerApp
from issuer.authorization_server import IssuerParts, SandboxAuthorizationServer
from issuer.clients import origins_of_pages, sandbox_clients
from issuer.command_line import main as command_line
from issuer.dpop import ProofChecker
from issuer.keys import SigningKeys
from issuer.limits import FailureLimits, RequestRates
from issuer.mandates import Mandates
from issuer.pushed_requests import PushedRequests
from issuer.sessions import BrowserSessions
from issuer.settings import IssuerSettingsRefusedError, read_settings
from issuer.store import IssuerStore
from issuer.tokens import AccessTokenGenerator, AccessTokenReader, TokenFamilies

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer.settings import IssuerSettings

MAX_REQUESTS = 200
"""So many are answered at once; others get 503."""
LONGEST_KEEP_ALIVE_SECONDS = 5


def build(
    settings: IssuerSettings, store: IssuerStore, seed: dict[str, Any], now: Callable[[], float] = time.time
) -> IssuerApp:
    """Return the issuer on this store; `seed` holds the sandbox's people and its clients' secrets.

    Raises ValueError for somebody who is named as a client is: whose `sub` a token has could not be told.
    """
    limits, clients = FailureLimits(now), sandbox_clients(seed["clients"], settings.page_origins)
    for name in seed["accounts"].keys() & clients.keys():
        raise ValueError(f"{name} is a client, and no name for an account")
    rp_id = urlsplit(settings.issuer_url).hostname or ""
    accounts = Accounts(store, limits, now, rp_id=rp_id, origin=settings.issuer_url)
    for name, account in seed["accounts"].items():
        accounts.plant(name, account["kind"], account["password"], account["totpSecret"])
    keys, families = SigningKeys(settings.issuer_key, settings.issuer_jwks), TokenFamilies(store, now)
    reader = AccessTokenReader(
        keys, families, now, issuer=settings.issuer_url, audience=settings.token_audience
    )
    generator = AccessTokenGenerator(
        settings.issuer_url, settings.token_audience, keys, settings.issuer_token_seconds, now
    )
    server = SandboxAuthorizationServer(
        IssuerParts(
            clients=clients,
            families=families,
            accounts=accounts,
            mandates=Mandates(store, accounts, limits, now),
            reader=reader,
            generator=generator,
        )
    )
    return IssuerApp(
        url=settings.issuer_url,
        server=server,
        keys=keys,
        proofs=ProofChecker(store, now),
        pushed=PushedRequests(server, store, now),
        sessions=BrowserSessions(store, now),
        rates=RequestRates(time.monotonic),
        now=now,
        page_origins=(*settings.page_origins, *origins_of_pages(clients.values())),
    )


async def serve(settings: IssuerSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    store = IssuerStore(Path(settings.issuer_database), time.time)
    app = build(settings, store, json.loads(settings.issuer_seed.read_bytes()))
    app.keys.signing()  # keys that do not fit each other stop the start
    listener = socket.create_server(("127.0.0.1", settings.issuer_port))
    config = uvicorn.Config(
        app.routes(),
        log_level=settings.log_level.lower(),
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_REQUESTS,
        timeout_keep_alive=LONGEST_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        store.close()


def main() -> int:
    """Serve, or do what the command line asks; the exit status."""
    if len(sys.argv) > 1:
        return command_line(sys.argv[1:])
    try:
        settings = read_settings(os.environ)
    except IssuerSettingsRefusedError as refused:
        print(f"issuer cannot start:\n{refused}", file=sys.stderr)  # noqa: T201  # for whoever started it
        return 2
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
