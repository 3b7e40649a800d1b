"""The strict reading of a REST request, before a forgiving transcoder sees it.

The transcoder ignores unknown names, lets the last of two equal names win, makes lists of scalars,
takes numbers for enum words and binds query parameters over the body. Whatever it would forgive is
refused here, with the place of every fault.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format

from services.access.adapters.routes import TICKET
from services.platform import errors, strict_json
from services.platform.errors import Refusal, Violation
from services.platform.validation import violations_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.access.adapters.field_table import FieldTable
    from services.access.adapters.routes import Route

_MAX_VIOLATIONS = 32
_MAX_NAME_SHOWN = 64
_MAX_REMEMBERED = 512
_NAME = re.compile(r"[A-Za-z0-9_]+")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# With an empty parameter, which RFC 9110 (5.6.6) has recipients ignore, and the other common name of UTF-8.
_CONTENT_TYPE = re.compile(r'application/json\s*(;\s*(charset\s*=\s*("utf-?8"|utf-?8)\s*)?)*', re.IGNORECASE)
_SURROGATES = re.compile("[\ud800-\udfff]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TICKET = f"{TICKET}="
_WHOLE_BODY = "(body)"
_WHOLE_PATH = "(path)"


def require_path(path: str) -> None:
    """Raise Refusal (INVALID_REQUEST) for a path whose escapes are no text: the transcoder would make a message of it
    that no service can read.
    """
    if "%" not in path:
        return
    reason = "is not percent-encoded correctly" if _PERCENT.search(path) else ""
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        reason = reason or "is not UTF-8"
    if reason:
        raise Refusal(
            errors.INVALID_REQUEST,
            "The path has escapes that are not valid; correct them and send it again.",
            violations=[Violation(_WHOLE_PATH, reason)],
        )


def check(
    route: Route,
    *,
    query: str,
    content_type: str | None,
    body: bytes,
    vin: str,
    content_encoding: str | None = None,
) -> Mapping[str, Any]:
    """Return the body's members. Raise Refusal (INVALID_REQUEST, MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE) unless
    all is sound.

    `query` is the raw text after the path's question mark; `vin` the path's, upper case.
    """
    if body and (content_encoding or "identity").strip().lower() != "identity":
        raise Refusal(
            errors.UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed, which is not read here; send it without Content-Encoding.",
            headers={"accept-encoding": "identity"},  # RFC 9110, 12.5.3
        )
    violations = _query_violations(query, route.query) if query else []
    document = strict_json.Object()
    if route.body is None:
        if body:
            violations.append(Violation(_WHOLE_BODY, "this method takes no body"))
    else:
        document, faults = _read_body(route, content_type, body, vin)
        violations += faults
    if violations:
        raise Refusal(
            errors.INVALID_REQUEST,
            "The request has parts that are not valid; correct them and send it again.",
            violations=violations[:_MAX_VIOLATIONS],
        )
    return dict(document)


class SoundBodies:
    """Remembers what sound bodies say: most requests send one of a few, and these are read and judged once."""

    def __init__(self, most: int = 4_096) -> None:
        self._most = most
        self._known: dict[tuple[str, str | None, bytes], Mapping[str, Any]] = {}

    def check(
        self,
        route: Route,
        *,
        query: str,
        content_type: str | None,
        body: bytes,
        vin: str,
        content_encoding: str | None = None,
    ) -> Mapping[str, Any]:
        """Do as `check` does; members that are returned twice are the same object."""
        key = (route.rpc, content_type, body)
        plain = route.body is not None and not query and content_encoding is None
        known = self._known.pop(key, None) if plain else None
        if known is None:
            known = check(
                route,
                query=query,
                content_type=content_type,
                body=body,
                vin=vin,
                content_encoding=content_encoding,
            )
            if not plain or len(body) > _MAX_REMEMBERED or "vin" in known:
                return known
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
        self._known[key] = known  # the last is the one used last
        return known


def ticket_in(query: str) -> tuple[str | None, str]:
    """Return the ticket in a raw query, and what is left of that; None where it has none. A second one is left, to be
    refused.
    """
    parts = query.split("&")
    named = next((part for part in parts if part.startswith(_TICKET)), None)
    if named is None:
        return None, query
    parts.remove(named)
    return named.removeprefix(_TICKET), "&".join(parts)


def _query_violations(query: str, table: FieldTable) -> list[Violation]:
    violations: list[Violation] = []
    seen: set[str] = set()
    for part in query.split("&"):
        name, equals, raw = part.partition("=")
        reason = _query_fault(name, raw, table, seen) or ("has no value" if not (equals and raw) else None)
        if reason is not None:
            violations.append(Violation(_shown(name) or "(query)", reason))
        seen.add(name)
    return violations


def _query_fault(name: str, raw: str, table: FieldTable, seen: set[str]) -> str | None:
    if not _NAME.fullmatch(name):
        return "a query parameter's name is made of A-Z a-z 0-9 _"
    rule = table.get(name)
    if rule is None:
        return "is not a query parameter of this method"
    if name in seen:
        return "is given more than once"
    if _PERCENT.search(raw):
        return "is not percent-encoded correctly"
    try:
        value = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8"
    return rule.in_query(value)


def _read_body(
    route: Route, content_type: str | None, body: bytes, vin: str
) -> tuple[strict_json.Object, list[Violation]]:
    table = route.body or {}
    if not body:
        return strict_json.Object(), [Violation(_WHOLE_BODY, "a JSON object is required")]
    if content_type != "application/json" and not _CONTENT_TYPE.fullmatch(content_type or ""):
        raise Refusal(
            errors.UNSUPPORTED_MEDIA_TYPE,
            "The body must be application/json in UTF-8; set Content-Type and send it again.",
        )
    document = _parse(body)
    violations: list[Violation] = []
    repeated: list[Violation] = []
    seen: set[str] = set()
    for name, value in document:
        if name in seen:
            repeated.append(Violation(_shown(name), "is given more than once"))
            continue
        seen.add(name)
        violations += _member_violations(name, value, table, vin)
    if repeated:
        raise Refusal(
            errors.MALFORMED_JSON,
            "The body names a field more than once; which one is meant cannot be known.",
            violations=repeated[:_MAX_VIOLATIONS],
        )
    return document, violations + _rule_violations(route, document, violations)


def _rule_violations(route: Route, document: strict_json.Object, found: list[Violation]) -> list[Violation]:
    """Return what the contract's own rules say of the members that are sound, so that one answer names every fault.

    They are applied here, too, because only here what is refused can be counted apart from what is carried out.
    """
    if route.body is None or route.body_message is None:
        return []
    faulty = {violation.field.partition("[")[0] for violation in found}
    sound = {name: _plain(value) for name, value in document if name in route.body and name not in faulty}
    try:
        message = json_format.ParseDict(sound, route.body_message())
    except json_format.ParseError:
        return []  # of the right form, and yet no value: the service behind says what is wrong with it
    return [
        violation
        for violation in violations_of(message, None)
        if (violation.field != _WHOLE_BODY or not found) and violation.field.partition("[")[0] not in faulty
    ]


def _plain(value: object) -> object:
    if isinstance(value, strict_json.Object):
        return {name: _plain(each) for name, each in value}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _parse(body: bytes) -> strict_json.Object:
    if body.startswith(_BYTE_ORDER_MARK):  # RFC 8259, 8.1; the transcoder behind reads none either
        raise _malformed("it begins with a byte order mark; leave that out")
    try:
        document = strict_json.parse(body)
    except strict_json.NotStrictJsonError as error:
        raise _malformed(str(error)) from None
    if not isinstance(document, strict_json.Object):
        raise _malformed("it is not an object")
    return document


def _malformed(why: str) -> Refusal:
    return Refusal(errors.MALFORMED_JSON, f"The body could not be read as one JSON object: {why}.")


def _member_violations(name: str, value: object, table: FieldTable, vin: str) -> list[Violation]:
    rule = table.get(name)
    if rule is None:
        reason = _vin_fault(value, vin) if name == "vin" else "is not a field of this request"
        return [] if reason is None else [Violation(_shown(name), reason)]
    if not rule.repeated:
        reason = rule.in_body(value)
        return [] if reason is None else [Violation(name, reason)]
    if not isinstance(value, list):
        return [Violation(name, "must be a list")]
    return [
        Violation(f"{name}[{index}]", reason)
        for index, item in enumerate(value)
        if (reason := rule.in_body(item)) is not None
    ]


def _vin_fault(value: object, vin: str) -> str | None:
    # The body is bound to a part of the message that has no VIN: the same one is harmless and dropped.
    same = isinstance(value, str) and value.isascii() and value.upper() == vin
    return None if same else "differs from the VIN in the path"


def _shown(name: str) -> str:
    name = _SURROGATES.sub("\ufffd", name)  # half of a pair in our answer would be no JSON that anybody reads
    return name if len(name) <= _MAX_NAME_SHOWN else name[:_MAX_NAME_SHOWN] + "…"
