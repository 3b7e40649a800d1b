"""The process of the simulated phones: the push services over TLS, and the inbox. Wiring only."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from phones.credentials import read_credentials
from phones.directory import PhoneDirectory
from phones.inbox_app import inbox_app
from phones.push_services import PushServices
from phones.settings import PhonesSettingsRefusedError, read_settings

if TYPE_CHECKING:
    from phones.settings import PhonesSettings

MAX_REQUESTS = 100
"""So many are answered at once; others get 503."""
LONGEST_KEEP_ALIVE_SECONDS = 5


async def serve(settings: PhonesSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError, and ValueError or KeyError for a file that is not what it should
    be.
    """
    directory = PhoneDirectory(Path(settings.phones_file))
    url = f"https://localhost:{settings.phones_push_port}"
    services = PushServices(directory, read_credentials(settings.phones_senders), url, time.time)
    listener = socket.create_server(("127.0.0.1", settings.phones_port))
    await services.start(settings.phones_push_port, settings.phones_tls_cert, settings.phones_tls_key)
    config = uvicorn.Config(
        inbox_app(directory, services.maker),
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
        await services.close()


def main() -> int:
    """Serve; the exit status."""
    try:
        settings = read_settings(os.environ)
    except PhonesSettingsRefusedError as refused:
        print(f"phones cannot start:\n{refused}", file=sys.stderr)  # noqa: T201  # for whoever started it
        return 2
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
