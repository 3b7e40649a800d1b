"""The envelope believes nothing: whatever the bytes, it opens them or raises EnvelopeRefused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2
from ecarus.remotecontrol.vehicle.v1.envelope_pb2 import Envelope, MessageType
from hypothesis import given
from hypothesis import strategies as st

from protocol.envelope import MAX_BYTES, PAYLOADS, EnvelopeRefused, Unpacked, pack, unpack

if TYPE_CHECKING:
    from google.protobuf.message import Message

VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
SENT_AT = datetime(2031, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
payloads = st.sampled_from(sorted(PAYLOADS)).map(lambda number: PAYLOADS[number])
instants = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)).map(  # noqa: DTZ001  # made aware below
    lambda at: at.replace(tzinfo=UTC)
)


def sample() -> bytes:
    return pack(VIN, "message-1", report_pb2.Hello(config_version=7), SENT_AT)


def opened(data: bytes, **expect: Any) -> Unpacked | None:
    """None when it is refused; anything else that is raised fails the test."""
    try:
        return unpack(data, vin=VIN, **expect)
    except EnvelopeRefused:
        return None


def test_every_message_type_has_its_payload() -> None:
    assert PAYLOADS.keys() == {number for number in MessageType.values() if number != 0}
    assert len(set(PAYLOADS.values())) == len(PAYLOADS)


@given(kind=payloads, message_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=128), at=instants)
def test_what_is_packed_is_unpacked(kind: type[Message], message_id: str, at: datetime) -> None:
    result = unpack(pack(VIN, message_id, kind(), at), vin=VIN, expect=kind)
    assert result == Unpacked(VIN, message_id, at, kind())


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_never_surprise(data: bytes) -> None:
    opened(data)


@given(
    version=st.integers(0, 3),
    kind=st.sampled_from([*PAYLOADS, 0, 99]),
    vin=st.sampled_from([VIN, OTHER_VIN, VIN.lower(), ""]),
    message_id=st.sampled_from(["", "m", "x" * 128, "x" * 129]),
    seconds=st.integers(-(2**63), 2**63 - 1),
    nanos=st.integers(-(2**31), 2**31 - 1),
    payload=st.binary(max_size=60),
)
def test_well_formed_nonsense_never_surprises(
    version: int, kind: int, vin: str, message_id: str, seconds: int, nanos: int, payload: bytes
) -> None:
    envelope = Envelope(version=version, type=kind, vin=vin, message_id=message_id, payload=payload)  # type: ignore[arg-type]  # also unknown numbers
    envelope.sent_at.seconds, envelope.sent_at.nanos = seconds, nanos
    result = opened(envelope.SerializeToString())
    if result is not None:
        assert (version, vin) == (1, VIN)
        assert 1 <= len(message_id) <= 128
        assert isinstance(result.payload, PAYLOADS[kind])


def test_every_truncation_is_refused_or_says_less() -> None:
    whole = sample()
    complete = unpack(whole, vin=VIN)
    for length in range(len(whole)):
        result = opened(whole[:length], expect=report_pb2.Hello)
        # Protobuf can not tell that fields at the end are missing; what is there is never changed.
        assert result is None or result.message_id == complete.message_id


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_every_bit_flip_is_opened_or_refused(position: int, bit: int) -> None:
    data = bytearray(sample())
    data[position % len(data)] ^= 1 << bit
    opened(bytes(data))


def test_refusals_say_why() -> None:
    def reason(data: bytes, vin: str = VIN, expect: type[Message] | None = None) -> str:
        with pytest.raises(EnvelopeRefused) as refused:
            unpack(data, vin=vin, expect=expect)
        return str(refused.value)

    assert "at most" in reason(b"x" * (MAX_BYTES + 1))
    assert reason(b"\xff\xff\xff") == "not an envelope"
    assert reason(b"") == "version 0, not 1"
    assert "another vehicle" in reason(sample(), vin=OTHER_VIN)
    assert reason(sample(), expect=command_pb2.DoorCommand) == "Hello where DoorCommand belongs"
    assert OTHER_VIN not in reason(sample(), vin=OTHER_VIN)
