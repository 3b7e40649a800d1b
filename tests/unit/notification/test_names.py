"""A name server that hangs holds up the names of its own domain, and no others."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import httpcore
import pytest

from services.notification.adapters.senders.names import NameResolver, domain_of
from services.notification.adapters.senders.public_network import PublicNetwork
from services.notification.adapters.webhooks.urls import UrlRules
from services.notification.domain.webhooks import UrlRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKUP = "services.notification.adapters.senders.names.getaddrinfo"
PATIENCE = 30.0


class HangingServer:
    """Names of evil.example are not answered until `answers` is set; all others lead to 10.0.0.1."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []

    def lookup(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host.endswith("evil.example"):
            self.answers.wait(PATIENCE)
        return [(2, 1, 6, "", (address, port)) for address in ("10.0.0.1", "10.0.0.1")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingServer]:
    made = HangingServer()
    monkeypatch.setattr(LOOKUP, made.lookup)
    yield made
    made.answers.set()


async def given_up(resolver: NameResolver, *hosts: str) -> None:
    """Ask for each, and wait for none."""
    asked = [asyncio.create_task(resolver.addresses(host, 443)) for host in hosts]
    for _ in range(3):
        await asyncio.sleep(0)
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_others_are_looked_up_meanwhile(server: HangingServer) -> None:
    resolver = NameResolver(threads=4, per_domain=2)
    for round_ in range(5):
        await given_up(resolver, *(f"h{round_}-{number}.evil.example" for number in range(10)))
    async with asyncio.timeout(PATIENCE / 2):
        assert await resolver.addresses("good.test", 443) == ["10.0.0.1"]
        with pytest.raises(UrlRefusedError, match="not public"):
            await UrlRules().check("https://good.test/hook", resolver)
        with pytest.raises(httpcore.ConnectError, match="not public"):
            await PublicNetwork(resolver=resolver).connect_tcp("good.test", 443)
    assert len([each for each in server.asked if each != "good.test"]) == 2
    assert not server.answers.is_set()


async def test_what_ended_gives_back_its_place(server: HangingServer) -> None:
    resolver = NameResolver(threads=2, per_domain=1)
    await given_up(resolver, "a.evil.example", "b.evil.example")
    waiting = asyncio.create_task(resolver.addresses("c.evil.example", 443))
    server.answers.set()
    async with asyncio.timeout(PATIENCE / 2):
        assert await waiting == ["10.0.0.1"]
        assert await resolver.addresses("d.evil.example", 443) == ["10.0.0.1"]
    assert server.asked == ["a.evil.example", "c.evil.example", "d.evil.example"]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "fe80::1%eth0"])
async def test_an_address_is_not_looked_up(server: HangingServer, address: str) -> None:
    assert await NameResolver().addresses(address, 443) == [address]
    assert not server.asked


async def test_a_name_without_an_address_is_an_error_for_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **_more: object) -> None:
        raise OSError("unknown")

    monkeypatch.setattr(LOOKUP, unknown)
    resolver = NameResolver(threads=1, per_domain=1)
    for _ in range(3):
        with pytest.raises(OSError, match="unknown"):
            await resolver.addresses("nobody.test", 443)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.evil.example", "evil.example"),
        ("Evil.Example.", "evil.example"),
        ("hook.partner.co.uk", "partner.co.uk"),
        ("hook.partner.de", "partner.de"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("", ""),
    ],
)
def test_the_domain_of_a_host(host: str, domain: str) -> None:
    assert domain_of(host) == domain
