"""What a leaf of the ledger holds: in clear what is nobody's, and of the rest salted commitments.

    {"at":1768228200123,"c":{"subject":"<base64url>",...},"decision":"ALLOWED","id":"<32 hex digits>",
     "kind":"COMMAND_ACCEPTED","service":"command","v":1}

The bytes are JSON in one form only: members by name, no spaces, ASCII. `id` is random. A commitment is
SHA-256(salt || name || 0x00 || value), base64url without padding, with a random salt of 32 bytes for each member, and
the value as UTF-8 text. Who is shown name, salt and value can check them against the leaf; who is not learns nothing,
not even whether two leaves are about the same person.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION = 1
SALT_BYTES = 32
MAX_LEAF_BYTES = 8_192
DECISIONS = ("ALLOWED", "REFUSED", "NONE")
MEMBERS = (
    "action",
    "actor",
    "command_id",
    "correlation_id",
    "detail",
    "entry_id",
    "factors",
    "order_sha256",
    "result",
    "result_sha256",
    "rule",
    "source",
    "subject",
    "vin",
)
"""What may be committed to, by name."""
_ID = re.compile(r"[0-9a-f]{32}")
_KIND = re.compile(r"[A-Z][A-Z_]{2,39}")
_SERVICE = re.compile(r"[a-z]{1,32}")
_COMMITMENT = re.compile(r"[A-Za-z0-9_-]{43}")
_LATEST = 253_402_300_800_000
"""Milliseconds of the year 10000."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_TO_URL = bytes.maketrans(b"+/", b"-_")


class LeafError(ValueError):
    """The bytes are no leaf of this ledger; the text says why."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A member with what its commitment was made of."""

    name: str
    salt: bytes
    value: str

    def commitment(self) -> str:
        """Return what the leaf holds of it."""
        digest = hashlib.sha256(self.salt + self.name.encode() + b"\0" + self.value.encode()).digest()
        return base64url(digest)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf. `at_millis` counts from 1970; `commitments` are by member's name."""

    id: str
    at_millis: int
    kind: str
    decision: str
    service: str
    commitments: Mapping[str, str]

    def encode(self) -> bytes:
        """Return its bytes, the only ones there are of it."""
        members = {
            "at": self.at_millis,
            "c": dict(self.commitments),
            "decision": self.decision,
            "id": self.id,
            "kind": self.kind,
            "service": self.service,
            "v": VERSION,
        }
        return canonical(members)

    def holds(self, disclosed: Disclosure) -> bool:
        """Return whether this is what the leaf committed to under this name."""
        ours = self.commitments.get(disclosed.name)
        return ours is not None and hmac.compare_digest(ours, disclosed.commitment())


def decode(data: bytes) -> Leaf:
    """Return the leaf of these bytes. Raise LeafError where they are not exactly one."""
    if len(data) > MAX_LEAF_BYTES:
        raise LeafError(f"more than {MAX_LEAF_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise LeafError("no JSON") from error
    leaf = _checked(found)
    if leaf.encode() != data:
        raise LeafError("JSON in another form than the one there is")
    return leaf


def _checked(found: Any) -> Leaf:
    if not isinstance(found, dict) or found.keys() != {"at", "c", "decision", "id", "kind", "service", "v"}:
        raise LeafError("other members than a leaf has")
    if found["v"] != VERSION or found["v"] is True:
        raise LeafError(f"not version {VERSION}")
    at, commitments = found["at"], found["c"]
    if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < _LATEST:
        raise LeafError("at is no time")
    texts = {"id": _ID, "kind": _KIND, "service": _SERVICE}
    for name, form in texts.items():
        if not isinstance(found[name], str) or not form.fullmatch(found[name]):
            raise LeafError(f"{name} is not of its form")
    if found["decision"] not in DECISIONS:
        raise LeafError("decision is none")
    if not isinstance(commitments, dict) or not commitments.keys() <= set(MEMBERS):
        raise LeafError("a commitment to an unknown member")
    if not all(isinstance(each, str) and _COMMITMENT.fullmatch(each) for each in commitments.values()):
        raise LeafError("a commitment that is none")
    return Leaf(found["id"], at, found["kind"], found["decision"], found["service"], commitments)


def commitments_of(disclosures: Iterable[Disclosure]) -> dict[str, str]:
    """Return what a leaf holds of these members, by name."""
    return {each.name: each.commitment() for each in disclosures}


def canonical(value: Any) -> bytes:
    """Return JSON in the one form: members by name, no spaces, ASCII."""
    return _ENCODER.encode(value).encode()


def base64url(data: bytes) -> str:
    """Return base64url without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL, b"=").decode()


def unbase64url(text: str) -> bytes:
    """Return the bytes. Raise ValueError unless `text` is what base64url() makes of them."""
    try:
        data = base64.b64decode(
            (text + "=" * (-len(text) % 4)).encode("ascii"), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("no base64url") from error
    if base64url(data) != text:
        raise ValueError("no base64url in its one form")
    return data
