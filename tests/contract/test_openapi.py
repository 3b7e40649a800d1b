"""The OpenAPI document: valid, whole, and what the specification shows. That answers are as it says is looked at in
every test that asks a running mesh (tests/support/described_answers.py).
"""

from __future__ import annotations

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
    ],
)
def test_an_answer_that_is_not_as_described_is_found(response: httpx.Response, said: str) -> None:
    assert said in str(fault_of(response))


def test_what_nothing_describes_is_not_judged() -> None:
    assert fault_of(answered(404, {}, "nothing")) is None
