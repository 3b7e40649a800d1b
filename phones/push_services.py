"""The three push services behind one port, told apart by path as no two of them share one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phones import apns_service, fcm_service, web_push_service
from phones.apns_service import ApnsService
from phones.fcm_service import FcmService
from phones.http2_server import Http2Answer, Http2Server
from phones.new_phones import PhoneMaker
from phones.web_push_service import WebPushService

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from phones.credentials import SenderCredentials
    from phones.directory import PhoneDirectory
    from phones.http2_server import Http2Request


class PushServices:
    """The services at `https://localhost:<port>`. `now` is seconds since 1970."""

    def __init__(
        self, directory: PhoneDirectory, credentials: SenderCredentials, url: str, now: Callable[[], float]
    ) -> None:
        self.url = url
        self.fcm = FcmService(directory, credentials, url, now)
        self.apns = ApnsService(directory, credentials, now)
        self.web_push = WebPushService(directory, url, now)
        self.maker = PhoneMaker(self.web_push.endpoint, credentials.application_server_key)
        self._server = Http2Server(self.handle)

    async def start(self, port: int, certificate: Path, key: Path) -> None:
        """Listen. Raises OSError, ssl.SSLError."""
        await self._server.start(port, certificate, key)

    async def close(self) -> None:
        """Stop."""
        await self._server.close()

    @property
    def connections(self) -> int:
        """How many were made in all."""
        return self._server.count

    async def handle(self, request: Http2Request) -> Http2Answer:
        """Answer one request."""
        if request.path.startswith(apns_service.PATH):
            return await self.apns.send(request)
        if request.path.startswith(web_push_service.PATH):
            return await self.web_push.send(request)
        if request.method != "POST":
            return Http2Answer(405)
        if request.path == fcm_service.TOKEN_PATH:
            return await self.fcm.token(request)
        if request.path.startswith("/v1/projects/"):
            return await self.fcm.send(request)
        return Http2Answer(404)
