"""How requests reach the edge: where one ends, what a header may hold, and which TLS carries it: a real Envoy."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import struct
import warnings
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.system.edge_harness import BASE, EdgeHarness

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 60
GOOD = {"authorization": "Bearer good"}
WHO = "Host: localhost\r\nAuthorization: Bearer good\r\n"
HEAD = f"POST {BASE}/lock HTTP/1.1\r\n{WHO}Content-Type: application/json\r\n"
BEHIND = f"GET {BASE}/config HTTP/1.1\r\n{WHO}\r\n"
BODY = '{"targetDoors":["all"]}'
CHUNK = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
TWO_ENDS = {
    "a length, and chunks": f"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNK}",
    "chunks, and a length": f"Transfer-Encoding: chunked\r\nContent-Length: {len(CHUNK)}\r\n\r\n{CHUNK}",
    "two lengths": f"Content-Length: {len(BODY)}\r\nContent-Length: 0\r\n\r\n{BODY}",
    "a list of lengths": f"Content-Length: {len(BODY)}, 0\r\n\r\n{BODY}",
    "a length with a sign": f"Content-Length: +{len(BODY)}\r\n\r\n{BODY}",
    "a length in hex": f"Content-Length: 0x17\r\n\r\n{BODY}",
    "a length below zero": f"Content-Length: -1\r\n\r\n{BODY}",
    "a space before the colon": f"Content-Length : {len(BODY)}\r\n\r\n{BODY}",
    "another encoding at the end": f"Transfer-Encoding: chunked, identity\r\n\r\n{CHUNK}",
    "an encoding that nobody knows": f"Transfer-Encoding: xchunked\r\n\r\n{CHUNK}",
    "chunks twice": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{CHUNK}",
    "a chunk whose length is none": f"Transfer-Encoding: chunked\r\n\r\nzz\r\n{BODY}\r\n0\r\n\r\n",
    "a chunk whose length is too long": f"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{BODY}",
}


@pytest.mark.parametrize("form", TWO_ENDS)
async def test_a_request_with_two_ends_is_refused(edge: EdgeHarness, form: str) -> None:
    """It is answered once, nothing reaches a service, and what may be a second request is none."""
    calls = len(edge.received.calls)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.ports.http)
    async with asyncio.timeout(WAIT_SECONDS):
        writer.write((HEAD + TWO_ENDS[form] + BEHIND).encode())
        answer = await reader.read()  # the connection is closed
        writer.close()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(edge.received.calls) == calls


async def test_the_same_in_one_way_is_taken_and_what_is_behind_it_too(edge: EdgeHarness) -> None:
    """Otherwise the cases would show nothing."""
    for sound in (f"Content-Length: {len(BODY)}\r\n\r\n{BODY}", f"Transfer-Encoding: chunked\r\n\r\n{CHUNK}"):
        calls = len(edge.received.calls)
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.ports.http)
        async with asyncio.timeout(WAIT_SECONDS):
            writer.write((HEAD + sound + BEHIND).encode())
            while len(edge.received.calls) < calls + 2:
                assert await reader.read(65_536)
            writer.close()


@pytest.mark.parametrize("path", [f"{BASE}/status", "/", "/healthz", f"{BASE}//status"])
async def test_nobody_is_redirected(edge: EdgeHarness, path: str) -> None:
    """Whoever calls an API without TLS is to notice it (or is the sandbox), and no path leads elsewhere."""
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False, timeout=WAIT_SECONDS) as client:
        answer = await client.get(path, headers=GOOD)
    assert not 300 <= answer.status_code < 400, answer.headers
    assert "location" not in answer.headers


# HTTP/2, frame by frame: a client's library would not send these.

HEADERS_FRAME, RST_FRAME, GOAWAY_FRAME = 1, 3, 7
OK_FIELD = 0x88
"""`:status: 200`, as HPACK's static table has it."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def field(name: str, value: str) -> bytes:
    """A literal header field without indexing (RFC 7541, 6.2.2)."""
    return b"\x00" + b"".join(bytes((len(each),)) + each.encode("latin-1") for each in (name, value))


async def asked_over_http_2(edge: EdgeHarness, *extra: tuple[str, str]) -> tuple[int, bytes]:
    """The kind of the frame that answers a read with these fields besides, and what it holds."""
    context = ssl.create_default_context(cafile=edge.pki.ca)
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", edge.ports.https, ssl=context, server_hostname="localhost"
    )
    sent = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", f"{BASE}/status"),
        (":authority", "localhost"),
        ("authorization", "Bearer good"),
        *extra,
    ]
    block = b"".join(itertools.starmap(field, sent))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(HEADERS_FRAME, 0x5, 1, block))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] in {HEADERS_FRAME, RST_FRAME, GOAWAY_FRAME}:
                    return head[3], payload
    except (asyncio.IncompleteReadError, ConnectionError):
        return GOAWAY_FRAME, b""  # the connection is over, without a word
    finally:
        writer.close()


