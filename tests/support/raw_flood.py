"""One raw connection of a car that writes as fast as the broker reads, in a process of its own."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CONNECT = (
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\nPING\r\n'
)


@dataclass(frozen=True, slots=True)
class RawFlood:
    """Where to, and as whom: PEM files. Over MQTT where there is a client id."""

    port: int
    ca: Path
    cert: Path
    key: Path
    client_id: str = ""

    def begin(self, lines: bytes, seconds: float, per_second: int = 0) -> subprocess.Popen[str]:
        """Send `lines`, whole messages of the protocol, again and again for so long, or until the broker hangs up.

        Writes how many seconds that took, "LEFT" in front where it was not cut off. `per_second`: chunks of lines, 0
        for as many as possible.
        """
        arguments = [str(self.port), str(self.ca), str(self.cert), str(self.key), lines.hex(), self.client_id]
        script = [sys.executable, __file__, *arguments, str(seconds), str(per_second)]
        return subprocess.Popen(script, stdout=subprocess.PIPE, text=True)


def cut_after(process: subprocess.Popen[str], wait_seconds: float = 60) -> float:
    """After how many seconds the broker hung up. AssertionError where it did not."""
    said, _ = process.communicate(timeout=wait_seconds)
    how, seconds = said.split()
    assert how == "CUT", f"the flood was not cut off in {seconds} s"
    return float(seconds)


def pub(subject: str, data: bytes = b"", reply: str = "") -> bytes:
    """One message of the protocol."""
    return f"PUB {subject} {reply}{' ' if reply else ''}{len(data)}\r\n".encode() + data + b"\r\n"


def mqtt_packet(kind: int, body: bytes = b"") -> bytes:
    """One packet of MQTT 3.1.1."""
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((kind,)) + bytes(digits) + body


def mqtt_text(value: str) -> bytes:
    """As MQTT writes text: its length, and UTF-8."""
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def open_raw_mqtt(port: int, ca: str, cert: str, key: str, client_id: str) -> ssl.SSLSocket:
    """A connection over MQTT that the broker let in, with a clean session. Raises OSError."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    wrapped = context.wrap_socket(plain, server_hostname="localhost")
    hello = mqtt_text("MQTT") + bytes((4, 0x02)) + struct.pack("!H", 60) + mqtt_text(client_id)
    try:
        wrapped.sendall(mqtt_packet(0x10, hello))
        greeting = wrapped.recv(4)
    except OSError:
        wrapped.close()
        raise
    if greeting != b"\x20\x02\x00\x00":
        wrapped.close()
        raise OSError(f"not let in: {greeting!r}")
    return wrapped


def open_raw(port: int, ca: str, cert: str, key: str) -> ssl.SSLSocket:
    """A connection that the broker let in. Raises OSError."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(cert, key)
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    while b"\r\n" not in plain.recv(4096):
        pass
    wrapped = context.wrap_socket(plain, server_hostname="localhost")
    try:
        wrapped.sendall(_CONNECT)
        heard = b""
        while b"PONG" not in heard and b"-ERR" not in heard and (more := wrapped.recv(4096)):
            heard += more
    except OSError:
        wrapped.close()
        raise
    if b"PONG" not in heard or b"-ERR" in heard:
        wrapped.close()
        raise OSError(f"not let in: {heard!r}")
    return wrapped


def _flood(
    port: str, ca: str, cert: str, key: str, lines: str, client_id: str, seconds: str, per_second: str
) -> None:
    where = (int(port), ca, cert, key)
    connection = open_raw_mqtt(*where, client_id) if client_id else open_raw(*where)
    chunk, pause = bytes.fromhex(lines), int(per_second)
    connection.settimeout(float(seconds) + 5)
    began = time.monotonic()
    how = "LEFT"
    try:
        while time.monotonic() - began < float(seconds):
            connection.sendall(chunk)
            _read_what_came(connection)
            if pause:
                time.sleep(1 / pause)
    except OSError:
        how = "CUT"
    sys.stdout.write(f"{how} {time.monotonic() - began:.2f}")


def _read_what_came(connection: ssl.SSLSocket) -> None:
    """As a client does; the broker ends a connection late that has much to read. Raises OSError where it ended."""
    patience = connection.gettimeout()
    connection.settimeout(0)
    try:
        while connection.recv(1 << 16):
            pass
        raise OSError("the broker hung up")
    except ssl.SSLWantReadError:
        connection.settimeout(patience)


if __name__ == "__main__":
    _flood(*sys.argv[1:])
