"""What the Python SDK (packages/python) has from the OpenAPI document: its models and a method for each operation.

A model is a frozen dataclass, an enum one that takes words it does not know; the package's `_core.codec` reads both.
What the document says in words becomes docstrings. The sync half of the package is made from the asynchronous one
(tools/sync_twin.py).
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import sync_twin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = "packages/python/src/ecarus_doors"
JSON, EVENT_STREAM = "application/json", "text/event-stream"
_WIDTH = 110
_PLAIN = {"boolean": "bool", "integer": "int", "number": "float", "object": "Mapping[str, Any]"}
_RESERVED = frozenset({"extra", "self"})
NOTE = "Generated from the OpenAPI document by `make generate`: change the contract, or tools/python_sdk.py."

Schema = dict[str, Any]


def files(document: Schema) -> dict[str, str]:
    """Return the package's generated files: their texts by their paths from the root.

    Raise ValueError where the document says something that has no form here.
    """
    made = {
        f"{PACKAGE}/models.py": _formatted(_models(document)),
        f"{PACKAGE}/_async/raw.py": _formatted(_raw(document)),
    }
    return made | sync_twin.files(Path(__file__).resolve().parent.parent / PACKAGE, made, PACKAGE)


def python_name(name: str) -> str:
    """Return what a member or a parameter is called in Python: `command_id`, `from_`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("-", "_")).lower()
    return f"{snake}_" if keyword.iskeyword(snake) or snake in _RESERVED else snake


def _formatted(code: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [str(ruff), "format", "--stdin-filename=generated.py", "-"],
        input=code,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _doc(text: str, indent: str = "    ") -> list[str]:
    """Return a docstring's lines."""
    safe = text.strip().replace("\\", "\\\\").replace('"""', "'''")
    if safe.endswith('"'):
        safe += " "
    lines: list[str] = []
    for paragraph in safe.split("\n"):
        marked = "  " if paragraph.startswith("- ") else ""
        lines += textwrap.wrap(
            paragraph, _WIDTH - len(indent), subsequent_indent=marked, break_on_hyphens=False
        ) or [""]
    if len(lines) == 1 and len(lines[0]) + len(indent) + 6 <= _WIDTH:
        return [f'{indent}"""{lines[0]}"""']
    return [f'{indent}"""{lines[0]}', *(f"{indent}{line}".rstrip() for line in lines[1:]), f'{indent}"""']


def _models(document: Schema) -> str:
    schemas: Mapping[str, Schema] = document["components"]["schemas"]
    enums = [name for name, schema in schemas.items() if "enum" in schema]
    objects = [
        name for name, schema in schemas.items() if schema.get("type") == "object" and name != "Problem"
    ]
    if left := set(schemas) - set(enums) - set(objects) - {"Problem"}:
        raise ValueError(f"neither objects nor enums: {', '.join(sorted(left))}")
    codes = schemas["Problem"]["properties"]["code"]["enum"]
    lines = [
        f'"""The messages and words of the API. {NOTE}"""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "from dataclasses import dataclass",
        "from datetime import datetime",
        "from typing import Any, Literal",
        "",
        "from ecarus_doors._core.codec import Model, Word",
        "",
        f"__all__ = {sorted([*enums, *objects, 'ErrorCode'])!r}",
        "",
        *_enum("ErrorCode", {"enum": codes, "description": _codes(schemas["Problem"])}),
    ]
    for name in enums:
        lines += _enum(name, schemas[name])
    for name in objects:
        lines += _dataclass(name, schemas[name])
    return "\n".join(lines) + "\n"


def _codes(problem: Schema) -> str:
    known = "\n".join(
        f"- `{each['code']}` ({each['status']}): {each['when']}" for each in problem["x-problems"]
    )
    return f"Why a request was refused.\n\n{known}"


def _enum(name: str, schema: Schema) -> Iterator[str]:
    yield f"class {name}(Word):"
    described: str = schema.get("description", f"One of {', '.join(schema['enum'])}.")
    said = (
        described if not described.startswith("- ") else f"One of {', '.join(schema['enum'])}.\n\n{described}"
    )
    yield from _doc(said)
    yield ""
    for word in schema["enum"]:
        yield f"    {word} = {word!r}"
    yield ""


def _dataclass(name: str, schema: Schema) -> Iterator[str]:
    required = set(schema.get("required", ()))
    is_sent = schema.get("additionalProperties") is False
    yield "@dataclass(frozen=True, slots=True, kw_only=True)"
    yield f"class {name}(Model):"
    yield from _doc(schema.get("description", f"{name}."))
    yield ""
    members: Mapping[str, Schema] = schema["properties"]
    for member in sorted(members, key=lambda each: each not in required):
        ours = python_name(member)
        _round_trip(name, member, ours)
        said = members[member]
        kind = _type(said, is_sent=is_sent)
        optional = " | None = None" if member not in required and not kind.endswith("| None") else ""
        if member not in required and kind.endswith("| None"):
            optional = " = None"
        yield f"    {ours}: {kind}{optional}"
        if described := said.get("description"):
            yield from _doc(described)
    yield ""


def _round_trip(name: str, member: str, ours: str) -> None:
    words = ours.removesuffix("_").split("_")
    if words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:]) != member:
        raise ValueError(f"{name}.{member}: {ours} is not read back as it was called")


