"""What the edge says by itself, where no service was asked or none could answer: of Envoy and of the edge's Lua.

Code, title, type and whether a retry is safe are the contract's; the sentences, and when each is said, stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.contract_blocks import Contract

UNREADABLE = "The request is not one this service reads; correct it. Nothing was accepted."
NO_PATH = "There is nothing at this path; see the API's list of endpoints."
AWAY = "A part of the service is away and nothing was accepted; try again shortly."
DEFECT = "A defect of the service stopped this request; report it with the correlation id."
REPEAT = "Repeat it with the same X-Correlation-ID to learn which, without acting twice."
ANY = "%RESPONSE_CODE%"
AGAIN = '[{header: {key: retry-after, value: "1"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]'
MADE_ID = '{header: {key: x-correlation-id, value: "%UNIQUE_ID%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}'
FROM_PAGE = (
    '{header_filter: {header: {name: origin, string_match: {safe_regex: {regex: "${CORS_PATTERN}"}}}}}'
)
TOLD_TO_PAGE = ", ".join(
    f"{{header: {{key: {name}, value: {value}}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}"
    for name, value in (
        ("access-control-allow-origin", '"%REQ(ORIGIN)%"'),
        ("access-control-expose-headers", '"X-Correlation-ID, Date"'),
        ("vary", "Origin"),
    )
)
CUT_OFF = "{response_flag_filter: {flags: [UC, UR, LR, UPE]}}"
TWO_HOSTS = '{header_filter: {header: {name: ":authority", string_match: {contains: ","}}}}'
READING = "{header_filter: {header: {name: x-envoy-original-method, string_match: {exact: GET}}}}"


@dataclass(frozen=True, slots=True)
class LocalReply:
    """One mapper of Envoy's local replies. `when` is its filter; `status` None is the reply's own.

    `acted` is `mayHaveSucceeded`, None where it is not known.
    """

    why: str
    when: str
    code: str
    detail: str
    acted: bool | None = False
    status: int | None = None
    sets_status: bool = False
    come_back: bool = False


def _status(number: int, comparison: str = "EQ") -> str:
    value = f"{{default_value: {number}, runtime_key: none}}"
    return f"{{status_code_filter: {{comparison: {{op: {comparison}, value: {value}}}}}}}"


def _both(*filters: str) -> str:
    return f"{{and_filter: {{filters: [{', '.join(filters)}]}}}}"


LOCAL_REPLIES = (
    LocalReply(
        "", _both(_status(400), TWO_HOSTS), "INVALID_REQUEST",
        "The request names more than one Host; send one. Nothing was accepted.", status=400,
    ),
    LocalReply("", _status(404), "PATH_NOT_FOUND", NO_PATH, status=404),
    LocalReply(
        "", _status(405), "METHOD_NOT_ALLOWED",
        "The path exists but not for this method; Allow lists those it has.", status=405,
    ),
    LocalReply(
        "", _status(413), "PAYLOAD_TOO_LARGE",
        "The body is larger than 64 KiB and was not read; nothing was accepted.", status=413,
    ),
    LocalReply(
        "", _status(415), "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as application/json; nothing was accepted.", status=415,
    ),
    LocalReply(
        "", _status(429), "RATE_LIMITED",
        "Too many requests; nothing was accepted. Try again after Retry-After seconds.", status=429, come_back=True,
    ),
    LocalReply(
        "", _both(_status(504), READING), "DEADLINE_EXCEEDED",
        "The service did not answer in time; try again.", status=504,
    ),
    LocalReply(
        "", _status(504), "DEADLINE_EXCEEDED",
        f"The service did not finish in time; a command may have been accepted. {REPEAT}", acted=True, status=504,
    ),
    LocalReply(
        "Cut off after it was sent: unless it only read, it may have been carried out.",
        _both(_status(503), CUT_OFF, READING), "DEPENDENCY_UNAVAILABLE",
        "The answer was cut off; try again shortly.", status=503, come_back=True,
    ),
    LocalReply(
        "", _both(_status(503), CUT_OFF), "DEPENDENCY_UNAVAILABLE",
        f"The answer was cut off; a command may have been accepted. {REPEAT}", acted=True, status=503, come_back=True,
    ),
    LocalReply("", _status(503), "DEPENDENCY_UNAVAILABLE", AWAY, status=503, come_back=True),
    LocalReply("", _status(500, "GE"), "INTERNAL_ERROR", DEFECT, acted=None),
    LocalReply("", _status(400, "GE"), "INVALID_REQUEST", UNREADABLE),
)  # fmt: skip  # a table
UNSEEN = (
    "{metadata_filter: {matcher: {filter: ecarus.edge, path: [{key: correlation_id}], value: {string_match: "
    "{exact: none}}}, match_if_key_not_found: true}}"
)
BEFORE_FILTERS = LocalReply(
    "Refused before any filter ran, so there is no correlation id yet: one is made.",
    UNSEEN, "INVALID_REQUEST", UNREADABLE,
)  # fmt: skip  # as the table
BEFORE_FILTERS_OF_PAGE = LocalReply(
    "The same, told to a page of another origin: the filter that tells such pages all else has not run either.",
    _both(UNSEEN, FROM_PAGE), "INVALID_REQUEST", UNREADABLE,
)  # fmt: skip  # as the table
ACCESS_AWAY = LocalReply(
    "The access service could not be asked (its own refusals are never 502).",
    _both("{response_flag_filter: {flags: [UAEX]}}", _status(502)),
    "DEPENDENCY_UNAVAILABLE", AWAY, status=503, sets_status=True, come_back=True,
)  # fmt: skip  # as the table

FALLBACKS = {
    "400": ("INVALID_REQUEST", UNREADABLE, "false"),
    "404": ("PATH_NOT_FOUND", NO_PATH, "false"),
    "415": (
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as application/json; gRPC is served on the mutual TLS port. Nothing was accepted.",
        "false",
    ),
    "429": ("RATE_LIMITED", "Too many requests; nothing was accepted. Try again shortly.", "false"),
    "501": ("PATH_NOT_FOUND", NO_PATH, "false"),
    "503": (
        "DEPENDENCY_UNAVAILABLE",
        "A part of the service is away; try again shortly, a command with the same X-Correlation-ID.",
        "true",
    ),
    "504": (
        "DEADLINE_EXCEEDED",
        "The service did not finish in time; repeat a command only with the same X-Correlation-ID.",
        "true",
    ),
}
"""By the status of an error without a document: the code, the sentence, and whether something may have changed."""


def local_replies(contract: Contract) -> list[str]:
    """Envoy's mappers of local replies."""
    lines = _mapper(contract, BEFORE_FILTERS_OF_PAGE, headers=f"[{MADE_ID}, {TOLD_TO_PAGE}]", makes_id=True)
    lines += _mapper(contract, BEFORE_FILTERS, headers=f"[{MADE_ID}]", makes_id=True)
    lines += _mapper(contract, ACCESS_AWAY)
    lines += [
        "# The access service refused: its document, status and headers are the answer.",
        "- filter: {response_flag_filter: {flags: [UAEX]}}",
        "  body_format_override: {content_type: application/problem+json, "
        'text_format_source: {inline_string: "%LOCAL_REPLY_BODY%"}}',
    ]
    for reply in LOCAL_REPLIES:
        lines += _mapper(contract, reply)
    return lines


