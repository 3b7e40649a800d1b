"""What the edge lets in: settings with bounds, and shares that leave service for others."""

from __future__ import annotations

import resource

import pytest

from mesh.edge_config import CONNECTIONS, REQUESTS_PER_SECOND, EdgeLimits, read_origins


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    hard = [20_000]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1_024, hard[0]))
    return hard


def test_the_usual(descriptors: list[int]) -> None:
    assert EdgeLimits.read({}) == EdgeLimits(CONNECTIONS, REQUESTS_PER_SECOND)
    descriptors[0] = 4_096  # a machine that lets nobody open more
    assert EdgeLimits.read({}).connections == 3_096
    descriptors[0] = resource.RLIM_INFINITY  # as macOS says it
    assert EdgeLimits.read({}).connections == 9_240


def test_what_is_set_is_taken(descriptors: list[int]) -> None:
    environment = {"DOORS_EDGE_CONNECTIONS": "500", "DOORS_EDGE_REQUESTS_PER_SECOND": "60"}
    assert EdgeLimits.read(environment) == EdgeLimits(500, 60)
    assert descriptors


@pytest.mark.parametrize("key", ["DOORS_EDGE_CONNECTIONS", "DOORS_EDGE_REQUESTS_PER_SECOND"])
@pytest.mark.parametrize("wrong", ["0", "9", "-100", "1000001", "many", "1e4", "٣٠٠"])  # digits, but not ours
def test_what_is_out_of_bounds_is_named(descriptors: list[int], key: str, wrong: str) -> None:
    descriptors[0] = 1 << 30
    with pytest.raises(ValueError, match=key):
        EdgeLimits.read({key: wrong})


def test_more_connections_than_files_may_be_open_are_refused(descriptors: list[int]) -> None:
    assert descriptors == [20_000]
    with pytest.raises(ValueError, match=r"DOORS_EDGE_CONNECTIONS must be at most 19000 .* ulimit -n"):
        EdgeLimits.read({"DOORS_EDGE_CONNECTIONS": "19001"})


@pytest.mark.parametrize("connections", [100, 1_000, 10_000])
def test_no_listener_and_no_address_can_take_all(connections: int) -> None:
    names = EdgeLimits(connections).names()
    listeners = [names[f"{name}_CONNECTIONS"] for name in ("HTTPS", "HTTP", "MTLS")]
    assert sum(listeners) <= names["MAX_CONNECTIONS"] == connections
    assert names["SHARE_CONNECTIONS"] * 2 <= min(listeners[:2])
    assert names["TEAM_SHARE_CONNECTIONS"] * 2 <= listeners[2]
    assert all(value > 0 for value in names.values())


def test_pages_of_this_machine_may_call_the_sandbox_and_others_where_they_are_named() -> None:
    assert str(read_origins({})) == "http://127.0.0.1:*,http://localhost:*"
    assert str(read_origins({"DOORS_CORS_ORIGINS": "none"})) == "none"
    assert str(read_origins({"DOORS_CORS_ORIGINS": "https://app.example.com"})) == "https://app.example.com"


@pytest.mark.parametrize(
    "wrong", ["*", "app.example.com", "https://app.example.com/path", "http://app.example.com"]
)
def test_what_is_no_origin_stops_the_start_and_names_the_key(wrong: str) -> None:
    with pytest.raises(ValueError, match="DOORS_CORS_ORIGINS"):
        read_origins({"DOORS_CORS_ORIGINS": wrong})
