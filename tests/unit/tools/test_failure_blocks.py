"""The reasons of failures, as the contract says them, in other files."""

from __future__ import annotations

import ast
import json
from types import SimpleNamespace
from typing import Any

import pytest
from ecarus.remotecontrol.options.v1.options_pb2 import FailureText

from tools import failure_blocks
from tools.failure_blocks import MissingTextError


def said(guidance: str = "Do.") -> FailureText:
    text = FailureText()
    text.en.title, text.en.cause, text.en.guidance = "Off", "It is off.", guidance
    text.ko.title, text.ko.cause, text.ko.guidance = "꺼짐", "꺼져 있습니다.", "켜십시오."
    return text


def contract(**texts: FailureText) -> Any:
    return SimpleNamespace(failure_texts=texts)


def test_the_pages_get_title_and_guidance_in_each_language() -> None:
    files = failure_blocks.words_files(contract(UNSPECIFIED=said(), OFF=said()))
    assert files.keys() == {f"gateway/pages/words/failures/{language}.json" for language in ("en", "ko")}
    korean = json.loads(files["gateway/pages/words/failures/ko.json"])
    assert (korean["failure.OFF"], korean["guidance.OFF"]) == ("꺼짐", "켜십시오.")
    assert korean.keys() == {
        f"{kind}.{name}" for kind in ("failure", "guidance") for name in ("OFF", "UNSPECIFIED")
    }


@pytest.mark.parametrize("guidance", ["Do.", 'Say "on" and re-try. ' * 20 + "Do."])
def test_the_rules_get_the_guidance_whole_however_long(guidance: str) -> None:
    lines = failure_blocks.guidance(contract(UNSPECIFIED=said(), OFF=said(guidance)))
    assert max(map(len, lines)) <= 110
    block = ast.parse("{" + "\n".join(lines) + "}", mode="eval").body
    assert isinstance(block, ast.Dict)
    assert [ast.unparse(key) for key in block.keys if key] == ["FailureReason.OFF"]
    assert [ast.literal_eval(value) for value in block.values] == [guidance]


@pytest.mark.parametrize("part", ["title", "cause", "guidance"])
def test_a_reason_that_is_not_said_in_a_language_stops_the_generating(part: str) -> None:
    text = said()
    text.ko.ClearField(part)  # type: ignore[arg-type]  # the name of one of its fields
    with pytest.raises(MissingTextError, match=r"FailureReason\.OFF is not said in ko"):
        failure_blocks.words_files(contract(OFF=text))
