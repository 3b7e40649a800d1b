from __future__ import annotations

from services.platform.settings import ServerSettings, ignored


def test_what_a_service_does_not_read_is_named_and_what_it_reads_is_not() -> None:
    environment = {
        "DOORS_LISTEN": "x",
        "DOORS_LOG_LEVL": "DEBUG",
        "PATH": "/bin",
        "DOORS_WAKE_URL": "http://x",
    }
    assert ignored(ServerSettings, environment) == ["DOORS_LOG_LEVL", "DOORS_WAKE_URL"]
