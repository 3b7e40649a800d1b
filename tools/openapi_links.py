"""OpenAPI links: which operation goes on with what another one's answer names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.openapi_schemas import Schema

_JSON = "application/json"
_OF_VEHICLES = "vin"
"""Nearly every operation takes one, and nearly every answer has it: no link is made of it alone."""


def linked(paths: Mapping[str, Mapping[str, Schema]], components: Mapping[str, Schema]) -> None:
    """Add to each operation that makes or lists something the links to those which take its id in their path."""
    operations = [(path, operation) for path, by_method in paths.items() for operation in by_method.values()]
    for path, operation in operations:
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                continue
            named = _named(answer, components)
            links = {
                target["operationId"]: {"operationId": target["operationId"], "parameters": parameters}
                for other, target in operations
                if (parameters := _parameters(path, other, named))
            }
            for other, target in operations:
                if (body := _body(path, other, operation, target, named, components)) is not None:
                    own = {name: f"$request.path.{name}" for name in _in_path(other)}
                    links[target["operationId"]] = {
                        "operationId": target["operationId"],
                        "parameters": own,
                        "requestBody": body,
                    }
            if links:
                answer["links"] = links


def _parameters(source: str, target: str, named: Mapping[str, str]) -> dict[str, str] | None:
    """Return where the parameters of the target's path come from; None where not all of them are known."""
    own, wanted = _in_path(source), _in_path(target)
    new = [name for name in wanted if name not in own]
    if not new or _OF_VEHICLES in new or any(name not in named for name in new):
        return None
    return {name: f"$request.path.{name}" if name in own else named[name] for name in wanted}


def _body(
    source: str,
    target: str,
    made: Schema,
    wanting: Schema,
    named: Mapping[str, str],
    components: Mapping[str, Schema],
) -> Schema | None:
    """Return the target's example with the ids in it that the answer names, where it is about something that the source
    makes beside it; None where it holds none, or the source holds the same.
    """
    content = wanting.get("requestBody", {}).get("content", {}).get(_JSON, {})
    if "requestBody" not in made or _in_path(source) != _in_path(target) or "example" not in content:
        return None
    asked = dict(_members(content["schema"], components))
    sent = dict(_members(made["requestBody"]["content"][_JSON]["schema"], components))
    ids = {name: named[name] for name in asked if name.endswith("Id") and name in named and name not in sent}
    return {**content["example"], **ids} if ids else None


def _in_path(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _named(answer: Schema, components: Mapping[str, Schema]) -> dict[str, str]:
    """Return the ids in an answer by their member's name, each with the expression that finds it there."""
    schema = answer.get("content", {}).get(_JSON, {}).get("schema", {})
    found: dict[str, str] = {}
    for name, member in _members(schema, components):
        if member.get("type") == "string":
            found[name] = f"$response.body#/{name}"
        elif member.get("type") == "array":
            for inner, described in _members(member["items"], components):
                if described.get("type") == "string":
                    found.setdefault(inner, f"$response.body#/{name}/0/{inner}")
    return found


def _members(schema: Schema, components: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    referred = schema.get("$ref", "").rpartition("/")[2]
    yield from components.get(referred, schema).get("properties", {}).items()
