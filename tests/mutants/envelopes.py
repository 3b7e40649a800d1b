"""Faults of reading: forms, sizes, seals, and fields of a later day."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature

from protocol import cose, seal, vehicle_side
from protocol import order as orders
from protocol.faults import Fault, MessageRefusedError
from protocol.seal import HEAD, Direction
from tests.mutants.mutant import Swap, mutant, to


@mutant("largest-order-acts")
def small_messages_only(swap: Swap) -> None:
    """What is larger than 4,096 bytes is dropped."""
    swap(seal, "MAX_SEALED_BYTES", to(4_096))


@mutant("largest-order-acts")
def one_byte_too_many(swap: Swap) -> None:
    """The limit is off by one."""
    swap(seal, "MAX_SEALED_BYTES", lambda was: was + 1)


@mutant("oversize-is-ignored", "largest-order-acts")
def messages_of_any_size(swap: Swap) -> None:
    """There is no limit."""
    swap(seal, "MAX_SEALED_BYTES", to(1 << 20))


@mutant("flipped-bits-are-ignored")
def any_version_of_the_seal(swap: Swap) -> None:
    """The first two bytes are skipped."""
    swap(
        vehicle_side,
        "unseal",
        lambda was: lambda data, *words: was(HEAD + data[len(HEAD) :] if data else data, *words),
    )


@mutant("unsealed-is-ignored")
def orders_without_a_seal(swap: Swap) -> None:
    """An envelope that is not sealed is read as it is."""

    def unseal(was: Any) -> Any:
        return lambda data, *words: data if data[:1] == b"\xd2" else was(data, *words)

    swap(vehicle_side, "unseal", unseal)


@mutant("wrong-length-is-ignored", "other-encodings-are-ignored")
def bytes_after_the_end(swap: Swap) -> None:
    """What follows an envelope is nobody's business."""

    def decode(was: Any) -> Any:
        def leniently(data: bytes) -> Any:
            try:
                return was(data)
            except MessageRefusedError:
                return was(data[:-1])

        return leniently

    swap(cose, "decode", decode)


@mutant("sealed-to-another-is-ignored")
def any_direction(swap: Swap) -> None:
    """What is sealed to the cloud opens, too."""

    def unseal(was: Any) -> Any:
        def either(data: bytes, keys: Any, direction: Direction, vin: str) -> Any:
            try:
                return was(data, keys, direction, vin)
            except MessageRefusedError:
                return was(data, keys, Direction.TO_CLOUD, vin)

        return either

    swap(vehicle_side, "unseal", unseal)


@mutant("unknown-fields-are-ignored")
def nothing_of_a_later_day(swap: Swap) -> None:
    """An order with a protobuf field that is not known is refused."""

    def parse(was: Any) -> Any:
        def strictly(payload: bytes, domain: Any) -> Any:
            message, order = was(payload, domain)
            known = type(message)()
            known.CopyFrom(message)
            known.DiscardUnknownFields()
            if known.ByteSize() != message.ByteSize():
                raise MessageRefusedError(Fault.MALFORMED, "a field of a later day")
            return message, order

        return strictly

    swap(orders, "parse", parse)


@mutant("unsigned-is-ignored")
def noise_is_answered(swap: Swap) -> None:
    """What is not signed gets an answer."""

    def opened(was: Any) -> Any:
        def loudly(self: Any, domain: Any, data: bytes) -> Any:
            faulted = was(self, domain, data)
            if getattr(faulted, "fault", None) is Fault.MALFORMED:
                answer = self._refusal(domain, bytes(32), Fault.WRONG_TYPE)
                return vehicle_side.RefusedOrder(faulted.fault, faulted.detail, answer)
            return faulted

        return loudly

    swap(vehicle_side.VehicleSide, "open_order", opened)


@mutant("other-encodings-are-ignored")
def any_encoding(swap: Swap) -> None:
    """The envelope is read as a library for CBOR reads it, and the signature is right over what came."""
    swap(cose, "decode", to(_decode_anything))
    swap(cose, "verify", to(_verify_anything))


class _Loose(cose.SignedEnvelope):
    """An envelope, with its protected header as it came."""

    protected = b""


def _decode_anything(data: bytes) -> cose.SignedEnvelope:
    try:
        at = 1 if data[:1] == b"\xd2" else 0
        parts, _ = _item(data, at)
        protected, _unprotected, payload, signature = parts
        headers, _ = _item(protected, 0)
    except (IndexError, ValueError, TypeError) as error:
        raise MessageRefusedError(Fault.MALFORMED, "not CBOR") from error
    if not isinstance(headers, dict) or not isinstance(headers.get(4), bytes):
        raise MessageRefusedError(Fault.MALFORMED, "no key id")
    signed = _Loose(headers.get(3, "rdc-command+v1"), headers[4], payload, signature)
    object.__setattr__(signed, "protected", protected)
    return signed


def _verify_anything(signed: Any, key: Any, subject: bytes) -> None:
    try:
        to_be_signed = cose._SIGNATURE1 + b"".join(
            map(cose._bytes, (signed.protected, subject, signed.payload))
        )
        key.verify(signed.signature, to_be_signed)
    except InvalidSignature as error:
        raise MessageRefusedError(Fault.BAD_SIGNATURE, "") from error


def _item(data: bytes, at: int) -> tuple[Any, int]:
    major, info, at = data[at] >> 5, data[at] & 0x1F, at + 1
    if info in {24, 25}:
        width = info - 23
        value, at = int.from_bytes(data[at : at + width]), at + width
    else:
        value = info
    match major:
        case 0:
            return value, at
        case 1:
            return -1 - value, at
        case 2 | 3:
            if at + value > len(data):
                raise IndexError(at)
            text = data[at : at + value]
            return (text if major == 2 else text.decode("ascii")), at + value
        case 4:
            return _many(data, at, None if info == 31 else value)
        case 5:
            items, at = _many(data, at, None if info == 31 else 2 * value)
            return dict(zip(items[::2], items[1::2], strict=True)), at
        case _:
            raise ValueError(major)


def _many(data: bytes, at: int, count: int | None) -> tuple[list[Any], int]:
    items: list[Any] = []
    while len(items) != count:
        if count is None and data[at] == 0xFF:
            return items, at + 1
        one, at = _item(data, at)
        items.append(one)
    return items, at