def is_ok(kind: int, payload: bytes) -> bool:
    fields = payload.lstrip(bytes(range(0x20, 0x40)))  # a change of the table's size may come first
    return kind == HEADERS_FRAME and fields[0] == OK_FIELD


async def test_a_sound_request_over_http_2_is_answered(edge: EdgeHarness) -> None:
    """Otherwise the refusals below would show nothing."""
    assert is_ok(*await asked_over_http_2(edge, ("x-name", "value")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("content-length", "5"),
        ("X-Upper", "value"),
        (":path", "/other"),
        (":status", "200"),
    ],
)
async def test_http_2_takes_no_header_of_a_connection(edge: EdgeHarness, name: str, value: str) -> None:
    """RFC 9113, 8.2 and 8.3: not those of HTTP/1.1's framing, no capitals, no field of the protocol a second time."""
    calls = len(edge.received.calls)
    assert not is_ok(*await asked_over_http_2(edge, (name, value)))
    assert len(edge.received.calls) == calls


@pytest.mark.parametrize("value", ["a\r\nx-ecarus-capability: mine", "a\nb", "a\rb", "a\x00b"])
@pytest.mark.parametrize("name", ["x-name", "x-correlation-id"])
async def test_http_2_takes_no_line_break_in_a_header(edge: EdgeHarness, name: str, value: str) -> None:
    calls = len(edge.received.calls)
    assert not is_ok(*await asked_over_http_2(edge, (name, value)))
    assert len(edge.received.calls) == calls


# TLS.


def old_context(
    edge: EdgeHarness, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0"
) -> ssl.SSLContext:
    """A client that speaks this version and no other, and is content with whatever it is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(edge.pki.ca)
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it says that these versions are old
        context.minimum_version = context.maximum_version = version
    pair = edge.pki.pair("team-demo")
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["h2"])
    return context


async def shaken(port: int, context: ssl.SSLContext) -> str:
    """The version that was agreed on, or the alert with which the server refused."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
    except ssl.SSLError as error:
        return str(error.reason)
    except ConnectionError:
        return "hung up"
    version = str(writer.get_extra_info("ssl_object").version())
    writer.close()
    return version


def ports_of(edge: EdgeHarness) -> Iterator[tuple[str, int]]:
    yield "public", edge.ports.https
    yield "teams", edge.ports.mtls
    for service in ("access", "command"):
        yield service, edge.ports.service(service)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
async def test_old_tls_is_refused_on_every_port(edge: EdgeHarness, version: ssl.TLSVersion) -> None:
    context = old_context(edge, version)
    refusals = {name: await shaken(port, context) for name, port in ports_of(edge)}
    # The server says so, not the client.
    assert set(refusals.values()) <= {"TLSV1_ALERT_PROTOCOL_VERSION", "hung up"}, refusals
    assert refusals["public"] == refusals["teams"] == "TLSV1_ALERT_PROTOCOL_VERSION"


async def test_todays_tls_is_spoken(edge: EdgeHarness) -> None:
    newest = old_context(edge, ssl.TLSVersion.TLSv1_3)
    assert {name: await shaken(port, newest) for name, port in ports_of(edge)} == dict.fromkeys(
        ("public", "teams", "access", "command"), "TLSv1.3"
    )
    older = old_context(edge, ssl.TLSVersion.TLSv1_2)
    assert await shaken(edge.ports.https, older) == "TLSv1.2"
    assert await shaken(edge.ports.mtls, older) == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize(
    "suites", ["kRSA:@SECLEVEL=0", "aNULL:@SECLEVEL=0", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"]
)
async def test_a_suite_without_forward_secrecy_is_refused(edge: EdgeHarness, suites: str) -> None:
    """Nor one without a certificate, or without encryption; over TLS 1.3 there is none of these."""
    context = old_context(edge, ssl.TLSVersion.TLSv1_2, suites)
    assert await shaken(edge.ports.https, context) == "SSLV3_ALERT_HANDSHAKE_FAILURE"
    assert await shaken(edge.ports.https, old_context(edge, ssl.TLSVersion.TLSv1_2, "kECDHE")) == "TLSv1.2"
