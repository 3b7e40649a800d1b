"""Which of the broker's nodes a car tries."""

from __future__ import annotations

import pytest

from vehicle.link.addresses import Endpoint, Endpoints, read_endpoints

PORTS = {"nats": 4222, "tls": 4222}


def test_one_address_or_several() -> None:
    assert read_endpoints("tls://a:1, tls://b", PORTS) == (
        "tls",
        [Endpoint("a", 1, "a"), Endpoint("b", 4222, "b")],
    )


@pytest.mark.parametrize("text", ["", "a:1", "http://a:1", "nats://a:1,tls://b:1", "nats://", "nats://a:1,"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"must begin|without a host"):
        read_endpoints(text, PORTS)


def test_a_car_stays_with_a_node_that_works_and_goes_round_when_none_does() -> None:
    endpoints = Endpoints("KMHSH81C7LU123456", [Endpoint(host, 1, host) for host in "abc"])
    first = endpoints.current()
    assert endpoints.current() == first
    tried = [first]
    for _ in range(3):
        endpoints.failed()
        tried.append(endpoints.current())
    assert {each.host for each in tried} == set("abc")
    assert tried[3] == first


def test_cars_share_the_nodes() -> None:
    nodes = [Endpoint(host, 1, host) for host in "abc"]
    counts = dict.fromkeys("abc", 0)
    for number in range(3_000):
        counts[Endpoints(f"KMHSH81C7LU{number:06}", nodes).current().host] += 1
    assert min(counts.values()) > 800


async def test_a_name_is_all_its_addresses_and_keeps_its_name_for_the_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(0, 0, 0, "", (f"10.0.0.{n}", 4222)) for n in (1, 2, 1)]
    monkeypatch.setattr("vehicle.link.addresses.socket.getaddrinfo", lambda *_args, **_kwargs: found)
    endpoints = Endpoints("KMHSH81C7LU123456", [Endpoint("nats.example", 4222, "nats.example")])
    tried = {await endpoints.current_address()}
    endpoints.failed()
    tried.add(await endpoints.current_address())
    assert tried == {Endpoint(f"10.0.0.{n}", 4222, "nats.example") for n in (1, 2)}
