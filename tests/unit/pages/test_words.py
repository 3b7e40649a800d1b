"""The pages' words: the same keys and values to fill in in every language, every key that is used, none that is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ecarus.remotecontrol.door.v1 import (
    door_command_pb2,
    door_config_pb2,
    door_diagnostics_pb2,
    door_status_pb2,
    door_update_pb2,
    error_reason_pb2,
)

from services.audit.domain import sentences
from services.failure_texts import Language, failure_words
from services.status.domain import update_origins

PAGES = Path(__file__).resolve().parents[3] / "gateway" / "pages"
LANGUAGES = ("en", "ko")
BOOKS = sorted(path.parent for path in (PAGES / "words").rglob("en.json"))
SHARED = (PAGES / "words", PAGES / "words" / "failures")
"""The books of every page."""
OPERATORS_ONLY = {"DEAD_LETTER_NOT_FOUND", "ALREADY_ENROLLED", "HOLD_NOT_FOUND", "TOO_MANY_HOLDS"}
PERSONS_OWN = re.compile(r"CONSENT_TEXT|PERSONAL_DATA|ERASURE|RECEIPT|GRANT_|TOO_MANY_GRANTS")
"""Problems of what no page offers."""

HANDED_ON = {"source", "action", "status", "period", "mode", "cancel", "decision"}
"""Groups whose name reaches word() as an argument."""

LITERAL = re.compile(r'"([a-z][A-Za-z]*(?:\.[^"\s$]+)+)"')
CALLED = re.compile(r'\b(?:t|button|heading|word-?\w*)\(\s*"([^"]+)"\s*[,)]|data-word(?:-\w+)?="([^"]+)"')
GROUP = re.compile(r'\bword\(\s*"(\w+)",')
TEMPLATE = re.compile(r"`([a-z][A-Za-z]*\.[^`\s]*\$\{[^`]*)`")


def words(book: Path, language: str) -> dict[str, str]:
    loaded: dict[str, str] = json.loads((book / f"{language}.json").read_text())
    return loaded


def shared_words(language: str) -> dict[str, str]:
    """Those that every page has; none is in two books."""
    one, other = (words(book, language) for book in SHARED)
    assert not one.keys() & other.keys()
    return {**one, **other}


def sources(folder: str) -> str:
    """All scripts and documents of a folder of the pages."""
    files = [*(PAGES / folder).glob("*.js"), *(PAGES / folder).glob("*.html")]
    return "\n".join(path.read_text() for path in sorted(files))


def page_folders() -> list[str]:
    return sorted(book.name for book in BOOKS if book not in SHARED)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_every_language_has_the_same_keys_and_the_same_values_to_fill_in(book: Path) -> None:
    english = words(book, "en")
    for language in LANGUAGES[1:]:
        other = words(book, language)
        assert other.keys() == english.keys()
        for key, text in english.items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", other[key])), key
            assert text.strip(), key
            assert other[key].strip(), key


@pytest.mark.parametrize("folder", ["parts", *page_folders()])
def test_every_key_that_is_used_exists(folder: str) -> None:
    known = shared_words("en")
    if folder != "parts":
        own = words(PAGES / "words" / folder, "en")
        assert not own.keys() & known.keys(), "a page's book repeats no key of the parts'"
        known = {**known, **own}
    groups = {key.partition(".")[0] for key in known}
    source = sources(folder)
    used = {key for pair in CALLED.findall(source) for key in pair if key and "." in key}
    used |= {key for key in LITERAL.findall(source) if key.partition(".")[0] in groups}
    assert used, "a page without words is none"
    assert not {
        key for key in used if key not in known and not key.endswith((".js", ".css", ".json", ".webmanifest"))
    }
    for template in TEMPLATE.findall(source):
        pattern = re.compile(re.sub(r"\\\$\\\{.*?\\\}", ".+", re.escape(template)))
        if template.partition(".")[0] in groups:
            assert any(pattern.fullmatch(key) for key in known), template


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_there_are_no_words_that_nothing_shows(book: Path) -> None:
    folders = ["parts", *page_folders()] if book in SHARED else [book.name]
    source = "\n".join(sources(folder) for folder in folders) + sources("parts")
    groups = set(GROUP.findall(source))
    templates = [
        re.compile(re.sub(r"\\\$\\\{.*?\\\}", ".+", re.escape(each))) for each in TEMPLATE.findall(source)
    ]
    unused = {
        key
        for key in words(book, "en")
        if f'"{key}"' not in source
        and key.partition(".")[0] not in groups | HANDED_ON
        and not any(template.fullmatch(key) for template in templates)
    }
    assert not unused


ENUMS = {
    "status": door_command_pb2.CommandStatus.Value,
    "action": door_command_pb2.CommandAction.Value,
    "source": door_command_pb2.CommandSource.Value,
    "failure": door_command_pb2.FailureReason.Value,
    "guidance": door_command_pb2.FailureReason.Value,
    "stage": door_command_pb2.CommandStage.Name.Value,
    "connectivity": door_status_pb2.Connectivity.Value,
    "change": door_update_pb2.DoorChangeType.Value,
    "cause": door_update_pb2.LockChangeCause.Value,
    "severity": door_update_pb2.AlertSeverity.Value,
    "system": door_diagnostics_pb2.SystemStatus.Value,
    "component": door_diagnostics_pb2.ComponentStatus.Value,
    "unlockMode": door_config_pb2.DoorUnlockMode.Value,
    "application": door_config_pb2.ConfigApplication.State.Value,
    "mode": door_command_pb2.UnlockMode.Value,
    "ignition": door_status_pb2.IgnitionStatus.Value,
}


@pytest.mark.parametrize("group", ENUMS)
def test_every_word_of_the_contract_has_one_for_people(group: str) -> None:
    known = {**shared_words("en"), **words(PAGES / "words" / "console", "en")}
    names = {name for name in ENUMS[group].DESCRIPTOR.values_by_name if not name.endswith("UNSPECIFIED")}
    assert {f"{group}.{name}" for name in names} <= known.keys()


def test_what_the_service_tells_in_english_has_words_by_its_code() -> None:
    """The audit's sentences and the alerts: a new one is told in every language, or this says so."""
    known = words(PAGES / "words" / "console", "en").keys()
    told = {
        **dict.fromkeys(f"wanted.{each}" for each in sentences._WANTED),
        **dict.fromkeys(f"because.{each}" for each in sentences._BECAUSE),
        **dict.fromkeys(f"happened.{each}" for each in (*sentences._ENDED, *sentences._DONE)),
        **dict.fromkeys(f"alert.{each}" for each in update_origins._ACCESS_ALERTS),
        **dict.fromkeys(f"alert.{each}" for each in update_origins._STATUS_ALERTS),
        **dict.fromkeys(f"alert.{each}" for each in update_origins._COMPONENT_ALERTS),
        f"alert.{update_origins.UNKNOWN_FAULT}": None,
        f"alert.{update_origins.UPDATES_RESET}": None,
    }
    groups = {key.partition(".")[0] for key in told}
    assert {key for key in known if key.partition(".")[0] in groups} == told.keys()


@pytest.mark.parametrize("language", list(Language))
def test_the_pages_say_of_a_failure_what_the_contract_says(language: Language) -> None:
    told = words(PAGES / "words" / "failures", language)
    names = door_command_pb2.FailureReason.Value.DESCRIPTOR.values_by_name
    said = {name: failure_words(name, language) for name in names}
    assert told == {
        **{f"failure.{name}": each.title for name, each in said.items()},
        **{f"guidance.{name}": each.guidance for name, each in said.items()},
    }


def test_every_page_loads_the_books_of_all() -> None:
    script = (PAGES / "parts" / "words.js").read_text()
    loaded = json.loads(re.search(r"^const SHARED = (\[.*\]);$", script, re.MULTILINE)[1])  # type: ignore[index]
    assert [PAGES / "words" / name for name in loaded] == list(SHARED)


def test_every_problem_that_a_page_may_meet_has_words() -> None:
    known = shared_words("en")
    reasons = {
        name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    }
    told = {each for each in reasons - OPERATORS_ONLY - {"UNSPECIFIED"} if not PERSONS_OWN.search(each)}
    assert {f"problem.{each}" for each in told} <= known.keys()
