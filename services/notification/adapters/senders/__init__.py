"""The push services: FCM (HTTP v1), APNs and Web Push."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.notification.adapters.senders.settings import PushSettings
    from services.notification.domain.messages import PushKind
    from services.notification.usecases.ports import PushSender
    from services.platform.clock import Clock


def web_push_server_key(settings: PushSettings) -> str | None:
    """Return what browsers subscribe under (`applicationServerKey`); None where Web Push is not set up. Raises
    SettingsError.
    """
    from services.notification.adapters.senders.opening import server_key  # noqa: PLC0415

    return server_key(settings)


def open_senders(settings: PushSettings, clock: Clock) -> Mapping[PushKind, PushSender]:
    """Return a sender for each push service that is set up. Raises SettingsError naming a file that is not what it
    should be. No connection is made before the first message.
    """
    # What they are built of is loaded only where they are opened.
    from services.notification.adapters.senders.opening import opened  # noqa: PLC0415

    return opened(settings, clock)
