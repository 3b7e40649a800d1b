"""The OpenAPI 3.1 document of REST, made from the contract: its comments, HTTP bindings, rules and options."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api import annotations_pb2

from tools.contract_blocks import DOOR_PACKAGE, METHOD_FIELD, SERVICE_FIELD, TYPE_BASE
from tools.contract_version import contract_version
from tools.openapi_links import linked
from tools.openapi_schemas import Schema, SchemaSource, prose
from tools.openapi_security import SCHEMES, SERVERS, requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tools.contract_blocks import Contract, ProblemEntry

EXAMPLES = Path(__file__).with_name("openapi_examples.json")
"""The specification's examples, by RPC, with the members that every answer of ours has besides; and our own."""
JSON, PROBLEM = "application/json", "application/problem+json"
HTTP_BODY = ".google.api.HttpBody"
_CODE = re.compile(r"\b[A-Z][A-Z_]{3,}\b")
_REFUSES = re.compile(r"(?P<grpc>[A-Z_]+) \((?P<codes>[A-Z_, ]+)\): (?P<when>.*)", re.DOTALL)
_OF_ALL = ("DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL_ERROR", "RATE_LIMITED", "INVALID_REQUEST")
_OF_BODIES = ("MALFORMED_JSON", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
_OF_PROVEN = ("PROOF_INVALID",)
ABOUT = (
    "Lock, unlock and watch vehicles.\n\n"
    "Every answer carries `X-Correlation-ID`. Send your own with POST and PUT: for 24 hours the same id and the same "
    "body get the first answer, so that a request whose answer was lost is repeated safely. Refusals are problem "
    "documents (RFC 9457) of one shape; `retryable` says whether the same request may succeed later, "
    "`mayHaveSucceeded` whether something may have happened all the same."
)
UNAUTHENTICATED = 401
_HEADERS: Mapping[str, Schema] = {
    "X-Correlation-ID": {
        "description": "The request's, or the one that was made for it.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "RateLimit": {
        "description": (
            "What is left of the limit, and until when (draft-ietf-httpapi-ratelimit-headers). Absent where a request "
            "is refused before it is counted, and where nothing is."
        ),
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The limit.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which to ask again. Absent where that is no use.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "RFC 6750, 9449 and 9470.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "What was accepted: the command, or what else is yet to be done.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Content-Location": {
        "description": "The command, where the answer was waited for.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Preference-Applied": {
        "description": "That the answer was waited for (RFC 7240).",
        "schema": {"type": "string"},
    },
}
_PARAMETERS: Mapping[str, Schema] = {
    "CorrelationId": {
        "name": "X-Correlation-ID",
        "in": "header",
        "description": "The request's name, and its idempotency key for 24 hours. Made when absent.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`wait=N` (RFC 7240): answer once the command has ended, or after N seconds, 30 at most.",
        "schema": {"type": "string"},
    },
    "LastEventId": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Resume after the event of this id.",
        "schema": {"type": "string", "maxLength": 128},
    },
}
_PERSONAL_DATA: Schema = {
    "type": "object",
    "properties": {
        "format": {"type": "string", "const": "ecarus-personal-data/1"},
        "exportId": {"type": "string"},
        "subject": {"type": "string", "description": "Whose it is."},
        "at": {"type": "string", "format": "date-time"},
        "rows": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/PersonalDataRow"},
        },
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What could not be asked.",
        },
        "complete": {"type": "boolean"},
    },
    "required": ["format", "exportId", "subject", "at", "rows", "missing", "complete"],
}
_PERSONAL_DATA_ROW: Schema = {
    "type": "object",
    "properties": {
        "service": {"type": "string", "description": "Which service kept it."},
        "table": {"type": "string"},
        "row": {"type": "object", "additionalProperties": True, "description": "Its columns by their names."},
    },
    "required": ["service", "table", "row"],
}
"""The file of an export: no message of the contract, but a document of its own."""
_DOCUMENTS: Mapping[str, Schema] = {
    "application/vnd.ecarus.personal-data+json": {"$ref": "#/components/schemas/PersonalDataFile"},
}
_FIELD_ERROR: Schema = {
    "type": "object",
    "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
    "required": ["field", "reason"],
}


