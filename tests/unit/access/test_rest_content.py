"""A body that is no JSON in UTF-8 as it stands is refused with what would be read."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from services.access.adapters import rest_request
from services.platform.errors import Refusal
from tests.unit.access.rest_checks import HISTORY, UNLOCK, VIN, check, refused


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json; charset=utf8",
        "application/json;",
        "application/json ; ; charset=UTF-8;",
    ],
)
def test_json_in_utf8_is_taken(content_type: str) -> None:
    check(UNLOCK, '{"targetDoors": ["all"]}', content_type=content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/json; charset=utf-16",
        'application/json; charset="utf-8',
        "application/json; charset=utf-8; version=2",
        "application/json charset=utf-8",
        "application/jsonp",
    ],
)
def test_other_content_types_are_not(content_type: str | None) -> None:
    code, _ = refused(UNLOCK, '{"targetDoors": ["all"]}', content_type=content_type)
    assert code == "UNSUPPORTED_MEDIA_TYPE"


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(Refusal) as caught:
        check(UNLOCK, b'\xef\xbb\xbf{"targetDoors": ["all"]}')
    assert caught.value.reason.code == "MALFORMED_JSON"
    assert "byte order mark" in caught.value.detail


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused_with_what_would_be_read(encoding: str) -> None:
    body = gzip.compress(b'{"targetDoors": ["all"]}')
    with pytest.raises(Refusal) as caught:
        rest_request.check(
            UNLOCK,
            query="",
            content_type="application/json",
            content_encoding=encoding,
            body=body,
            vin=VIN,
        )
    assert caught.value.reason.code == "UNSUPPORTED_MEDIA_TYPE"
    assert "Content-Encoding" in caught.value.detail
    assert caught.value.headers["accept-encoding"] == "identity"


def test_an_encoding_that_is_none_and_one_of_nothing_are_taken() -> None:
    body = b'{"targetDoors": ["all"]}'
    form: dict[str, Any] = {"query": "", "content_type": "application/json", "vin": VIN}
    rest_request.check(UNLOCK, **form, content_encoding="Identity", body=body)
    rest_request.check(HISTORY, **form, content_encoding="gzip", body=b"")
