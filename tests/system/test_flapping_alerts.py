"""An alert that comes and goes, as whoever watches and whoever asks meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.app import SECOND, App, Car, eventually

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system
FLIPS = 6


def test_it_is_told_of_once_in_the_damping_time_with_how_often_and_then_that_it_is_gone(mesh: Mesh) -> None:
    app, car = App(mesh, SECOND), Car(mesh, SECOND)
    car.meet()
    car.do("actuators/trunk/repair")
    eventually(lambda: app.get("diagnostics").json()["systemStatus"] == "NORMAL", 40)

    def told() -> list[dict[str, Any]]:
        alerts = [event["data"]["data"] for event in stream.events if event["event"] == "SYSTEM_ALERT"]
        return [alert for alert in alerts if alert.get("componentId", "").startswith("trunk")]

    with app.stream() as stream:
        for _ in range(FLIPS):
            for act, summary in (("fail", "FAULT"), ("repair", "NORMAL")):
                car.do(f"actuators/trunk/{act}")
                # Who asks is shown what stands: never better than that, and never worse.
                eventually(lambda s=summary: app.get("diagnostics").json()["systemStatus"] == s, 40)
        gone = eventually(lambda: (t := told())[-1].get("cleared") and len(t) > 2 and t, 60)
    assert gone[0].get("cleared") is None
    assert any(alert.get("flapCount", 0) > 0 for alert in gone)
    assert all(alert["severity"] == "CRITICAL" for alert in gone)
    # Each change was reported of, or counted in what was.
    assert len(gone) < 2 * FLIPS
