"""What people are told about each reason of a failure: the contract's catalogue (door_command.proto)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from ecarus.remotecontrol.door.v1 import door_command_pb2
from ecarus.remotecontrol.options.v1 import options_pb2

if TYPE_CHECKING:
    from services.command.domain.commands import FailureReason


class Language(StrEnum):
    """The languages that people are told in."""

    ENGLISH = "en"
    KOREAN = "ko"


def failure_words(reason: FailureReason, language: Language) -> options_pb2.FailureWords:
    """Return title, cause and guidance of a reason."""
    value = door_command_pb2.FailureReason.Value.DESCRIPTOR.values_by_name[reason.value]
    text = value.GetOptions().Extensions[options_pb2.failure_text]
    return text.ko if language is Language.KOREAN else text.en
