"""The strict reading of a JWS in its compact form, before anything looks at what it says (RFC 7515, 7.1)."""

from __future__ import annotations

import base64
import re
from typing import Any

from services.platform import strict_json

_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class NotThreePartsError(ValueError):
    """It is not header, claims and signature in base64url."""


def read(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims, unverified. Raises ValueError for what two readers could read differently."""
    match = _PARTS.fullmatch(text)
    if match is None:
        raise NotThreePartsError("it is not three parts in base64url")
    header, claims, _signature = (_decoded(part) for part in match.groups())
    return strict_json.members(header), strict_json.members(claims)


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(part: str) -> bytes:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if encoded(data) != part:
        raise ValueError("not the one way to write it")
    return data
