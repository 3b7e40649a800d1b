from __future__ import annotations

import socket

import pytest

from mesh.ports import PortInUseError, Ports


def test_the_published_distances() -> None:
    ports = Ports(8000)
    assert (ports.http, ports.https, ports.mtls, ports.nats) == (8080, 8443, 8444, 8422)
    assert (ports.envoy_admin, ports.control, ports.nats_monitor) == (8901, 8600, 8423)
    assert ports.mqtt == 8883
    assert [ports.room(name) for name in ("access", "command", "status", "config", "diagnostics")] == [
        8511, 8512, 8513, 8514, 8515,
    ]  # fmt: skip


def test_no_two_components_share_a_port() -> None:
    numbers = [port for port, _ in Ports(20_000).by_component()]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("base", [0, 1023, 64_635, 99_999])
def test_a_base_out_of_range_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="port base"):
        Ports(base)


def test_a_port_in_use_is_named_with_its_component() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port: int = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} for envoy \(HTTP\)"):
            Ports(port - 80).require_free()
