from __future__ import annotations

import contextlib
import socket

import pytest

from mesh.ports import PortInUseError, Ports


def test_the_published_distances() -> None:
    ports = Ports(8000)
    assert (ports.http, ports.https, ports.mtls, ports.nats) == (8080, 8443, 8444, 8422)
    assert (ports.control, ports.nats_monitor) == (8600, 8423)
    assert (ports.mqtt, ports.issuer) == (8883, 8700)
    assert (ports.phones, ports.push) == (8590, 8591)
    assert [ports.service(name) for name in ("access", "command", "status", "config", "diagnostics")] == [
        8511, 8512, 8513, 8514, 8515,
    ]  # fmt: skip
    assert (ports.service("enrolment"), ports.service("signer")) == (8516, 8517)


def test_no_two_components_share_a_port() -> None:
    numbers = [port for port, _ in Ports(20_000).by_component()]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("base", [0, 1023, 64_653, 99_999])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="DOORS_PORT_BASE"):
        Ports(base)


def free() -> Ports:
    """Ports that nobody uses, below those the system gives to outgoing connections."""
    for base in range(11_000, 31_000, 500):
        ports = Ports(base)
        with contextlib.suppress(PortInUseError):
            ports.require_free()
            return ports
    raise AssertionError("no free block of ports")


def test_a_port_in_use_is_named_with_its_component() -> None:
    ports = free()
    with (
        socket.create_server(("127.0.0.1", ports.http)),
        pytest.raises(PortInUseError, match=rf"port {ports.http} for envoy \(HTTP\)"),
    ):
        ports.require_free()
