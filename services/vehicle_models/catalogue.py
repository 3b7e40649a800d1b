"""All models of a folder, and which one a vehicle is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import AfterValidator, DirectoryPath

from services.vehicle_models.file import (
    MOST_PATTERNS,
    MOST_VINS,
    VIN_CHARACTERS,
    VehicleModelsError,
    model_file_in,
    positions_of,
)
from services.vehicle_models.model import DEFAULT_MODEL, VehicleModel

if TYPE_CHECKING:
    from pathlib import Path

    from services.vehicle_models.file import ModelFile

MOST_FILES = 256
MOST_REMEMBERED = 100_000
REREAD_SECONDS = 10.0
"""How often the folder is looked at for changes."""
_log = structlog.get_logger()


class VehicleModels:
    """The models of a folder. `of` is asked for every command and report; `refresh` takes in what was changed."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the folder; without one every vehicle is of DEFAULT_MODEL. Raise VehicleModelsError."""
        self._folder = folder
        self._seen = _state_of(folder) if folder is not None else ()
        self._catalogue = _read(folder) if folder is not None else _Catalogue()
        self._known: dict[str, VehicleModel] = {}

    def of(self, vin: str) -> VehicleModel:
        """Return the model of this vehicle."""
        model = self._known.get(vin)
        if model is None:
            model = self._catalogue.of(vin)
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[vin] = model
        return model

    async def refresh(self) -> None:
        """Read the folder again where it has changed. One that cannot be used changes nothing, and is logged."""
        if self._folder is None:
            return
        try:
            seen = await asyncio.to_thread(_state_of, self._folder)
            if seen == self._seen:
                return
            self._seen = seen
            self._catalogue = await asyncio.to_thread(_read, self._folder)
        except VehicleModelsError as error:
            _log.error("vehicle_models_not_read", reason=str(error))
            return
        self._known = {}
        _log.info("vehicle_models_read", models=len(self._catalogue.models))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Which characters are at each position of a VIN, and how narrow that is."""

    text: str
    positions: tuple[frozenset[str], ...]
    model: VehicleModel
    file: str

    @property
    def narrowness(self) -> tuple[int, int]:
        """How many positions it decides, and how many of them by one character alone."""
        decided = [each for each in self.positions if len(each) < len(VIN_CHARACTERS)]
        return len(decided), sum(len(each) == 1 for each in decided)

    def matches(self, vin: str) -> bool:
        """Return whether this VIN is of it."""
        return all(character in allowed for character, allowed in zip(vin, self.positions, strict=False))

    def meets(self, other: _Pattern) -> bool:
        """Return whether some VIN is of both."""
        pairs = zip(self.positions, other.positions, strict=False)
        return all(mine & theirs for mine, theirs in pairs)


class _Catalogue:
    """The models, by what matches them: a VIN that is named before a pattern, a narrower pattern before a wider one."""

    def __init__(self) -> None:
        self.models: dict[str, VehicleModel] = {}
        self._vins: dict[str, tuple[VehicleModel, str]] = {}
        self._patterns: list[_Pattern] = []

    def add(self, file: str, said: ModelFile) -> None:
        """Take in a file. Raise VehicleModelsError where another one is for the same."""
        model = said.model()
        if model.name in self.models:
            raise VehicleModelsError(f"{file}: name: {model.name!r} is another file's, too")
        self.models[model.name] = model
        for vin in said.match.vins:
            if vin in self._vins:
                raise VehicleModelsError(f"{file}: match.vins: {vin} is also in {self._vins[vin][1]}")
            self._vins[vin] = (model, file)
        self._patterns += [
            _Pattern(text, positions_of(text) or (), model, file) for text in said.match.patterns
        ]
        if len(self._patterns) > MOST_PATTERNS or len(self._vins) > MOST_VINS:
            raise VehicleModelsError(
                f"{file}: match: more than {MOST_PATTERNS} patterns or {MOST_VINS} VINs in all"
            )

    def settle(self) -> None:
        """Put the narrowest first. Raise VehicleModelsError where two that are as narrow are for the same vehicle."""
        self._patterns.sort(key=lambda each: each.narrowness, reverse=True)
        for n, one in enumerate(self._patterns):
            for other in self._patterns[n + 1 :]:
                if other.narrowness != one.narrowness:
                    break
                if other.model is not one.model and one.meets(other):
                    raise VehicleModelsError(
                        f"{other.file}: match.patterns: {other.text} is as narrow as {one.text} of {one.file}, and "
                        "some vehicles are of both; make one of them narrower"
                    )

    def of(self, vin: str) -> VehicleModel:
        """Return the model of this vehicle."""
        named = self._vins.get(vin)
        if named is not None:
            return named[0]
        return next((each.model for each in self._patterns if each.matches(vin)), DEFAULT_MODEL)


def _files_of(folder: Path) -> list[Path]:
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix == ".toml")
    except OSError as error:
        raise VehicleModelsError(f"{folder}: {error.strerror or error}") from error
    if len(files) > MOST_FILES:
        raise VehicleModelsError(f"{folder}: more than {MOST_FILES} files")
    return files


def _state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        stats = [(each.name, each.stat()) for each in _files_of(folder)]
    except OSError as error:
        raise VehicleModelsError(f"{folder}: {error.strerror or error}") from error
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def _read(folder: Path) -> _Catalogue:
    catalogue = _Catalogue()
    for path in _files_of(folder):
        catalogue.add(path.name, model_file_in(path))
    catalogue.settle()
    return catalogue


def _checked(folder: Path) -> Path:
    _read(folder)
    return folder


ModelsFolder = Annotated[DirectoryPath, AfterValidator(_checked)]
"""A setting that names a folder of models, which are all read when it is."""
