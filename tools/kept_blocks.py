"""What each service keeps, what for and how long: the tables of the page on privacy, from the services' own lines."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from services.registry import SERVICES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel

    from services.platform.kept_data import KeptTable
    from tools.contract_blocks import Contract


def kept_by_service() -> Mapping[str, Sequence[KeptTable]]:
    """Return each service's lines, with the settings' defaults; of those that delete something."""
    # Not at the top: they need what this very run may be about to generate.
    from services.access.adapters import kept as access  # noqa: PLC0415
    from services.access.settings import AccessSettings  # noqa: PLC0415
    from services.command.adapters import kept as command  # noqa: PLC0415
    from services.command.domain.rules import Rules  # noqa: PLC0415
    from services.command.settings import CommandSettings  # noqa: PLC0415
    from services.config.__main__ import ConfigSettings  # noqa: PLC0415
    from services.config.adapters import kept as config  # noqa: PLC0415
    from services.diagnostics.adapters import kept as diagnostics  # noqa: PLC0415
    from services.enrolment.adapters import kept as enrolment  # noqa: PLC0415
    from services.notification.adapters import kept as notification  # noqa: PLC0415
    from services.notification.settings import NotificationSettings  # noqa: PLC0415
    from services.status.adapters import kept as status  # noqa: PLC0415
    from services.telematics.settings import VehicleServiceSettings  # noqa: PLC0415

    letters = _default(VehicleServiceSettings, "dead_letter_days")
    rules = Rules(
        timedelta(seconds=30),
        5,
        _default(CommandSettings, "history_retention_days"),
        checks_kept=_default(CommandSettings, "status_check_retention_days"),
    )
    return {
        "access": access.kept_tables(
            _default(AccessSettings, "rights_retention_days"),
            _default(AccessSettings, "audit_retention_days"),
        ),
        "command": command.kept_tables(rules, letters),
        "status": status.kept_tables(letters),
        "config": config.kept_tables(letters, _default(ConfigSettings, "audit_retention_days")),
        "diagnostics": diagnostics.kept_tables(letters),
        "enrolment": enrolment.kept_tables(),
        "notification": notification.kept_tables(
            _default(NotificationSettings, "dead_letter_days"),
            _default(NotificationSettings, "push_device_days"),
            _default(NotificationSettings, "webhook_event_days"),
        ),
    }


def _default(settings: type[BaseModel], name: str) -> timedelta:
    """Return how many days a setting says that nobody has set."""
    return timedelta(days=settings.model_fields[name].default)


def retention_table(_contract: Contract) -> list[str]:
    """Return the page's table."""
    lines = [
        "| service | table | what | why | how long | when its person is erased |",
        "|---|---|---|---|---|---|",
    ]
    kept = kept_by_service()
    for service in SERVICES:
        for each in kept.get(service.name, ()):
            words = (service.name, f"`{each.name}`", each.what, each.why, each.until, each.on_erasure.value)
            lines.append(f"| {' | '.join(words)} |")
    return lines
