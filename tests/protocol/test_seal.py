"""The seal, against a second implementation of HPKE."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from protocol.faults import Fault, MessageRefusedError
from protocol.keys import OpenKeys, SealKey, key_id
from protocol.seal import Direction, info, seal, unseal
from tests.protocol.independent import hpke
from tests.support.protocol_harness import OTHER_VIN, VIN, exchange_key, public

KEY = exchange_key("receiver")
RECEIVER = SealKey.of(public(KEY))


def test_another_implementation_opens_what_is_sealed() -> None:
    sealed = seal(b"envelope", RECEIVER, Direction.TO_CLOUD, VIN)

    assert sealed[:2] == b"\x01\x01"
    assert sealed[2:10] == key_id(public(KEY))
    assert hpke.unseal(sealed[10:], KEY, info(Direction.TO_CLOUD, VIN, sealed[2:10])) == b"envelope"
    with pytest.raises(InvalidTag):
        hpke.unseal(sealed[10:], KEY, info(Direction.TO_VEHICLE, VIN, sealed[2:10]))


@pytest.mark.parametrize(("direction", "vin"), [(Direction.TO_VEHICLE, VIN), (Direction.TO_CLOUD, OTHER_VIN)])
def test_it_opens_only_in_its_direction_for_its_vehicle(direction: Direction, vin: str) -> None:
    sealed = seal(b"envelope", RECEIVER, Direction.TO_CLOUD, VIN)

    with pytest.raises(MessageRefusedError) as caught:
        unseal(sealed, OpenKeys(KEY), direction, vin)

    assert caught.value.fault is Fault.NOT_FOR_US


def test_it_opens_with_each_of_several_keys_and_with_no_other() -> None:
    sealed = seal(b"envelope", RECEIVER, Direction.TO_CLOUD, VIN)

    assert unseal(sealed, OpenKeys(exchange_key("newer"), KEY), Direction.TO_CLOUD, VIN) == b"envelope"
    with pytest.raises(MessageRefusedError):
        unseal(sealed, OpenKeys(exchange_key("newer")), Direction.TO_CLOUD, VIN)


def test_an_encapsulated_key_of_small_order_is_a_refusal() -> None:
    sealed = seal(b"envelope", RECEIVER, Direction.TO_CLOUD, VIN)

    with pytest.raises(MessageRefusedError) as caught:
        unseal(sealed[:10] + bytes(32) + sealed[42:], OpenKeys(KEY), Direction.TO_CLOUD, VIN)

    assert caught.value.fault is Fault.NOT_FOR_US


def test_no_key_of_small_order_is_enrolled() -> None:
    with pytest.raises(ValueError, match=r".+"):
        SealKey.checked(bytes(32))
    with pytest.raises(ValueError, match=r".+"):
        SealKey.checked(b"short")
    assert SealKey.checked(public(KEY)).key_id == RECEIVER.key_id


def test_the_same_envelope_never_looks_the_same() -> None:
    assert seal(b"x", RECEIVER, Direction.TO_CLOUD, VIN) != seal(b"x", RECEIVER, Direction.TO_CLOUD, VIN)
