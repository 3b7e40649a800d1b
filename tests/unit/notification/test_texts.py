"""Every text is there in every language, and says nothing that is nobody else's business."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ecarus.remotecontrol.door.v1.door_command_pb2 import FailureReason

from services.failure_texts import Language, failure_words
from services.live_updates import origins as update_origins
from services.notification.adapters.texts import (
    MOST_OF_A_REASON,
    TextCatalogue,
    UnknownTextError,
    reason_sentence,
)
from services.notification.domain.doors import DOORS, LeftCondition
from services.notification.domain.notices import Audience, Notice, NoticeKind
from services.notification.domain.preferences import LANGUAGES, Preferences
from services.notification.domain.updates import (
    ACCESS_ALERTS,
    COMPONENT_ALERTS,
    CONTRADICTED,
    CommandUpdate,
    command_notice,
    reminder_notice,
)

CATALOGUE = TextCatalogue.read()
AT = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
RESULTS = {
    f"{action}.{result}"
    for action in ("LOCK", "UNLOCK")
    for result in ("SUCCESS", "FAILED", "PARTIAL", "TIMEOUT", "NOT_SENT", "CANCELLED", "LATE")
}
TEXTS = (
    RESULTS
    | ACCESS_ALERTS
    | COMPONENT_ALERTS
    | {CONTRADICTED, "OTHER", "RESOLVED", "DEVICE_ADDED", "DEVICE_CHANGED", "DEVICE_REMOVED"}
    | {each.value for each in LeftCondition}
    | {f"{each.value}.RESOLVED" for each in LeftCondition}
)


def shape(texts: Any) -> Any:
    """Which texts there are, and what is filled into each."""
    if isinstance(texts, str):
        return {name for _, name, _, _ in string.Formatter().parse(texts) if name}
    return {name: shape(value) for name, value in texts.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_text(language: str) -> None:
    texts = CATALOGUE[language]
    assert texts["notices"].keys() == TEXTS
    assert texts["reasons"].keys() == set(FailureReason.Value.keys())
    assert texts["doors"].keys() == DOORS
    assert shape(texts) == shape(CATALOGUE["en"])
    said = [part for each in texts["notices"].values() for part in each.values()]
    assert all(text.strip() for text in [*said, *texts["reasons"].values()])
    assert {len(each) for each in texts["notices"].values()} == {2}


def test_korean_is_korean() -> None:
    def says(text: str) -> bool:
        return any("가" <= letter <= "힣" for letter in text.replace("{reason}", "가"))

    texts = CATALOGUE["ko"]
    assert all(says(part) for each in texts["notices"].values() for part in each.values())
    assert all(map(says, texts["reasons"].values()))


def test_every_alert_that_is_published_has_its_text() -> None:
    assert update_origins._ACCESS_ALERTS == ACCESS_ALERTS  # services share no code: the copies agree
    assert update_origins._COMPONENT_ALERTS == COMPONENT_ALERTS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", FailureReason.Value.keys())
@pytest.mark.parametrize("action", ["LOCK", "UNLOCK"])
def test_a_failure_is_told_with_its_reason(language: str, reason: str, action: str) -> None:
    update = CommandUpdate(
        "e", VIN, "cmd-1", action, "FAILED", AT, reason, moved=["driver"], not_moved=["trunk"]
    )
    notice = command_notice(update)
    assert notice is not None
    message = CATALOGUE.message(notice, Preferences(language=language), "device", AT)
    if reason == "PARTIAL_SUCCESS":
        assert CATALOGUE[language]["doors"]["trunk"] in message.body
    else:
        assert message.body == CATALOGUE[language]["reasons"][reason]
    assert "{" not in message.title + message.body


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("reason", FailureReason.Value.keys())
def test_a_reason_is_told_in_the_contracts_words_and_whole(language: Language, reason: str) -> None:
    words = failure_words(reason, language)
    assert CATALOGUE[language]["reasons"][reason] == f"{words.title}. {words.guidance}"


def test_what_is_too_long_for_a_phone_is_told_in_short() -> None:
    most = MOST_OF_A_REASON
    assert reason_sentence("It failed", "x" * (most - 11)) == "It failed. " + "x" * (most - 11)
    assert reason_sentence("It failed", "x" * (most - 10)) == "It failed."
    assert len(reason_sentence("x" * (most - 1), "y")) == most
    assert reason_sentence("x" * most, "y") == "x" * (most - 1) + "…"


def notice(**changed: Any) -> Notice:
    said: dict[str, Any] = {
        "event_id": "event",
        "vin": VIN,
        "kind": NoticeKind.SECURITY,
        "text": "ACCESS_BEGUN",
        "audience": Audience.OWNERS,
        "occurred_at": AT,
        "about": "x",
    }
    return Notice(**{**said, **changed})


def test_what_is_late_says_from_when_it_is_on_the_persons_clock() -> None:
    def body(wanted: Preferences, **late: float) -> str:
        return CATALOGUE.message(notice(), wanted, "device", AT + timedelta(**late)).body

    seoul = Preferences(time_zone="Asia/Seoul")
    assert not body(seoul, seconds=30).startswith("(")
    assert body(seoul, seconds=31).startswith("(From 17:00) ")
    assert body(seoul, days=1).startswith("(From 2027-01-15 17:00) ")
    assert body(Preferences(), minutes=1).startswith("(From 08:00 UTC) ")
    assert body(Preferences(language="ko", time_zone="Asia/Seoul"), minutes=1).startswith("(17:00 기준) ")


def test_nothing_that_is_sent_names_the_vehicle_or_anybody() -> None:
    reminder = reminder_notice(VIN, "LEFT_OPEN", ["trunk"], AT, "user-123", AT)
    for each in (notice(), reminder):
        message = CATALOGUE.message(each, Preferences(), "device", AT)
        whole = repr(message)
        assert VIN not in whole
        assert "user-123" not in whole
        assert message.data.keys() == {"kind", "event"}
        assert len(message.collapse) == 32


def test_a_device_knows_what_takes_the_place_of_what_and_nobody_else_does() -> None:
    def collapse(device: str, **changed: Any) -> str:
        return CATALOGUE.message(notice(**changed), Preferences(), device, AT).collapse

    assert collapse("one") == collapse("one", event_id="another")
    assert len({collapse("one"), collapse("two"), collapse("one", vin="y"), collapse("one", about="y")}) == 4


def test_a_text_that_is_not_there_is_said() -> None:
    with pytest.raises(UnknownTextError):
        CATALOGUE.message(notice(text="NONSENSE"), Preferences(), "device", AT)
