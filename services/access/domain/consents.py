"""Consent: for which purposes something about a person may be collected, and what they were shown when they agreed.

Standard library only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NEVER = 0.0
"""Since when it is missing where it never was given, in seconds since 1970."""
LANGUAGES = ("en", "ko")
MOST_CHANGES = 100
"""So many of the things that were said are told; the others are kept, and exported."""


class ConsentPurpose(Enum):
    """What something about a person may be collected for."""

    ACCESS_HISTORY = "ACCESS_HISTORY"
    LOCATION = "LOCATION"
    ANALYTICS = "ANALYTICS"


class ConsentState(Enum):
    """How a person stands to a purpose."""

    NOT_ASKED = "NOT_ASKED"
    GIVEN = "GIVEN"
    WITHDRAWN = "WITHDRAWN"
    OUTDATED = "OUTDATED"


class ConsentTextChangedError(Exception):
    """What was agreed to is not the text that is asked about now."""


@dataclass(frozen=True, slots=True)
class ConsentText:
    """A version of what people are asked, by language. What is added to a purpose, or done otherwise, is a new one."""

    version: int
    since: datetime
    texts: Mapping[str, str]

    def digest(self, language: str) -> str:
        """Return the SHA-256 of the text in UTF-8, in hexadecimal."""
        return hashlib.sha256(self.texts[language].encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class GivenText:
    """What somebody says they were shown."""

    version: int
    language: str
    sha256: str

    def check(self, text: ConsentText) -> None:
        """Raise ConsentTextChangedError unless it is this text, word for word."""
        if self.version != text.version or self.sha256 != text.digest(self.language):
            raise ConsentTextChangedError


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """One thing that was said. Of a withdrawal the text is the one that had been agreed to."""

    state: ConsentState
    at: datetime
    shown: GivenText
    source: str


@dataclass(frozen=True, slots=True)
class PersonConsent:
    """What a person has said to a purpose: nothing where `given_version` is None."""

    purpose: ConsentPurpose
    given_version: int | None = None
    given_at: datetime | None = None
    withdrawn_at: datetime | None = None
    changes: tuple[ConsentChange, ...] = ()

    def state(self, text: ConsentText) -> ConsentState:
        """Return how they stand to the text that is asked about now."""
        if self.given_version is None:
            return ConsentState.NOT_ASKED
        if self.withdrawn_at is not None:
            return ConsentState.WITHDRAWN
        return ConsentState.GIVEN if self.given_version == text.version else ConsentState.OUTDATED


def missing_since(
    given_version: int | None, withdrawn_at: datetime | None, text: ConsentText
) -> float | None:
    """Return since when a consent is not in force, in seconds since 1970, NEVER where it never was; None where it
    is.
    """
    if given_version is None:
        return NEVER
    if withdrawn_at is not None:
        return withdrawn_at.timestamp()
    return None if given_version == text.version else text.since.timestamp()


_FIRST = datetime(2026, 11, 1, tzinfo=UTC)
ASKED: Mapping[ConsentPurpose, ConsentText] = {
    ConsentPurpose.ACCESS_HISTORY: ConsentText(
        1,
        _FIRST,
        {
            "en": "I agree that a history of my requests to vehicles is collected: which doors I lock, unlock and look "
            "at, when, from which kind of app, and how it ended. It is shown to me and to the owner of the vehicle, "
            "is kept for the time that the privacy page names, and is used for nothing else. I can withdraw this at "
            "any time; then nothing more is collected.",
            "ko": "차량에 대한 나의 요청 이력(어떤 문을 언제, 어떤 종류의 앱으로 잠그고 열고 조회했는지와 그 "
            "결과)을 수집하는 데 동의합니다. 이력은 나와 차량 소유자에게만 표시되고 개인정보 안내에 적힌 "
            "기간 동안 보관되며 다른 목적으로 사용되지 않습니다. 이 동의는 언제든지 철회할 수 있으며, "
            "철회하면 더 이상 수집되지 않습니다.",
        },
    ),
    ConsentPurpose.LOCATION: ConsentText(
        1,
        _FIRST,
        {
            "en": "I agree that the location of my phone or vehicle is used for functions that I switch on and that "
            "need it, and for nothing else. No function needs it today. I can withdraw this at any time.",
            "ko": "내가 켠 기능 중 위치가 필요한 기능에 한하여 내 휴대전화 또는 차량의 위치를 사용하는 데 "
            "동의합니다. 현재 위치가 필요한 기능은 없습니다. 이 동의는 언제든지 철회할 수 있습니다.",
        },
    ),
    ConsentPurpose.ANALYTICS: ConsentText(
        1,
        _FIRST,
        {
            "en": "I agree that it is collected how I use the service, to make the service better, and for nothing "
            "else. Nothing is collected for this today. I can withdraw this at any time.",
            "ko": "서비스 개선을 위해서만 나의 서비스 이용 방식을 수집하는 데 동의합니다. 현재 이 목적으로 "
            "수집되는 정보는 없습니다. 이 동의는 언제든지 철회할 수 있습니다.",
        },
    ),
}
"""What is asked about now. A text that changes gets the next version and its day: everybody is asked again."""
