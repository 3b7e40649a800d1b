"""What people are told about each reason of a failure: the contract's catalogue (door_command.proto)."""

from __future__ import annotations

from enum import StrEnum

from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.options.v1 import options_pb2


class Language(StrEnum):
    """The languages that people are told in."""

    ENGLISH = "en"
    KOREAN = "ko"


def failure_words(reason: str, language: Language) -> options_pb2.FailureWords:
    """Return title, cause and guidance of a value of FailureReason, by its name. Raises KeyError for none of them."""
    value = door_command_pb2.FailureReason.Value.DESCRIPTOR.values_by_name[reason]
    text = value.GetOptions().Extensions[options_pb2.failure_text]
    return text.ko if language is Language.KOREAN else text.en
