"""Models of vehicles: which one a VIN is of, what their files may say, and what is said of one that may not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from services.platform.settings import SettingsError, load
from services.vehicle_models import catalogue
from services.vehicle_models.catalogue import ModelsFolder, VehicleModels
from services.vehicle_models.file import VehicleModelsError, positions_of
from services.vehicle_models.model import DEFAULT_MODEL, FUNCTIONS
from tests.support.vehicle_models import COUPE, MODELS, SEDAN, VAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VIN = "KMHSH81C7LU123456"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    """Write a file of a model."""

    def write(
        name: str, *, patterns: list[str] | None = None, vins: list[str] | None = None, more: str = ""
    ) -> None:
        text = f'name = "{name}"\n[match]\npatterns = {patterns or []}\nvins = {vins or []}\n[doors.driver]\n{more}\n'
        (tmp_path / f"{name.lower()}.toml").write_text(text, encoding="utf-8")

    return write


def test_the_sandboxs_models_say_what_each_vehicle_has() -> None:
    models = VehicleModels(MODELS)
    sedan, coupe, van = models.of(SEDAN), models.of(COUPE), models.of(VAN)
    assert (sedan.name, coupe.name, van.name) == ("Sedan", "Coupe", "Van")
    assert sedan.door_ids == ("driver", "passenger", "rearLeft", "rearRight", "trunk", "hood")
    assert sedan.functions == FUNCTIONS
    assert coupe.door_ids == ("driver", "passenger", "trunk", "hood")
    assert coupe.setting_unlock_modes == ("ALL", "DRIVER_ONLY")
    assert not {"CHILD_LOCK", "TRUNK_RELEASE"} & set(coupe.functions)
    assert not any(door.window_sensor for door in coupe.doors)
    assert (van.unlock_modes, van.lock_modes) == ((), ("NORMAL",))
    assert "REMOTE_UNLOCK" not in van.functions
    assert {door.door_id for door in van.doors if door.sliding} == {"rearLeft", "rearRight"}


def test_a_vehicle_that_no_file_is_for_has_everything(put: Callable[..., None], tmp_path: Path) -> None:
    put("One", patterns=["KMH"])
    for models in (VehicleModels(), VehicleModels(tmp_path)):
        assert models.of("1M8GDM9AXKP042788") is DEFAULT_MODEL
    assert DEFAULT_MODEL.functions == FUNCTIONS
    assert len(DEFAULT_MODEL.door_ids) == 6


def test_the_narrowest_pattern_wins_and_a_named_vehicle_before_all(
    put: Callable[..., None], tmp_path: Path
) -> None:
    put("Wide", patterns=["KMH"])
    put("Years", patterns=["KMHSH????[KL]"])
    put("Year", patterns=["KMHSH????L"])
    put("One", vins=[VIN])
    models = VehicleModels(tmp_path)
    assert models.of(VIN).name == "One"
    assert models.of("KMHSH81C7LU123457").name == "Year"
    assert models.of("KMHSH81C7KU123457").name == "Years"
    assert models.of("KMHSH81C7MU123457").name == "Wide"


@pytest.mark.parametrize(
    ("one", "other", "fault"),
    [
        ({"patterns": ["KMH?H"]}, {"patterns": ["KM?SH"]}, "as narrow as"),
        ({"patterns": ["KMHS[HK]"]}, {"patterns": ["KMHS[HL]"]}, "as narrow as"),
        ({"vins": [VIN]}, {"vins": [VIN]}, "is also in one.toml"),
    ],
)
def test_two_models_that_are_one_vehicles_are_refused(
    put: Callable[..., None],
    tmp_path: Path,
    one: dict[str, list[str]],
    other: dict[str, list[str]],
    fault: str,
) -> None:
    put("One", **one)
    put("Two", **other)
    with pytest.raises(VehicleModelsError, match=fault) as caught:
        VehicleModels(tmp_path)
    assert str(caught.value).startswith("two.toml: match.")


def test_patterns_that_meet_in_no_vehicle_are_no_ambiguity(put: Callable[..., None], tmp_path: Path) -> None:
    put("One", patterns=["KMHS[HK]"])
    put("Two", patterns=["KMHS[LM]"])
    assert VehicleModels(tmp_path).of("KMHSL81C7LU123456").name == "Two"


GOOD = 'name = "A"\n[match]\npatterns = ["KMH"]\n[doors.driver]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", r"a\.toml: Invalid value \(at end of document\)"),
        ('name = "A"\nname = "B"\n', r"a\.toml: .*line 2"),
        ("a = " + "[" * 20_000, r"a\.toml: tables or arrays too deep in each other"),
        ("a = " + "1" * 5_000, r"a\.toml: .*integer string conversion"),
        (GOOD.replace('"A"', '""'), r"a\.toml: name: "),
        (GOOD.replace('"A"', '"A\\n"'), r"a\.toml: name: "),
        (GOOD.replace('"KMH"', '"KMI"'), r"a\.toml: match: .*patterns\[0\]"),
        (GOOD.replace('"KMH"', '"????"'), r"a\.toml: match: .*patterns\[0\]"),
        (GOOD.replace('"KMH"', '"KMHSH81C7LU1"'), r"a\.toml: match: .*patterns\[0\]"),
        (GOOD.replace('"KMH"', '"KMH", "KMH"'), r"a\.toml: match\.patterns: .*twice"),
        (GOOD.replace('patterns = ["KMH"]', 'vins = ["KMH"]'), r"a\.toml: match: .*vins\[0\]"),
        (GOOD.replace('patterns = ["KMH"]', ""), r"a\.toml: match: .*no vehicle's"),
        (
            'name = "A"\n[match]\npatterns = ["KMH"]\n[doors.trunk]\n',
            r"a\.toml: doors\.driver: Field required",
        ),
        (GOOD + "[doors.sunroof]\n", r"a\.toml: doors\.sunroof: Extra inputs"),
        (GOOD + "sliding = 1\n", r"a\.toml: doors\.driver\.sliding: .*boolean"),
        (GOOD + "[doors.hood]\nremote_unlock = true\n", r"a\.toml: doors: .*hood is moved by no command"),
        (GOOD + "[doors.trunk]\nsliding = true\n", r"a\.toml: doors: .*trunk neither slides"),
        (GOOD + '[commands]\nunlock_modes = ["SECURE"]\n', r"a\.toml: commands\.unlock_modes\.0: "),
        (GOOD + '[settings]\nunlock_modes = ["ALL", "ALL"]\n', r"a\.toml: settings\.unlock_modes: .*twice"),
        (GOOD + "[reports]\nposition = true\n", r"a\.toml: reports\.position: Extra inputs"),
    ],
)
def test_what_a_file_says_wrongly_is_named_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(VehicleModelsError, match=fault):
        VehicleModels(tmp_path)


def test_what_a_folder_may_hold_is_bounded(
    put: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("One", patterns=["KMH"])
    put("Two", patterns=["KMF", "KMJ"])
    monkeypatch.setattr(catalogue, "MOST_PATTERNS", 2)
    with pytest.raises(VehicleModelsError, match=r"two\.toml: match: more than 2 patterns"):
        VehicleModels(tmp_path)
    monkeypatch.setattr(catalogue, "MOST_FILES", 1)
    with pytest.raises(VehicleModelsError, match="more than 1 files"):
        VehicleModels(tmp_path)
    (tmp_path / "two.toml").write_bytes(b"#" * 3_000_000)
    monkeypatch.setattr(catalogue, "MOST_FILES", 2)
    with pytest.raises(VehicleModelsError, match=r"two\.toml: more than 2097152 bytes"):
        VehicleModels(tmp_path)


class _Settings(BaseModel):
    vehicle_models: ModelsFolder | None = None


def test_a_folder_that_cannot_be_used_stops_the_start(put: Callable[..., None], tmp_path: Path) -> None:
    put("One", patterns=["KMH"])
    environment = {"DOORS_VEHICLE_MODELS": str(tmp_path)}
    assert load(_Settings, environment).vehicle_models == tmp_path
    put("Two", patterns=["KMH"])
    with pytest.raises(SettingsError, match=r"DOORS_VEHICLE_MODELS: .*two\.toml: match\.patterns"):
        load(_Settings, environment)
    with pytest.raises(SettingsError, match="DOORS_VEHICLE_MODELS"):
        load(_Settings, {"DOORS_VEHICLE_MODELS": str(tmp_path / "none")})


async def test_a_change_of_the_folder_is_taken_in_and_a_wrong_one_changes_nothing(
    put: Callable[..., None], tmp_path: Path
) -> None:
    put("One", patterns=["KMH"])
    models = VehicleModels(tmp_path)
    await models.refresh()
    assert models.of(VIN).name == "One"
    put("Two", patterns=["KMHSH"])
    await models.refresh()
    assert models.of(VIN).name == "Two"
    put("Three", patterns=["KMHSH"])
    await models.refresh()
    assert models.of(VIN).name == "Two"
    (tmp_path / "two.toml").unlink()
    await models.refresh()
    assert models.of(VIN).name == "Three"
    os.utime(tmp_path / "three.toml", ns=(1, 1))
    (tmp_path / "three.toml").write_text("", encoding="utf-8")
    await models.refresh()
    assert models.of(VIN).name == "Three"


def test_what_is_remembered_of_vehicles_is_bounded(
    put: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("One", patterns=["KMH"])
    monkeypatch.setattr(catalogue, "MOST_REMEMBERED", 10)
    models = VehicleModels(tmp_path)
    for number in range(100):
        assert models.of(f"KMHSH81C7LU{number:06}").name == "One"


@pytest.mark.parametrize("pattern", ["", "I", "kmh", "[A]", "[AB", "KMH*", "K" * 12])
def test_what_is_no_pattern(pattern: str) -> None:
    assert positions_of(pattern) is None
