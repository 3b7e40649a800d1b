"""The kit's cloud and a car of the protocol's tests, without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.cloud import Cloud
from conformance.keys import KitCloudKeys
from protocol.manifest import Trust
from protocol.subjects import EventKind
from tests.support import protocol_harness

if TYPE_CHECKING:
    from pathlib import Path


class Kit:
    """The car was made for the kit's keys, and said hello. `clock` is everybody's."""

    def __init__(self, folder: Path) -> None:
        self.keys = KitCloudKeys(folder / "cloud")
        self.clock = protocol_harness.Clock()
        self.car = protocol_harness.Car(protocol_harness.VIN, self.clock)
        self.car.trust = Trust.restore(self.keys.all("root")[0].public_bytes, self.keys.endorsed(1))
        self.car.boot()
        self.cloud = Cloud(protocol_harness.VIN, self.keys, self.car.keys, self.clock.now_millis)
        assert self.cloud.receive(EventKind.HELLO, self.car.hello()) is not None


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)
