from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from key_files.pem import private_pem, public_pem
from services.enrolment.adapters.public_keys import NotPublicKeysError, read_public_keys
from services.enrolment.domain import PublicKeys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SIGN, EXCHANGE = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
VERIFY, SEAL = SIGN.public_key(), EXCHANGE.public_key()
FIELD = 2**255 - 19
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


def pem(*keys: PublicKeyTypes) -> bytes:
    return public_pem(*keys)  # type: ignore[arg-type]  # also keys of other kinds


def test_the_two_keys_in_either_order() -> None:
    keys = PublicKeys(VERIFY.public_bytes_raw(), SEAL.public_bytes_raw())
    assert read_public_keys(pem(VERIFY, SEAL)) == keys
    assert read_public_keys(b"a comment\n" + pem(SEAL, VERIFY)) == keys


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no keys",
        pem(VERIFY),
        pem(SEAL),
        pem(VERIFY, VERIFY),
        pem(VERIFY, SEAL, SEAL),
        pem(VERIFY, generate_private_key(SECP256R1()).public_key()),
        pem(VERIFY, SEAL, generate_private_key(SECP256R1()).public_key()),
        pem(VERIFY, SEAL).replace(b"MCow", b"MCox"),
    ],
)
def test_nothing_else_is_taken(content: bytes) -> None:
    with pytest.raises(NotPublicKeysError, match="public key"):
        read_public_keys(content)


def test_a_private_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(NotPublicKeysError, match="must not leave the car") as refused:
        read_public_keys(private_pem(SIGN, EXCHANGE))
    assert "BEGIN" not in str(refused.value)


@pytest.mark.parametrize("sign_bit", [0, 1 << 255])
@pytest.mark.parametrize("y", [1, FIELD - 1, 0, ORDER_8, FIELD - ORDER_8, FIELD, FIELD + 1])
def test_a_verify_key_that_fits_forged_signatures_is_refused(y: int, sign_bit: int) -> None:
    weak = Ed25519PublicKey.from_public_bytes((y | sign_bit).to_bytes(32, "little"))
    with pytest.raises(NotPublicKeysError, match="small order"):
        read_public_keys(pem(weak, SEAL))


def test_such_a_key_would_believe_everybody() -> None:
    weak = Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    weak.verify((1).to_bytes(32, "little") + bytes(32), b"whatever anybody says")


@pytest.mark.parametrize("u", [0, 1, FIELD - 1, FIELD])
def test_a_seal_key_of_small_order_is_refused(u: int) -> None:
    weak = X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))
    with pytest.raises(NotPublicKeysError, match="small order"):
        read_public_keys(pem(VERIFY, weak))
