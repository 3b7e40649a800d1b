"""Which vehicles the sandbox has, whose they are, and what their people may do from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DOOR_TIME_SECONDS = 0.4
SAMPLE_VIN = "KMHSH81C7LU123456"
ASLEEP_VIN = "KMHSH81C7LU123457"
MQTT_VIN = "KMHSH81C7LU123458"
COUPE_VIN = "KMHSC21C7LU123459"
VAN_VIN = "KMFVN31C7LU123460"
OWNERS = {
    SAMPLE_VIN: "user-123",
    ASLEEP_VIN: "user-123",
    MQTT_VIN: "user-123",
    COUPE_VIN: "user-123",
    VAN_VIN: "user-123",
    "KMHSH81C7LU654321": "user-456",
}
"""The sandbox's vehicles and who owns each."""

EQUIPMENT: Mapping[str, dict[str, list[str]]] = {
    COUPE_VIN: {
        "doors": ["driver", "passenger", "trunk", "hood"],
        "windowSensors": [],
        "childLocks": [],
        "keyOnly": ["trunk"],
    },
    VAN_VIN: {
        "doors": ["driver", "passenger", "rearLeft", "rearRight", "trunk"],
        "doorSwitches": ["driver", "passenger", "rearLeft", "rearRight"],
        "childLocks": ["rearLeft", "rearRight"],
        "keyOnly": ["driver", "passenger", "rearLeft", "rearRight", "trunk"],
    },
}
"""What those of them are built with that have not everything (vehicle/README.md), as their models say
(mesh/vehicle_models).
"""

# Published in the specification, so it is no secret; the access service honours it in this profile only.
SAMPLE_KEY = "sk_4f9c7b8e2d1a6c0f3e7a9b5d8c1e4f2a7c6d9e0b3f5a8c1d4e7f9b2c6a1e3d"
SAMPLE_KEY_OWNER = "user-123"
SAMPLE_KEY_SCOPES = (
    "door.cancel",
    "door.config.weaken",
    "door.config.write",
    "door.diagnostics.check",
    "door.lock",
    "door.read",
    "door.unlock",
    "door.unlock.emergency",
    "webhooks.read",
    "webhooks.write",
)
"""All there are: an API key cannot step up, and the specification's lines unlock with it."""


def sandbox_seed() -> dict[str, object]:
    """Return the rights, consents and keys that the access service starts with."""
    return {
        "vehicles": list(OWNERS),
        "grants": [
            {"grantId": f"sandbox-owner-{vin}", "principal": owner, "vin": vin, "role": "OWNER"}
            for vin, owner in OWNERS.items()
        ],
        "consents": [
            {"principal": person, "purpose": "ACCESS_HISTORY"} for person in sorted(set(OWNERS.values()))
        ],
        "apiKeys": [
            {
                "key": SAMPLE_KEY,
                "principal": SAMPLE_KEY_OWNER,
                "source": "MOBILE_APP",
                "scopes": list(SAMPLE_KEY_SCOPES),
            }
        ],
    }
