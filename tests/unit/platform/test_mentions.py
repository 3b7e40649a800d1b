"""Who is named in a message, and who only has a name like it."""

from __future__ import annotations

import pytest
from ecarus.remotecontrol.audit.v1.audit_entry_pb2 import AuditEntry
from ecarus.remotecontrol.audit.v1.audit_intake_service_pb2 import RecordEntriesRequest
from hypothesis import given
from hypothesis import strategies as st

from services.platform.mentions import mentions, texts_in


@pytest.mark.parametrize(
    "text",
    [
        "user-1", "Key of user-1", "user-1, and others", '{"userId":"user-1"}', "(user-1)", "asked by user-1.",
        "user-1: no", "from\nuser-1\n",
    ],
)  # fmt: skip
def test_a_name_is_found_wherever_it_is_a_word(text: str) -> None:
    entry = AuditEntry(entry_id="e-1", subject="somebody", detail={"label": text})
    assert mentions(entry.SerializeToString(), "user-1")
    assert mentions(RecordEntriesRequest(entries=[entry]).SerializeToString(), "user-1")
    assert mentions(text.encode(), "user-1")


@pytest.mark.parametrize(
    "text",
    ["user-12", "a-user-1", "user-1-b", "user-1@example", "user-1.b", "_user-1", "superuser-1", "User-1"],
)
def test_a_name_that_has_it_in_it_is_somebody_else(text: str) -> None:
    entry = AuditEntry(entry_id="e-1", subject=text, detail={"label": f"Key of {text}"})
    assert not mentions(entry.SerializeToString(), "user-1")
    assert not mentions(RecordEntriesRequest(entries=[entry]).SerializeToString(), "user-1")
    assert not mentions(text.encode(), "user-1")


@pytest.mark.parametrize("length", range(1, 129))
def test_no_length_and_no_key_beside_it_hides_a_name(length: int) -> None:
    """Before a text of 65 bytes stands an `A`, and behind the subject the actor's key, which is a `:`."""
    name = "n" * length
    entry = AuditEntry(subject=name, actor=name, source=name, correlation_id=name)
    assert mentions(entry.SerializeToString(), name)
    assert not mentions(AuditEntry(subject=name + "n").SerializeToString(), name)


@given(st.binary(max_size=200))
def test_any_bytes_have_texts(message: bytes) -> None:
    assert all(isinstance(text, str) for text in texts_in(message))
