"""The edge with stand-in services, for a file of tests; the whole mesh is a fixture of all levels
(tests/conftest.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.system.edge_harness import EdgeHarness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeHarness]:
    envoy = Path(sys.executable).with_name("envoy")
    async with EdgeHarness(tmp_path_factory.mktemp("edge"), envoy) as harness:
        yield harness


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge_that_pings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EdgeHarness]:
    """The edge, whose pings to services come every half second instead of every thirty."""
    envoy = Path(sys.executable).with_name("envoy")
    shorter = {"connection_keepalive: {interval: 30s": "connection_keepalive: {interval: 0.5s"}
    async with EdgeHarness(tmp_path_factory.mktemp("edge"), envoy, instead=shorter) as harness:
        yield harness
