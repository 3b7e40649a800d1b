"""A service loads what it uses: memory and the time of a start are what each replica pays for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.registry import SERVICES
from tests.support.service_modules import adapter_name

ROOT = Path(__file__).parents[3]
DATABASE = ("sqlalchemy", "alembic", "asyncpg")
BROKER = ("nats",)


@pytest.mark.parametrize("service", [service.name for service in SERVICES if not service.has_database])
def test_a_service_without_a_database_loads_none(service: str) -> None:
    program = f"import sys, services.{service}.__main__; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert adapter_name(service, "server") in loaded
    assert not loaded & {*DATABASE, *BROKER}
