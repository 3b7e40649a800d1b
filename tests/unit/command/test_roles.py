"""Whose a command is to cancel."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.command.domain.commands import Command, CommandAction, DoorAction, Mode, PersonRole, Requester

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
OWNER, SHARED, KEY = PersonRole.OWNER, PersonRole.SHARED_USER, PersonRole.DIGITAL_KEY


def command(action: CommandAction, role: PersonRole | None) -> Command:
    giver = Requester("giver", "giver", "MOBILE_APP", role=role)
    order = DoorAction(action, ("all",), Mode.NORMAL)
    return Command("cmd-1", "KMHSH81C7LU123456", order, giver, "c-1", NOW, NOW, 5)


@pytest.mark.parametrize("action", [CommandAction.LOCK, CommandAction.UNLOCK])
@pytest.mark.parametrize("role", [*PersonRole, None])
def test_who_gave_it_and_the_owner_may_always(action: CommandAction, role: PersonRole | None) -> None:
    assert Requester("agent", "giver", "CALL_CENTER", role=role).may_cancel(command(action, role))
    assert Requester("x", "x", "WEB", role=OWNER).may_cancel(command(action, role))


@pytest.mark.parametrize("giver", [*PersonRole, None])
@pytest.mark.parametrize("canceller", [SHARED, KEY, None])
def test_nobody_else_cancels_a_lock(canceller: PersonRole | None, giver: PersonRole | None) -> None:
    assert not Requester("x", "x", "WEB", role=canceller).may_cancel(command(CommandAction.LOCK, giver))


@pytest.mark.parametrize(
    ("canceller", "giver", "may"),
    [
        (SHARED, OWNER, False),
        (SHARED, SHARED, True),
        (SHARED, KEY, True),
        (KEY, OWNER, False),
        (KEY, SHARED, False),
        (KEY, KEY, True),
        (SHARED, None, False),
        (None, KEY, False),
    ],
)
def test_no_lower_role_cancels_a_higher_ones_unlock(
    canceller: PersonRole | None, giver: PersonRole | None, may: bool
) -> None:
    assert Requester("x", "x", "WEB", role=canceller).may_cancel(command(CommandAction.UNLOCK, giver)) is may
