"""Tokens of the history's pages, and the settings of what is kept and listed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ecarus.remotecontrol.door.v1 import door_command_service_pb2 as rpc
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.command.adapters import translate
from services.command.adapters.page_tokens import PagePosition, place_of, token_for
from services.command.domain.commands import CommandAction, PersonRole, Viewer
from services.command.domain.history import HistoryPage, HistoryPosition
from services.command.settings import CommandSettings
from services.platform.errors import Refusal

VIN = "KMHSH81C7LU123456"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
LAST = HistoryPosition(NOW - timedelta(microseconds=7), "cmd-1")
PAGE = HistoryPage((), 9, has_more=True, as_of=NOW, last=LAST)
OWNER = Viewer("user-123", PersonRole.OWNER, NOW - timedelta(days=9))


def asked(**members: Any) -> rpc.ListCommandHistoryRequest:
    return ParseDict({"vin": VIN, **members}, rpc.ListCommandHistoryRequest())


def fault_of(**members: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        place_of(asked(**members))
    [violation] = caught.value.violations
    return violation.field, violation.reason


def test_a_token_says_where_the_next_page_begins_and_of_which_list() -> None:
    token = token_for(PAGE, asked(period="7d", limit=3))
    assert token is not None
    assert place_of(asked(period="7d", limit=90, pageToken=token)) == PagePosition(NOW, LAST)
    query = translate.history_query(asked(period="7d", pageToken=token), OWNER, NOW + timedelta(days=1))
    assert (query.as_of, query.after, query.offset) == (NOW, LAST, 0)


def test_the_last_page_has_no_token() -> None:
    assert token_for(HistoryPage((), 0, has_more=False, as_of=NOW, last=None), asked()) is None
    assert token_for(HistoryPage((), 9, has_more=False, as_of=NOW, last=LAST), asked()) is None
    assert place_of(asked()) is None


@pytest.mark.parametrize(
    "other",
    [
        {"vin": "KMHSH81C7LU654321"},
        {"period": "30d"},
        {"action": "LOCK"},
        {"excludeAction": "STATUS_CHECK"},
        {"status": "FAILED"},
        {"source": "WEB"},
    ],
)
def test_a_token_is_of_one_list(other: dict[str, str]) -> None:
    token = token_for(PAGE, asked())
    assert fault_of(**other, pageToken=token)[0] == "pageToken"


@pytest.mark.parametrize("other", [{"offset": 0}, {"offset": 3}, {"asOf": "2026-01-12T14:30:00Z"}])
def test_a_token_goes_alone(other: dict[str, Any]) -> None:
    field, reason = fault_of(**other, pageToken=token_for(PAGE, asked()))
    assert field == "pageToken"
    assert "leave out offset and asOf" in reason


@given(st.text(alphabet="ABCabc019-_", min_size=1, max_size=64) | st.binary(min_size=1, max_size=64))
def test_whatever_is_no_token_is_refused(made_up: str | bytes) -> None:
    token = made_up if isinstance(made_up, str) else base64.urlsafe_b64encode(made_up).decode().rstrip("=")
    assert fault_of(pageToken=token)[0] == "pageToken"


def test_a_token_with_a_time_out_of_range_is_refused() -> None:
    token = token_for(PAGE, asked())
    assert token is not None
    words = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split(" ")
    for wrong in ("-1", "1e9", "9" * 18, "9" * 19, ""):
        made_up = base64.urlsafe_b64encode(" ".join([*words[:2], wrong, *words[3:]]).encode())
        assert fault_of(pageToken=made_up.decode().rstrip("="))[0] == "pageToken"


def test_looks_are_left_out_where_the_setting_says_so_and_nothing_is_named() -> None:
    def excluded(**members: Any) -> CommandAction | None:
        return translate.history_query(asked(**members), OWNER, NOW, checks_listed=False).excluded_action

    assert excluded() is CommandAction.STATUS_CHECK
    assert excluded(action="STATUS_CHECK") is None
    assert excluded(excludeAction="CANCEL") is CommandAction.CANCEL
    assert translate.history_query(asked(), OWNER, NOW).excluded_action is None


@pytest.mark.parametrize(("days", "sound"), [(0, True), (30, True), (3650, True), (-1, False), (3651, False)])
def test_how_long_looks_are_kept_is_bounded(days: int, sound: bool) -> None:
    field = CommandSettings.model_fields["status_check_retention_days"]
    assert field.default == 30
    assert CommandSettings.model_fields["status_checks_listed"].default is True
    try:
        CommandSettings.__pydantic_validator__.validate_assignment(
            CommandSettings.model_construct(), "status_check_retention_days", days
        )
    except ValidationError:
        assert not sound
    else:
        assert sound


def test_the_settings_are_the_rules() -> None:
    settings = CommandSettings.model_construct(status_check_retention_days=3, status_checks_listed=False)
    assert settings.rules.checks_kept == timedelta(days=3)
    assert settings.rules.checks_listed is False
