"""Every table says what it is kept for and how long, and every column that names somebody is known to be one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from services.platform.kept_data import OnErasure
from services.registry import SERVICES
from tools.kept_blocks import kept_by_service

if TYPE_CHECKING:
    from services.platform.kept_data import KeptTable

MODELS = {
    "access": "services.access.adapters.store:AccessModel",
    "command": "services.command.adapters.store:CommandModel",
    "status": "services.status.adapters.store:StatusModel",
    "config": "services.config.adapters.store:ConfigModel",
    "diagnostics": "services.diagnostics.adapters.store:DiagnosticsModel",
    "enrolment": "services.enrolment.adapters.store:EnrolmentModel",
    "notification": "services.notification.adapters.store:NotificationModel",
}
NAMES_SOMEBODY = frozenset(
    {
        "principal",
        "subject",
        "actor",
        "person",
        "user_id",
        "actor_id",
        "agent",
        "given_by",
        "on_behalf_of",
        "customer",
    }
)
"""And whatever ends in `_by`."""
NO_PERSONS = frozenset(
    {
        ("outbox", "subject"),  # of a message at the broker
        ("dead_letter", "subject"),
        ("severance", "person"),  # is not told: docs/decisions/0119
        ("severance", "reversal_requested_by"),  # operators, as all of these
        ("severance", "reversed_by"),
        ("access_grant", "severed_by"),  # an id
        ("hold_decision", "requested_by"),
        ("hold_decision", "approved_by"),
        ("hold_decision", "lift_requested_by"),
        ("hold_decision", "lifted_by"),
        ("wake_up", "by_owner"),
    }
)
ALL = [(service, kept) for service, tables in kept_by_service().items() for kept in tables]


def _metadata(service: str) -> Any:
    module, _, name = MODELS[service].partition(":")
    for extra in ("pending_grants", "pending_keys"):
        if service == "access":
            importlib.import_module(f"services.access.adapters.{extra}")
    return getattr(importlib.import_module(module), name).metadata


def test_every_service_that_deletes_has_its_lines() -> None:
    deleting = {each.name for each in SERVICES if each.has_database and not each.keeps_for_ever}
    assert deleting == kept_by_service().keys() == MODELS.keys()


@pytest.mark.parametrize("service", MODELS)
def test_every_table_has_one_line(service: str) -> None:
    lines = [kept.name for kept in kept_by_service()[service]]
    assert sorted(lines) == sorted(_metadata(service).tables)


@pytest.mark.parametrize(("service", "kept"), ALL, ids=[f"{s}-{k.name}" for s, k in ALL])
def test_a_line_says_everything(service: str, kept: KeptTable) -> None:
    assert service
    assert kept.what
    assert kept.why
    assert kept.until
    columns = {column.name for column in kept.table.columns}
    named = {*kept.persons, *kept.mentions, *kept.words, *kept.secret, *filter(None, [kept.resource])}
    assert named <= columns
    somebody = {
        name
        for name in columns
        if (name in NAMES_SOMEBODY or name.endswith("_by")) and (kept.name, name) not in NO_PERSONS
    }
    assert somebody <= {*kept.persons, *kept.mentions}
    about_somebody = bool(kept.persons or kept.mentions or kept.about)
    assert about_somebody == (kept.on_erasure is not OnErasure.NOT_THEIRS)
    assert "vin" not in columns or kept.resource == "vin" or kept.name in TECHNICAL


TECHNICAL = frozenset({"vehicle_session", "issued_order", "expected_doors", "expectation", "hold_decision"})
"""About a vehicle for as long as technology needs it, and no evidence of anything."""
