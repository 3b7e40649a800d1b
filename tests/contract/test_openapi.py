"""The OpenAPI document: valid, whole, and what the specification shows. That answers are as it says is looked at in
every test that asks a running mesh (tests/support/described_answers.py).
"""

from __future__ import annotations

import re

import httpx
import openapi_spec_validator
import pytest
from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason
from jsonschema import Draft202012Validator

from tests.support.described_answers import document, fault_of
from tools.contract_blocks import BASE_PATH

VIN = "KMHSH81C7LU123456"
OF_THE_SPECIFICATION = {
    ("post", "/unlock"),
    ("post", "/lock"),
    ("get", "/status"),
    ("post", "/cancel"),
    ("get", "/history"),
    ("get", "/config"),
    ("put", "/config"),
    ("get", "/diagnostics"),
    ("get", "/updates/stream"),
}
OPERATIONS = [
    (path, method, operation)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
]
EXAMPLES = [
    pytest.param(content, id=f"{operation['operationId']}-{which}")
    for _, _, operation in OPERATIONS
    for which, described in {"request": operation.get("requestBody"), **operation["responses"]}.items()
    for content in (described or {}).get("content", {}).values()
    if "example" in content
]


def answered(
    status: int, body: object, path: str = "status", media_type: str = "application/json"
) -> httpx.Response:
    url = f"http://127.0.0.1{BASE_PATH.replace('{vin}', VIN)}/{path}"
    return httpx.Response(
        status, json=body, headers={"content-type": media_type}, request=httpx.Request("GET", url)
    )


def test_it_is_valid() -> None:
    openapi_spec_validator.validate(document())


def test_it_has_what_the_specification_lists() -> None:
    there = {(method, path.removeprefix(BASE_PATH)) for path, method, _ in OPERATIONS}
    assert there >= OF_THE_SPECIFICATION


def test_operations_have_names_of_their_own_and_words_for_people() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert all(operation["summary"] and operation["description"] for _, _, operation in OPERATIONS)


def test_every_refusal_is_a_code_that_a_problem_may_have() -> None:
    codes = set(document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    assert codes == {name for name, number in ErrorReason.items() if number}


@pytest.mark.parametrize("content", EXAMPLES)
def test_the_specifications_examples_are_of_their_schemas(content: dict[str, object]) -> None:
    schema = {**content["schema"], "components": document()["components"]}  # type: ignore[dict-item]
    Draft202012Validator(schema).validate(content["example"])


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (answered(418, {}), "no status 418"),
        (answered(200, {}, media_type="text/html"), "not as 'text/html'"),
        (answered(200, {"vin": 7}), "$.vin: 7 is not of type 'string'"),
        (answered(200, {}, "history"), "'vin' is a required property"),
        (
            answered(404, {"code": "DOOR_OPEN"}, media_type="application/problem+json"),
            "'type' is a required property",
        ),
        (
            answered(
                404,
                {"type": "x:y", "title": "t", "status": 404, "detail": "d", "code": "DOOR_OPEN"},
                media_type="application/problem+json",
            ),
            "DOOR_OPEN is no code that is described of it",
        ),
    ],
)
def test_an_answer_that_is_not_as_described_is_found(response: httpx.Response, said: str) -> None:
    assert said in str(fault_of(response))


def test_a_header_that_is_not_described_is_found() -> None:
    response = answered(
        404,
        {"type": "x:y", "title": "t", "status": 404, "detail": "d", "code": "VEHICLE_NOT_FOUND"},
        media_type="application/problem+json",
    )
    assert fault_of(response) is None
    response.headers["X-Secret"] = "1"
    assert "no header x-secret" in str(fault_of(response))


def test_what_is_sent_is_described_apart_from_what_is_answered() -> None:
    schemas = document()["components"]["schemas"]
    sent, answered_with = schemas["NotificationPreferencesInput"], schemas["NotificationPreferences"]
    assert (sent["properties"]["language"]["enum"], sent["additionalProperties"]) == (["en", "ko"], False)
    assert "enum" not in answered_with["properties"]["language"]
    assert "ignoredPlaces" in answered_with["required"]
    assert "ignoredPlaces" not in sent.get("required", [])


@pytest.mark.parametrize(("schema", "member"), [("DoorGrantOffer", "kind"), ("NewPushDevice", "kind")])
def test_a_word_that_must_be_given_is_required(schema: str, member: str) -> None:
    assert member in document()["components"]["schemas"][schema]["required"]


def test_every_id_in_a_path_is_one_that_an_answer_links_to() -> None:
    linked = {
        name
        for _, _, operation in OPERATIONS
        for answer in operation["responses"].values()
        for name in answer.get("links", {})
    }
    given_by_the_caller = {"vin", "caseNumber", "purpose", "deviceId"}
    taking = {
        operation["operationId"]
        for path, _, operation in OPERATIONS
        if set(re.findall(r"\{(\w+)\}", path)) - given_by_the_caller
    }
    assert taking <= linked
    names = {operation["operationId"] for _, _, operation in OPERATIONS}
    assert linked <= names


def test_the_link_from_a_command_cancels_that_very_command() -> None:
    unlock = next(operation for _, _, operation in OPERATIONS if operation["operationId"] == "unlockDoors")
    link = unlock["responses"]["202"]["links"]["cancelCommand"]
    assert link["requestBody"]["correlationId"] == "$response.body#/correlationId"
    assert link["parameters"] == {"vin": "$request.path.vin"}


def test_all_refusals_are_one_schema_and_each_names_its_codes() -> None:
    for _, _, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")):
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}
                assert answer["x-codes"]


def test_each_request_with_a_body_has_an_example() -> None:
    bodies = [
        operation["requestBody"]["content"] for _, _, operation in OPERATIONS if "requestBody" in operation
    ]
    assert all("example" in content for body in bodies for content in body.values())


def test_what_nothing_describes_is_not_judged() -> None:
    assert fault_of(answered(404, {}, "nothing")) is None
