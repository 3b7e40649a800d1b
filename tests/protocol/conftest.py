"""What the protocol's tests share."""

from __future__ import annotations

import pytest

from tests.support.protocol_harness import ProtocolHarness


@pytest.fixture
def harness() -> ProtocolHarness:
    return ProtocolHarness()
