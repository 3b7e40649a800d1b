"""How a unit is started stands in docs/conformance.md, variable by variable."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conformance.keys import KitCloudKeys
from conformance.provision import Access, Provision

PAGE = Path("docs/conformance.md")
VIN = "KMHSH81C7LU123456"
NOT_SAID_TO_OTHERS = {"awake", "doorTimeSeconds"}
"""Members of the reference unit's file that are about its simulated car."""


def section() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text.split("### How a unit is started\n")[1].split("\n### ")[0]


@pytest.mark.parametrize("link", ["nats", "mqtt"])
def test_what_a_unit_is_given_is_what_the_page_says(tmp_path: Path, link: str) -> None:
    access = Access(link, f"{link}://127.0.0.1:1", "unit", tmp_path / "password", tmp_path / "ca.crt")
    made = Provision.write(
        tmp_path / "unit",
        VIN,
        KitCloudKeys(tmp_path / "cloud"),
        access,
        tmp_path / "car.pem",
        "http://127.0.0.1:8699",
    )
    other = {"nats": "DOORS_MQTT_URL", "mqtt": "DOORS_NATS_URL"}[link]
    named = set(re.findall(r"`(DOORS_[A-Z_]+)`", section()))
    assert set(made.environment) == named - {other}
    (vehicle,) = json.loads(Path(made.environment["DOORS_VEHICLES_FILE"]).read_text(encoding="utf-8"))
    said = set(re.findall(r"`(\w+)`", section()))
    assert set(vehicle) - NOT_SAID_TO_OTHERS <= said