class _Document:
    def __init__(self, contract: Contract, image: Any, rules: Any) -> None:
        self._contract = contract
        self._options = contract.options
        self._image = image
        self._schemas = SchemaSource(image, rules.field, rules.message)
        self._examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
        self._used: set[str] = set()
        self._answering: dict[str, list[str]] = {}
        """The operations that may be answered with a code."""

    def made(self) -> Schema:
        paths: dict[str, Schema] = {}
        tags = []
        for file in self._image.file:
            if file.package != DOOR_PACKAGE:
                continue
            comments = {tuple(p.path): p.leading_comments for p in file.source_code_info.location}
            for i, service in enumerate(file.service):
                tag = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", service.name.removesuffix("Service"))
                common = prose(comments.get((SERVICE_FIELD, i), ""))
                is_public = False
                for j, method in enumerate(service.method):
                    rule = method.options.Extensions[annotations_pb2.http]
                    verb = rule.WhichOneof("pattern")
                    if verb is None:
                        continue
                    is_public = True
                    said = prose(comments.get((SERVICE_FIELD, i, METHOD_FIELD, j), ""))
                    path = re.sub(r"\{(\w+)\}", lambda m: f"{{{_camel(m[1])}}}", getattr(rule, verb))
                    paths.setdefault(path, {})[verb] = self._operation(method, rule, tag, said, common)
                if is_public:
                    tags.append({"name": tag, "description": common.split("\n\n")[0]})
        if unknown := set(self._examples) - self._used:
            raise SystemExit(f"{EXAMPLES.name}: examples of no RPC: {', '.join(sorted(unknown))}")
        linked(paths, self._schemas.made)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Remote Door Control",
                "version": contract_version(),
                "summary": "Lock, unlock and watch vehicles",
                "description": ABOUT,
            },
            "servers": SERVERS,
            "security": requirements(),
            "tags": tags,
            "paths": paths,
            "components": self._components(),
        }

    def _operation(self, method: Any, rule: Any, tag: str, said: str, common: str) -> Schema:
        access = method.options.Extensions[self._options.access]
        verb = rule.WhichOneof("pattern")
        in_path = re.findall(r"\{(\w+)\}", getattr(rule, verb))
        codes = self._codes(access, f"{common}\n\n{said}", has_body=bool(rule.body))
        operation: Schema = {
            "operationId": _lower(method.name),
            "tags": [tag],
            "summary": re.split(r"(?<=\.) ", said.split("\n\n", maxsplit=1)[0], maxsplit=1)[0].rstrip("."),
            "description": self._schemas.as_json(self._description(said)),
            "x-action": access.action,
        }
        if access.step_up:
            operation["x-step-up"] = access.step_up
        if access.watches_people:
            operation["security"] = requirements(access.action)
        elif access.takes_ticket:
            operation["security"] = [*requirements(), {"ticket": []}]
        operation["parameters"] = self._parameters(method, access, in_path, rule.body)
        if rule.body:
            body = next(f for f in self._schemas.fields_of(method.input_type) if f.name == rule.body)
            operation["requestBody"] = {
                "required": True,
                "content": {
                    JSON: self._content(method.name, "request", self._schemas.of_request(body.type_name))
                },
            }
        for entry in codes:
            self._answering.setdefault(entry.code, []).append(operation["operationId"])
        operation["responses"] = {**self._answers(method, access), **self._refusals(codes)}
        return operation

    def _description(self, said: str) -> str:
        paragraphs = []
        for paragraph in said.split("\n\n"):
            lines = re.split(r" (?=[A-Z_]{5,} \([A-Z_, ]+\): )", paragraph)
            for line in lines:
                found = _REFUSES.fullmatch(line)
                if found:
                    known = [self._contract.refusals[code] for code in found["codes"].split(", ")]
                    named = ", ".join(f"{each.http_status} `{each.code}`" for each in known)
                    paragraphs.append(f"- {named}: {found['when']}")
                else:
                    paragraphs.append(line)
        return re.sub(r"\n\n(?=- )", "\n", "\n\n".join(paragraphs)).replace("\n- ", "\n\n- ", 1)

    def _codes(self, access: Any, said: str, *, has_body: bool) -> list[ProblemEntry]:
        named = {code for code in _CODE.findall(said) if code in self._contract.refusals}
        named |= {*_OF_ALL, *_OF_PROVEN, *(_OF_BODIES if has_body else ())}
        if access.step_up:
            named.add("STEP_UP_REQUIRED")
        if access.changes:
            named |= {"STORAGE_UNAVAILABLE"}
        return [entry for code, entry in self._contract.refusals.items() if code in named]

    def _parameters(self, method: Any, access: Any, in_path: list[str], body: str) -> list[Schema]:
        parameters: list[Schema] = []
        for field in self._schemas.fields_of(method.input_type):
            if field.name == body:
                continue
            schema = self._schemas.of_field(method.input_type, field, is_request=True)
            said = schema.pop("description", "")
            parameter: Schema = {
                "name": _camel(field.name),
                "in": "path" if field.name in in_path else "query",
                "required": field.name in in_path or self._schemas.is_required(field),
                "schema": schema,
            }
            if said:
                parameter["description"] = said
            if field.name == "vin":
                parameter["example"] = "KMHSH81C7LU123456"
            parameters.append(parameter)
        named = ["CorrelationId"]
        if access.may_wait:
            named.append("Prefer")
        if access.media_type == "text/event-stream":
            named.append("LastEventId")
        return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in named]

    def _answers(self, method: Any, access: Any) -> Schema:
        headers = ["X-Correlation-ID", "RateLimit", "RateLimit-Policy"]
        if method.output_type == HTTP_BODY:
            if not access.media_type:
                raise SystemExit(f"{method.name} answers with an HttpBody: say its media_type")
            content = {access.media_type: {"schema": _DOCUMENTS.get(access.media_type, {"type": "string"})}}
            return {"200": {"description": "As it is.", "headers": _referred(headers), "content": content}}
        schema = self._schemas.of_answer(method.output_type)
        answer = {JSON: self._content(method.name, "response", schema)}
        if not access.answers_accepted:
            return {"200": {"description": "Done.", "headers": _referred(headers), "content": answer}}
        accepted = {
            "description": "Accepted, and stored durably.",
            "headers": _referred(
                [*headers, "Location", *(["Preference-Applied"] if access.may_wait else [])]
            ),
            "content": answer,
        }
        if not access.may_wait:
            return {"202": accepted}
        ended = self._schemas.of_answer(f".{DOOR_PACKAGE}.DoorCommandDetails")
        waited = {
            "description": "The end, which was waited for (`Prefer: wait=N`).",
            "headers": _referred([*headers, "Location", "Content-Location", "Preference-Applied"]),
            "content": {JSON: {"schema": ended}},
        }
        return {"200": waited, "202": accepted}

    def _content(self, rpc: str, which: str, schema: Schema) -> Schema:
        examples = self._examples.get(rpc, {})
        self._used.add(rpc)
        return {"schema": schema, **({"example": examples[which]} if which in examples else {})}

    def _refusals(self, codes: Iterable[ProblemEntry]) -> Schema:
        by_status: dict[int, list[ProblemEntry]] = {}
        for entry in codes:
            by_status.setdefault(entry.http_status, []).append(entry)
        responses: Schema = {}
        for status, entries in sorted(by_status.items()):
            headers = ["X-Correlation-ID", "RateLimit", "RateLimit-Policy", "Retry-After"]
            headers += ["WWW-Authenticate"] if status == UNAUTHENTICATED else []
            responses[str(status)] = {
                "description": "\n".join(f"- `{entry.code}`: {entry.when}" for entry in entries),
                "headers": _referred(headers),
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                "x-codes": [entry.code for entry in entries],
            }
        responses["default"] = {
            "description": "Whatever the edge refuses by itself, as headers that are too large (431).",
            "headers": _referred(["X-Correlation-ID"]),
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        return responses

    def _components(self) -> Schema:
        results = {"type": "array", "items": self._schemas.of_answer(f".{DOOR_PACKAGE}.DoorResult")}
        problem: Schema = {
            "type": "object",
            "description": "Why a request was refused (RFC 9457), and whether something may have happened.",
            "properties": {
                "type": {"type": "string", "format": "uri", "example": f"{TYPE_BASE}command-in-progress"},
                "title": {"type": "string"},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": "string", "description": "What happened, and what to do next."},
                "instance": {"type": "string", "description": "The request's path, as it was asked for."},
                "code": {
                    "type": "string",
                    "enum": list(self._contract.refusals),
                    "description": (
                        "Why. Each response names in `x-codes` those it may have; take one that you do not know, of a "
                        "newer service, by its `status` and `retryable`."
                    ),
                },
                "correlationId": {"type": "string"},
                "commandId": {"type": "string"},
                "retryable": {"type": "boolean", "description": "The same request may succeed later."},
                "mayHaveSucceeded": {"type": "boolean", "description": "It may have been carried out."},
                "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
                "doorResults": results,
                "acrValues": {
                    "type": "string",
                    "description": "The classes of sign-in that will do, with spaces.",
                },
                "maxAge": {"type": "integer", "description": "Seconds."},
            },
            "required": ["type", "title", "status", "detail", "code"],
            "x-problems": [
                {
                    "code": entry.code,
                    "status": entry.http_status,
                    "title": entry.title,
                    "when": entry.when,
                    "retryable": entry.retryable,
                    "mayHaveSucceeded": entry.may_have_acted,
                    "grpcCode": entry.grpc_code,
                    "remedy": entry.remedy,
                    "guidance": entry.guidance,
                    "operations": self._answering.get(entry.code, []),
                }
                for entry in self._contract.refusals.values()
            ],
        }
        return {
            "schemas": {
                "Problem": problem,
                "FieldError": _FIELD_ERROR,
                "PersonalDataFile": _PERSONAL_DATA,
                "PersonalDataRow": _PERSONAL_DATA_ROW,
                **self._schemas.made,
            },
            "parameters": dict(_PARAMETERS),
            "headers": dict(_HEADERS),
            "securitySchemes": SCHEMES,
        }


def document(contract: Contract, image: Any, rules: Any) -> str:
    """Return the document as JSON.

    `image` is the descriptor set with its comments, `rules` the generated module of buf.validate. Raises SystemExit
    where the contract lacks what has to be said.
    """
    made = _Document(contract, image, rules).made()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _referred(headers: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