def _type(schema: Schema, *, is_sent: bool) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[1])
    if "anyOf" in schema:
        kinds = [_type(each, is_sent=is_sent) for each in schema["anyOf"] if each.get("type") != "null"]
        return " | ".join([*kinds, "None"])
    if "enum" in schema:
        words = ", ".join(repr(word) for word in schema["enum"])
        return f"Literal[{words}]" if is_sent else "str"
    kind = schema["type"]
    if kind == "array":
        return f"Sequence[{_type(schema['items'], is_sent=is_sent)}]"
    if kind == "string":
        return "datetime" if schema.get("format") == "date-time" else "str"
    return _PLAIN[kind]


def _raw(document: Schema) -> str:
    methods: list[str] = []
    used: set[str] = set()
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            method = list(_method(document, path, verb, operation))
            methods += [*method, ""]
            used |= set(re.findall(r"\bmodels\.(\w+)", "\n".join(method)))
    return "\n".join(
        [
            f'"""Every operation of the API by its own name. {NOTE}"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import TYPE_CHECKING, Literal",
            "",
            "from ecarus_doors import models",
            "from ecarus_doors._core.calls import Call",
            "",
            "if TYPE_CHECKING:",
            "    from datetime import datetime",
            "",
            "    from ecarus_doors._async.session import AsyncSession, AsyncStreamOpening",
            "",
            "",
            "class AsyncRawDoors:",
            *_doc(
                "The API as it is: one method for each operation, with its parameters and its messages.\n\n"
                "Each raises DoorsError where it is refused. What may be repeated safely is repeated, under one "
                "`correlation_id`, which is made where none is given."
            ),
            "",
            "    def __init__(self, session: AsyncSession) -> None:",
            "        self._session = session",
            "",
            *methods,
        ]
    )


def _method(document: Schema, path: str, verb: str, operation: Schema) -> Iterator[str]:
    parameters = [_resolved(document, each) for each in operation["parameters"]]
    by_place = {
        place: [each for each in parameters if each["in"] == place] for place in ("path", "query", "header")
    }
    # A stand-in for a header is for browsers that cannot send it.
    sent = {python_name(each["name"]) for each in by_place["header"]}
    by_place["query"] = [each for each in by_place["query"] if python_name(each["name"]) not in sent]
    answers = {
        status: _answer(response)
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    result = " | ".join(dict.fromkeys(answers.values()))
    is_stream = any(
        EVENT_STREAM in response.get("content", {}) for response in operation["responses"].values()
    )
    positional = [f"{python_name(each['name'])}: str" for each in by_place["path"]]
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {}).get("schema")
    if body is not None:
        positional.append(f"body: {_qualified(_type(body, is_sent=True))}")
    named = []
    for each in by_place["query"]:
        kind = _qualified(_type(each["schema"], is_sent=True))
        named.append(f"{python_name(each['name'])}: {kind}" + ("" if each["required"] else " | None = None"))
    headers = {each["name"] for each in by_place["header"]}
    if unknown := headers - {"X-Correlation-ID", "Prefer", "Last-Event-ID"}:
        raise ValueError(f"{operation['operationId']}: no form for the headers {', '.join(sorted(unknown))}")
    if "Prefer" in headers:
        named.append("prefer: str | None = None")
    if "Last-Event-ID" in headers:
        named.append("last_event_id: str | None = None")
    named.append("correlation_id: str | None = None")
    signature = ", ".join(["self", *positional, "*", *named])
    returned = "AsyncStreamOpening" if is_stream else result
    word = "def" if is_stream else "async def"
    yield f"    {word} {python_name(operation['operationId'])}({signature}) -> {returned}:"
    summary = operation["summary"]
    yield from _doc(f"{summary}: `{verb.upper()} {path}`.\n\n{operation['description']}", " " * 8)
    yield f"        call: Call[{'str' if is_stream else result}] = Call("
    yield f"            {operation['operationId']!r}, {verb.upper()!r}, {path!r},"
    if by_place["path"]:
        yield f"            path={{{', '.join(_pair(each['name']) for each in by_place['path'])}}},"
    if by_place["query"]:
        yield f"            query={{{', '.join(_pair(each['name']) for each in by_place['query'])}}},"
    if body is not None:
        yield "            body=body,"
    pairs = [_pair(name, python_name(name)) for name in ("Prefer", "Last-Event-ID") if name in headers]
    if pairs:
        yield f"            headers={{{', '.join(pairs)}}},"
    kinds = ", ".join(f"{status}: {kind}" for status, kind in answers.items())
    yield f"            answers={{{kinds}}},"
    yield "            correlation_id=correlation_id,"
    yield "        )"
    yield f"        return {'self._session.stream' if is_stream else 'await self._session.send'}(call)"


def _pair(name: str, ours: str | None = None) -> str:
    return f"{name!r}: {ours or python_name(name)}"


def _qualified(kind: str) -> str:
    return kind if kind in {"str", "int", "bool", "float", "datetime"} or "[" in kind else f"models.{kind}"


def _answer(response: Schema) -> str:
    ((media_type, content),) = response["content"].items()
    if media_type == JSON:
        return _qualified(_type(content["schema"], is_sent=False))
    return "str" if media_type.startswith("text/") else "bytes"


def _resolved(document: Schema, parameter: Schema) -> Schema:
    if "$ref" not in parameter:
        return {"required": False, **parameter}
    return {"required": False, **document["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]}
