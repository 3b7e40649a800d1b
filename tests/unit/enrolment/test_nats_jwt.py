from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import nkeys
import pytest

from services.enrolment.adapters.nats_jwt import Issuer, TokenError, claims_of

NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
SEED = bytes(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_ACCOUNT)).decode()


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def test_what_is_signed_is_believed() -> None:
    issuer = Issuer(SEED)
    claims = claims_of(issuer.sign({"sub": "U1"}, NOW).encode())
    assert (claims["sub"], claims["iss"], claims["iat"]) == ("U1", issuer.public_key, int(NOW.timestamp()))
    assert issuer.public_key.startswith("A")


def test_nothing_else_is() -> None:
    token = Issuer(SEED).sign({"sub": "U1"}, NOW).encode()
    header, body, signature = token.split(b".")
    other = part({"sub": "U2", "iss": Issuer(SEED).public_key})
    forgeries = [
        b"",
        b"a.b",
        b"a.b.c",
        b".".join((header, other, signature)),
        b".".join((part({"typ": "JWT", "alg": "none"}), body, signature)),
        b".".join((header, body, b"")),
        b".".join((header, part([]), signature)),
        b".".join((header, part({"iss": "short"}), signature)),
    ]
    for forgery in forgeries:
        with pytest.raises(TokenError):
            claims_of(forgery)


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not an nkey seed"):
        Issuer("SAnothing")