def _mapper(contract: Contract, reply: LocalReply, *, headers: str = "", makes_id: bool = False) -> list[str]:
    refusal = contract.refusals[reply.code]
    lines = [f"# {reply.why}"] if reply.why else []
    lines.append(f"- filter: {reply.when}")
    if reply.sets_status:
        lines.append(f"  status_code: {reply.status}")
    if headers or reply.come_back:
        lines.append(f"  headers_to_add: {headers or AGAIN}")
    status = f'"{ANY}"' if reply.status is None else str(reply.status)
    acted = "" if reply.acted is None else f", mayHaveSucceeded: {str(reply.acted).lower()}"
    named = "%RESP(X-CORRELATION-ID)%" if makes_id else "%DYNAMIC_METADATA(ecarus.edge:correlation_id)%"
    lines += [
        "  body_format_override:",
        "    content_type: application/problem+json",
        *(["    omit_empty_values: true"] if makes_id else []),
        f'    json_format: {{type: "${{PROBLEM_TYPES}}{refusal.slug}", title: {refusal.title}, status: {status},',
        f'      detail: "{reply.detail}",',
        f'      instance: "%PATH(NQ:ORIG_OR_PATH)%", code: {reply.code}, correlationId: "{named}", '
        f"retryable: {str(refusal.retryable).lower()}{acted}}}",
    ]
    return lines


def lua_fallbacks(contract: Contract) -> list[str]:
    """Return the Lua table of what is said where an error brought no document: code, title, sentence, retryable,
    changed.
    """
    lines = ["local FALLBACK = {"]
    for status, (code, detail, changed) in FALLBACKS.items():
        lines += _lua(contract, f'  ["{status}"] = ', code, detail, changed, ",")
    lines.append("}")
    return lines + _lua(contract, "local DEFECT = ", "INTERNAL_ERROR", DEFECT, "nil", "")


def _lua(contract: Contract, begin: str, code: str, detail: str, changed: str, end: str) -> list[str]:
    refusal = contract.refusals[code]
    retryable = str(refusal.retryable).lower()
    return [
        f'{begin}{{ "{code}", "{refusal.title}",',
        f'    "{detail}", {retryable}, {changed} }}{end}',
    ]
