"""What the settings have to do with a vehicle's model. Standard library only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from services.config.domain.settings import UnlockMode

if TYPE_CHECKING:
    from collections.abc import Collection

    from services.config.domain.settings import DoorSettings, SettingsChange


class SettableModel(Protocol):
    """What a model of vehicles can be set to."""

    @property
    def setting_unlock_modes(self) -> Collection[str]:
        """The unlock modes that there are."""

    @property
    def child_lock(self) -> bool:
        """Whether any door has a child lock."""

    @property
    def auto_lock(self) -> bool:
        """Whether it locks again by itself."""

    @property
    def speed_lock(self) -> bool:
        """Whether it locks by itself at a speed."""

    @property
    def parking_unlock(self) -> bool:
        """Whether it unlocks by itself when it is parked."""


class SettingNotAvailableError(Exception):
    """Vehicles of this model lack `function`, which `setting` is to switch on; `there_are` are the values that it can
    have.
    """

    def __init__(self, setting: str, function: str, there_are: Collection[str] = ()) -> None:
        super().__init__(setting, function)
        self.setting = setting
        self.function = function
        self.there_are = tuple(there_are)


def check_available(change: SettingsChange, model: SettableModel) -> None:
    """Raise SettingNotAvailableError for a change that wants what vehicles of this model lack. To want it off changes
    nothing, and is what they are shown with.
    """
    if change.unlock_mode is not None and change.unlock_mode.value not in model.setting_unlock_modes:
        raise SettingNotAvailableError(
            "unlock_mode", f"UNLOCK_MODE_{change.unlock_mode.value}", model.setting_unlock_modes
        )
    for setting, function, is_there in _switches(model):
        if getattr(change, setting) and not is_there:
            raise SettingNotAvailableError(setting, function)


def shown(settings: DoorSettings, model: SettableModel) -> DoorSettings:
    """Return the settings as a vehicle of this model has them: what it lacks is off."""
    off: dict[str, Any] = {
        setting: False
        for setting, _, is_there in _switches(model)
        if not is_there and getattr(settings, setting)
    }
    if settings.unlock_mode.value not in model.setting_unlock_modes and model.setting_unlock_modes:
        first = next(mode for mode in UnlockMode if mode.value in model.setting_unlock_modes)
        return replace(settings, unlock_mode=first, **off)
    return replace(settings, **off) if off else settings


def _switches(model: SettableModel) -> tuple[tuple[str, str, bool], ...]:
    return (
        ("child_lock_enabled", "CHILD_LOCK", model.child_lock),
        ("auto_lock_enabled", "AUTO_LOCK", model.auto_lock),
        ("speed_based_lock_enabled", "SPEED_LOCK", model.speed_lock),
        ("parking_auto_unlock", "PARKING_UNLOCK", model.parking_unlock),
    )
