"""The parties of an attack: one bystander for all, and a fresh car in hostile hands for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.bystander import BystanderProbe
from tests.attacks.hostile_car import HostileCar
from tests.support.app import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.running_mesh import Mesh


@pytest.fixture(scope="session")
def bystander(mesh: Mesh) -> Iterator[BystanderProbe]:
    probe = BystanderProbe(mesh)
    yield probe
    probe.close()


@pytest.fixture(scope="session")
def mqtt_bystander(mesh: Mesh) -> Iterator[BystanderProbe]:
    """The same with a car on MQTT."""
    probe = BystanderProbe(mesh, SECOND, "user-123")
    yield probe
    probe.close()


@pytest.fixture(autouse=True)
def _whether_times_count(request: pytest.FixtureRequest) -> None:
    """Nothing is to be learnt from how long things take while other tests are run."""
    for name in ("bystander", "mqtt_bystander"):
        if name in request.fixturenames:
            probe: BystanderProbe = request.getfixturevalue(name)
            probe.timed = request.node.get_closest_marker("untimed") is None


@pytest.fixture
def hostile_car(mesh: Mesh, tmp_path: Path) -> HostileCar:
    return HostileCar.enrol(mesh, tmp_path)
