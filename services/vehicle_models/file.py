"""One model as its TOML file says it: read strictly, with the place of every fault."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.vehicle_models.model import (
    CABIN_DOORS,
    DOOR_IDS,
    LOCK_MODES,
    LOCKABLE_DOORS,
    SETTING_UNLOCK_MODES,
    UNLOCK_MODES,
    DoorEquipment,
    VehicleModel,
    usual_door,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

MOST_FILE_BYTES = 2_097_152
MOST_PATTERNS = 1_024
MOST_VINS = 100_000
"""In one file, and in all of a folder."""
MOST_POSITIONS = 11
"""Up to the plant: what follows in a VIN is the number of one vehicle."""
VIN_CHARACTERS = frozenset("ABCDEFGHJKLMNPRSTUVWXYZ0123456789")
_POSITION = re.compile(r"[A-HJ-NPR-Z0-9?]|\[[A-HJ-NPR-Z0-9]{2,33}\]")
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


class VehicleModelsError(ValueError):
    """Files of models cannot be used; the text names the file and the place in it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _once(words: list[str]) -> list[str]:
    if len(set(words)) < len(words):
        raise ValueError("names one twice")
    return words


_Words = Annotated[list[str], AfterValidator(_once)]
_UnlockModes = Annotated[list[Literal["NORMAL", "EMERGENCY"]], AfterValidator(_once)]
_LockModes = Annotated[list[Literal["NORMAL", "SECURE"]], AfterValidator(_once)]
_SettingUnlockModes = Annotated[list[Literal["ALL", "DRIVER_ONLY", "SEQUENCE"]], AfterValidator(_once)]


class _DoorTable(_Strict):
    """`[doors.<door>]`; what it does not say is as usual for this door (model.usual_door), but for child locks."""

    sliding: bool = False
    remote_lock: bool | None = None
    remote_unlock: bool | None = None
    lock_sensor: bool = True
    open_sensor: bool = True
    window_sensor: bool | None = None
    child_lock: bool = False

    def door(self, door_id: str) -> DoorEquipment:
        """Return the door that it describes."""
        usual = usual_door(door_id)
        return DoorEquipment(
            door_id,
            sliding=self.sliding,
            remote_lock=usual.remote_lock if self.remote_lock is None else self.remote_lock,
            remote_unlock=usual.remote_unlock if self.remote_unlock is None else self.remote_unlock,
            lock_sensor=self.lock_sensor,
            open_sensor=self.open_sensor,
            window_sensor=usual.window_sensor if self.window_sensor is None else self.window_sensor,
            child_lock=self.child_lock,
        )


class _DoorTables(_Strict):
    driver: _DoorTable
    passenger: _DoorTable | None = None
    rearLeft: _DoorTable | None = None  # noqa: N815  # the contract's name
    rearRight: _DoorTable | None = None  # noqa: N815  # the contract's name
    trunk: _DoorTable | None = None
    hood: _DoorTable | None = None

    @model_validator(mode="after")
    def _as_doors_are(self) -> Self:
        for door_id, table in self.given().items():
            if door_id not in LOCKABLE_DOORS and (table.remote_lock or table.remote_unlock):
                raise ValueError(
                    f"{door_id} is moved by no command: it has no remote_lock and no remote_unlock"
                )
            if door_id not in CABIN_DOORS and (table.window_sensor or table.child_lock or table.sliding):
                raise ValueError(f"{door_id} neither slides nor has a window or a child lock")
        return self

    def given(self) -> dict[str, _DoorTable]:
        """Return the tables that there are, by door."""
        every = {door_id: getattr(self, door_id) for door_id in DOOR_IDS}
        return {door_id: table for door_id, table in every.items() if table is not None}


class _Match(_Strict):
    patterns: _Words = Field(default=[], max_length=MOST_PATTERNS)
    vins: _Words = Field(default=[], max_length=MOST_VINS)

    @model_validator(mode="after")
    def _of_vins(self) -> Self:
        for n, pattern in enumerate(self.patterns):
            if positions_of(pattern) is None:
                raise ValueError(
                    f"patterns[{n}] is not 1 to {MOST_POSITIONS} positions of a VIN, each a letter or digit (no I, O, "
                    "Q), `?` or `[...]`, of which one at least is no `?`"
                )
        for n, vin in enumerate(self.vins):
            if not _VIN.fullmatch(vin):
                raise ValueError(f"vins[{n}] is not 17 of A-Z 0-9 without I, O and Q")
        if not self.patterns and not self.vins:
            raise ValueError("names neither patterns nor vins: it would be no vehicle's")
        return self


class _Commands(_Strict):
    unlock_modes: _UnlockModes = Field(default=["NORMAL", "EMERGENCY"])
    lock_modes: _LockModes = Field(default=["NORMAL", "SECURE"])


class _Settings(_Strict):
    unlock_modes: _SettingUnlockModes = Field(default=["ALL", "DRIVER_ONLY", "SEQUENCE"])
    auto_lock: bool = True
    speed_lock: bool = True
    parking_unlock: bool = True


class _Reports(_Strict):
    ignition: bool = True
    speed: bool = True
    gear: bool = True


class ModelFile(_Strict):
    """A file, as it is written."""

    name: str = Field(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$")
    match: _Match
    doors: _DoorTables
    commands: _Commands = _Commands()
    settings: _Settings = _Settings()
    reports: _Reports = _Reports()

    def model(self) -> VehicleModel:
        """Return the model that it describes."""
        commands, settings, reports = self.commands, self.settings, self.reports
        return VehicleModel(
            self.name,
            tuple(table.door(door_id) for door_id, table in self.doors.given().items()),
            tuple(mode for mode in UNLOCK_MODES if mode in commands.unlock_modes),
            tuple(mode for mode in LOCK_MODES if mode in commands.lock_modes),
            tuple(mode for mode in SETTING_UNLOCK_MODES if mode in settings.unlock_modes),
            auto_lock=settings.auto_lock,
            speed_lock=settings.speed_lock,
            parking_unlock=settings.parking_unlock,
            reports_ignition=reports.ignition,
            reports_speed=reports.speed,
            reports_gear=reports.gear,
        )


def positions_of(pattern: str) -> tuple[frozenset[str], ...] | None:
    """Return which characters a pattern allows at each position of a VIN, from the first; None when it is none."""
    words = _POSITION.findall(pattern)
    if "".join(words) != pattern or not 1 <= len(words) <= MOST_POSITIONS or set(words) <= {"?"}:
        return None
    return tuple(VIN_CHARACTERS if word == "?" else frozenset(word.strip("[]")) for word in words)


def model_file_in(path: Path) -> ModelFile:
    """Return what a file says. Raise VehicleModelsError, with the line or the member that is wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise VehicleModelsError(f"{path.name}: {error.strerror or error}") from error
    if len(raw) > MOST_FILE_BYTES:
        raise VehicleModelsError(f"{path.name}: more than {MOST_FILE_BYTES} bytes")
    try:
        return ModelFile.model_validate(tomllib.loads(raw.decode()))
    except ValidationError as error:  # before ValueError, which it is
        faults = error.errors(include_url=False, include_input=False)
        raise VehicleModelsError(
            "; ".join(
                f"{path.name}: {'.'.join(map(str, each['loc'])) or '(file)'}: {each['msg']}"
                for each in faults
            )
        ) from error
    except RecursionError as error:
        raise VehicleModelsError(f"{path.name}: tables or arrays too deep in each other") from error
    except ValueError as error:  # no UTF-8, no TOML, or a number of too many digits
        raise VehicleModelsError(f"{path.name}: {error}") from error
