"""People's devices and what they want to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.notification.domain.devices import check

if TYPE_CHECKING:
    from datetime import datetime

    from services.notification.domain.devices import DeviceRules, NewDevice, RegisteredDevice
    from services.notification.domain.preferences import Preferences
    from services.notification.usecases.ports import DeviceRecord


async def register_device(
    record: DeviceRecord, rules: DeviceRules, person: str, new: NewDevice, *, at: datetime
) -> RegisteredDevice:
    """Keep a device as this person's; the same again changes nothing but when it was confirmed.

    Raises DeviceRefusedError, TooManyDevicesError.
    """
    return await record.register(person, check(new, rules), rules.most, at)


async def update_preferences(
    record: DeviceRecord, person: str, wanted: Preferences, *, at: datetime
) -> Preferences:
    """Replace what this person wants to be told. Raises PreferencesRefusedError."""
    wanted.check()
    await record.set_preferences(person, wanted, at)
    return wanted
