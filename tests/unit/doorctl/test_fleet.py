"""`doorctl fleet`: why commands failed in the whole fleet."""

from __future__ import annotations

import json
from typing import Any

from ecarus.remotecontrol.access.v1 import fleet_review_service_pb2 as contract
from ecarus.remotecontrol.door.v1 import fleet_failure_pb2
from google.protobuf.json_format import ParseDict

TOLD = {
    "minimumVehicles": 5,
    "totals": {"commands": 200, "failures": 50, "failureRate": 0.25, "previousFailureRate": 0.1},
    "causes": [
        {
            "failureReason": "ACTUATOR_FAULT",
            "component": "DOOR_ACTUATOR",
            "failures": 48,
            "failureRate": 0.24,
            "fleetFailureRate": 0.2,
            "previousFailureRate": 0.1,
        }
    ],
    "otherFailures": 2,
    "doors": [
        {"doorId": "trunk", "failures": 48, "reasons": [{"failureReason": "ACTUATOR_FAULT", "failures": 48}]}
    ],
    "models": [{"model": "Van", "commands": 100, "failures": 40, "failureRate": 0.4, "timesFleet": 1.6}],
}


def test_it_is_shown_by_cause_door_and_model(run: Any) -> None:
    answer = ParseDict(TOLD, fleet_failure_pb2.FleetFailures())
    done, operator = run(answer, "fleet", "failures", "--period", "7d", "--model", "Van")
    assert done.output.splitlines() == [
        "200 commands, 50 failed (25.00%), before 10.00%",
        "cause ACTUATOR_FAULT (DOOR_ACTUATOR): 48, 24.00%, fleet 20.00%, before 10.00%",
        "cause of too few vehicles: 2",
        "door trunk: 48 (ACTUATOR_FAULT 48)",
        "model Van: 40 of 100 failed, 1.6 times the fleet's",
    ]
    request = contract.ReviewFleetFailuresRequest(period="7d", model="Van")
    assert operator.asked[0][:3] == ("command", "ReviewFleetFailures", request)
    done, _ = run(answer, "fleet", "failures", "--json")
    assert json.loads(done.output)["totals"]["failures"] == 50


def test_of_too_few_nothing_is_shown_and_a_wrong_period_is_refused(run: Any) -> None:
    done, _ = run(fleet_failure_pb2.FleetFailures(minimum_vehicles=5), "fleet", "failures")
    assert done.output == "fewer than 5 vehicles were commanded: nothing is told of so few\n"
    done, operator = run(fleet_failure_pb2.FleetFailures(), "fleet", "failures", "--period", "1h")
    assert done.exit_code == 2
    assert not operator.asked
