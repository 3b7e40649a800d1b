"""Nothing of the API is missing in the SDK, in either of its forms, and a user's script is checked with it."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import ecarus_doors
import httpx
import pytest
from ecarus_doors import Doors, DoorsSync, models
from ecarus_doors._async.raw import AsyncRawDoors
from ecarus_doors._core.codec import Model, Word, decode, json_name
from ecarus_doors._sync.raw import SyncRawDoors

from tools.python_sdk import python_name

if typing.TYPE_CHECKING:
    from tests.unit.packages.conftest import Caller, Service

ROOT = Path(__file__).parents[3]
DOCUMENT = json.loads((ROOT / "gen/openapi.json").read_text())
OPERATIONS = [
    (verb.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for verb, operation in operations.items()
]
ANSWERED = [each for each in OPERATIONS if each[2]["operationId"] != "streamDoorUpdates"]
"""All but the stream, which is in test_watching.py."""
NAMES = [operation["operationId"] for _, _, operation in OPERATIONS]


def public(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def test_every_operation_is_a_method_of_both_forms() -> None:
    expected = {python_name(name) for name in NAMES}
    assert public(AsyncRawDoors) == public(SyncRawDoors) == expected
    assert len(expected) == len(OPERATIONS) > 50


def test_both_forms_have_the_same_methods_with_the_same_arguments() -> None:
    assert {"close" if name == "aclose" else name for name in public(Doors)} == public(DoorsSync)
    for name in public(Doors) - {"aclose"}:
        ours, twin = getattr(Doors, name), getattr(DoorsSync, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(twin).parameters), name
        assert inspect.getdoc(ours)
        assert not inspect.iscoroutinefunction(twin), name


PLAIN: dict[str, Any] = {"boolean": True, "integer": 1, "number": 1.5, "string": "x"}


def stand_in(schema: dict[str, Any]) -> Any:
    """The least that a schema allows."""
    if "$ref" in schema:
        return stand_in(DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "enum" in schema or "anyOf" in schema:
        return schema.get("enum", [None])[0]
    if schema["type"] == "object":
        required = schema.get("required", ())
        return {
            name: stand_in(each) for name, each in schema.get("properties", {}).items() if name in required
        }
    if schema["type"] == "array":
        return [stand_in(schema["items"])]
    return "2026-01-12T14:30:00.000Z" if schema.get("format") == "date-time" else PLAIN[schema["type"]]


@pytest.mark.parametrize(
    ("verb", "path", "operation"), ANSWERED, ids=[each[2]["operationId"] for each in ANSWERED]
)
def test_every_operation_is_sent_where_the_document_says_and_its_answer_read(
    caller: Caller, verb: str, path: str, operation: dict[str, Any]
) -> None:
    answers = {s: r["content"] for s, r in operation["responses"].items() if s.startswith("2")}
    for status, content in answers.items():
        ((media_type, described),) = content.items()
        document = described.get("example") or stand_in(described["schema"])
        text = json.dumps(document) if media_type == "application/json" else "as,it,is\r\n"
        doors, service = caller.client(
            httpx.Response(int(status), content=text, headers={"Content-Type": media_type})
        )
        method = getattr(doors.raw, python_name(operation["operationId"]))
        arguments = dict.fromkeys(re.findall(r"\{(\w+)\}", path), "x1")
        given = {python_name(name): value for name, value in arguments.items()}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body:
            kind = typing.get_type_hints(
                type(method.__self__).__dict__[method.__name__],
                vars(models)
                | {
                    "models": models,
                    "Literal": typing.Literal,
                    "datetime": object,
                },
            )["body"]
            sent = body.get("example") or stand_in(body["schema"])
            given["body"] = decode(kind, sent)
        answer = caller.do(method(**given))
        assert_asked(service, verb, path.format(**arguments), sent if body else None)
        if isinstance(answer, Model):
            assert json.loads(json.dumps(answer.to_json())) == _without_nulls(document)
            assert not answer.extra
        else:
            assert answer == (text if media_type.startswith("text/") else text.encode())


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return re.sub(r"(T[0-9:]{8})Z$", r"\1.000Z", value) if isinstance(value, str) else value


def assert_asked(service: Service, verb: str, path: str, body: Any) -> None:
    (request,) = service.requests
    assert (request.method, request.url.path) == (verb, path)
    assert (json.loads(request.content) if request.content else None) == body


def test_every_message_and_word_of_the_document_is_a_model() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name, schema in schemas.items():
        if name == "Problem":
            continue
        found = getattr(models, name)
        if "enum" in schema:
            assert issubclass(found, Word)
            assert [each.value for each in found] == schema["enum"]
        else:
            fields = {json_name(each) for each in found.__dataclass_fields__} - {"extra"}
            assert fields == set(schema["properties"]), name
    assert [each.value for each in models.ErrorCode] == schemas["Problem"]["properties"]["code"]["enum"]


def test_the_package_depends_on_nothing_of_the_repository() -> None:
    code = "import sys, ecarus_doors; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT / 'packages/python/src')!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    loaded = set(done.stdout.split())
    ours = {"services", "protocol", "gateway", "tools", "mesh", "ecarus"}
    assert not loaded & {*ours, "google", "grpc", "typer", "cryptography"}


def test_what_is_exported_is_there() -> None:
    for name in ecarus_doors.__all__:
        assert hasattr(ecarus_doors, name)


SCRIPT = """
import asyncio
from ecarus_doors import Doors, DoorsError, DoorsSync, StepUpChallenge
from ecarus_doors.models import CommandStatus, DoorUnlock

