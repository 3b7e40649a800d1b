"""A server of event streams on a port of its own, that says what a test lays out for each connection, and cuts it."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def refusal(status: int, body: bytes, *headers: str) -> bytes:
    """A problem as the service writes it."""
    lines = [
        f"HTTP/1.1 {status} No",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Says:
    """What one connection is told, in pieces; then it is closed, or kept open and silent (`hangs`)."""

    pieces: Sequence[bytes]
    hangs: bool = False
    resets: bool = False


@dataclass
class StreamServer:
    """Tells each connection the next of `script`, and keeps the heads of what it was asked."""

    script: list[Says]
    asked: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        for held in self._held:
            held.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(10)
            self._tell(connection)

    def _tell(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(4096)
            if not piece:
                connection.close()
                return
            head += piece
        lines = head.decode().split("\r\n")
        self.asked.append(
            {"": lines[0]} | {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        )
        says = self.script.pop(0) if self.script else Says([refusal(500, b"{}")])
        for piece in says.pieces:
            connection.sendall(piece)
        if says.hangs:
            self._held.append(connection)
            return
        if says.resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
