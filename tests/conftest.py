"""The one mesh of a whole run: the system tests and the attacks share it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import running_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Mesh

ATTACKS = Path(__file__).parent / "attacks"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attack last: what an attacker leaves behind, such as cars that are muted, meets no other test."""
    items.sort(key=lambda item: item.path.is_relative_to(ATTACKS))


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    # So that what a withdrawn key opened ends while a test waits for it.
    with running_mesh(
        tmp_path_factory.mktemp("doors"), DOORS_KEYS_REREAD_SECONDS="2", DOORS_ALERT_DAMPING_SECONDS="6"
    ) as running:
        yield running