async def step_up(challenge: StepUpChallenge) -> str | None:
    return challenge.acr_values

async def main(vin: str) -> None:
    async with Doors("https://api.example", token=lambda: "t", on_step_up=step_up) as doors:
        result = await doors.unlock(vin, ["driver", "trunk"], wait=30)
        reveal_type(result.status)
        reveal_type((await doors.status(vin)).doors)
        reveal_type(await doors.raw.unlock_doors(vin, DoorUnlock(target_doors=["all"])))
        async for event in doors.watch(vin):
            reveal_type(event)
        async for entry in doors.history_entries(vin, period="7d"):
            reveal_type(entry.failure_reason)

def plain(vin: str) -> CommandStatus:
    with DoorsSync("https://api.example", api_key="k", on_step_up=lambda challenge: None) as doors:
        for event in doors.watch(vin):
            reveal_type(event.data)
        try:
            return doors.lock(vin, wait=30).raise_for_status().status
        except DoorsError as error:
            reveal_type(error.may_have_succeeded)
            raise

asyncio.run(main("x"))
"""
REVEALED = [
    "ecarus_doors.models.CommandStatus",
    "ecarus_doors.models.Doors | None",
    "ecarus_doors.models.DoorCommandDetails | ecarus_doors.models.DoorCommand",
    "ecarus_doors._core.events.Event",
    "ecarus_doors.models.FailureReason | None",
    "typing.Mapping[str, Any]",
    "bool",
]


@pytest.mark.timeout(300)
def test_a_users_script_is_checked_strictly(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from ecarus_doors import DoorsSync\n"
        'doors = DoorsSync("https://api.example", token="t")\n'
        'doors.unlock("x", "bonnet")\n'
        'doors.history("x", period="2h")\n'
    )
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {ROOT / 'packages/python/src'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(config),
         "--cache-dir", str(Path(sys.prefix) / "mypy-of-a-user"),
         "script.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    revealed = re.findall(r'Revealed type is "([^"]+)"', done.stdout)
    assert [each.replace("builtins.", "") for each in revealed] == REVEALED
    faults = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[:2] for line in faults] == [["wrong.py", "3"], ["wrong.py", "4"]]
