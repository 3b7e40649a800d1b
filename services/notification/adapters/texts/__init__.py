"""What people are told, in their language: one file for each, all with the same texts. Why a command failed is the
contract's catalogue.
"""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_command_pb2

from services.failure_texts import Language, failure_words
from services.notification.domain.messages import PushMessage
from services.notification.domain.notices import LATE, collapse_of, push_id_of
from services.notification.domain.preferences import LANGUAGES

if TYPE_CHECKING:
    from services.notification.domain.notices import Notice
    from services.notification.domain.preferences import Preferences

MOST_OF_A_REASON = 178
"""Characters that say why a command failed: what a phone shows of a notification without being unlocked."""
_RESOLVED = ".RESOLVED"


class UnknownTextError(Exception):
    """The catalogue has no such text."""


class TextCatalogue:
    """The texts by language."""

    def __init__(self, texts: dict[str, dict[str, Any]]) -> None:
        self._texts = texts

    @classmethod
    def read(cls) -> TextCatalogue:
        """Return the catalogue that lies beside this module, with the contract's reasons of failures."""
        here = Path(__file__).parent
        return cls(
            {
                name: {
                    **tomllib.loads((here / f"{name}.toml").read_text(encoding="utf-8")),
                    "reasons": _reasons(Language(name)),
                }
                for name in LANGUAGES
            }
        )

    def __getitem__(self, language: str) -> dict[str, Any]:
        """Return all texts of one language."""
        return self._texts[language]

    def message(self, notice: Notice, wanted: Preferences, device: str, now: datetime) -> PushMessage:
        """Return what a device shows of a notice when it is sent now. Raises UnknownTextError.

        What is told when its 30 seconds are over says from when it is: who reads it must not take it for now.
        """
        texts = self._texts[wanted.language]
        said = texts["notices"].get(notice.text)
        if said is None and notice.text.endswith(_RESOLVED):
            said = texts["notices"]["RESOLVED"]
        if said is None:
            raise UnknownTextError(notice.text)
        facts = {name: self._fact(texts, wanted, name, value) for name, value in notice.facts.items()}
        if "reason" not in facts:
            facts["reason"] = texts["reasons"]["UNSPECIFIED"]
        body = said["body"].format_map(facts)
        if now - notice.occurred_at > LATE:
            body = texts["late"].format(time=_clock_time(wanted, notice.occurred_at, now), text=body)
        data = {"kind": notice.kind.value, "event": notice.text}
        if notice.command_id:
            data["commandId"] = notice.command_id
        return PushMessage(
            id=push_id_of(notice.event_id, device),
            event=notice.text,
            title=said["title"],
            body=body,
            data=data,
            expires_at=notice.expires_at,
            is_urgent=notice.is_urgent,
            collapse=collapse_of(device, notice.vin, notice.about),
        )

    def _fact(self, texts: dict[str, Any], wanted: Preferences, name: str, value: str) -> str:
        if name in {"moved", "notMoved", "doors"}:
            doors = [texts["doors"].get(door, door) for door in value.split()]
            return str(texts["comma"].join(doors) or texts["nothing"])
        if name == "reason":
            return str(texts["reasons"].get(value, texts["reasons"]["UNSPECIFIED"]))
        if name == "since":
            return _clock_time(wanted, datetime.fromisoformat(value))
        return value


def reason_sentence(title: str, guidance: str) -> str:
    """Return what a notification says of why a command failed, MOST_OF_A_REASON characters at most: the title and what
    to do; what is too long for both is the title, which alone is cut where need be.
    """
    both = f"{title}. {guidance}"
    if len(both) <= MOST_OF_A_REASON:
        return both
    return f"{title}." if len(title) < MOST_OF_A_REASON else f"{title[: MOST_OF_A_REASON - 1]}…"


def _reasons(language: Language) -> dict[str, str]:
    words = {
        name: failure_words(name, language)
        for name in door_command_pb2.FailureReason.Value.DESCRIPTOR.values_by_name
    }
    return {name: reason_sentence(each.title, each.guidance) for name, each in words.items()}


def _clock_time(wanted: Preferences, at: datetime, now: datetime | None = None) -> str:
    """Return the time on the person's clock, with the day where it is not that of `now`, and UTC where they named no
    zone.
    """
    local = wanted.local(at)
    days = now is not None and wanted.local(now).date() != local.date()
    text = f"{local:%Y-%m-%d %H:%M}" if days else f"{local:%H:%M}"
    return f"{text} UTC" if wanted.time_zone == "UTC" else text
