"""`doorctl retention` asks those services that delete something, and no other."""

from __future__ import annotations

from doorctl.retention import KEEPERS
from tools.kept_blocks import kept_by_service


def test_it_asks_who_has_a_retention() -> None:
    assert set(KEEPERS) == kept_by_service().keys()
