"""The parties of an attack: one bystander for all, and a fresh car in hostile hands for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.bystander import BystanderProbe
from tests.attacks.hostile_car import HostileCar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.running_mesh import Mesh


@pytest.fixture(scope="session")
def bystander(mesh: Mesh) -> Iterator[BystanderProbe]:
    probe = BystanderProbe(mesh)
    yield probe
    probe.close()


@pytest.fixture(autouse=True)
def _whether_times_count(request: pytest.FixtureRequest) -> None:
    """Nothing is to be learnt from how long things take while other tests are run."""
    if "bystander" in request.fixturenames:
        probe: BystanderProbe = request.getfixturevalue("bystander")
        probe.timed = request.node.get_closest_marker("untimed") is None


@pytest.fixture
def hostile_car(mesh: Mesh, tmp_path: Path) -> HostileCar:
    return HostileCar.enrol(mesh, tmp_path)
