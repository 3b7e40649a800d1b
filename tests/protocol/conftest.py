"""What the protocol's tests share."""

from __future__ import annotations

import pytest

from tests.support.stand import Stand


@pytest.fixture
def stand() -> Stand:
    return Stand()
