"""What a forgiving transcoder would let through is refused, with its place."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.access.adapters import rest_request
from services.platform.errors import Refusal
from tests.unit.access.rest_checks import CANCEL, CONFIG, HISTORY, UNLOCK, VIN, check, refused, route

if TYPE_CHECKING:
    from services.access.adapters.routes import Route


@pytest.mark.parametrize(
    ("where", "body"),
    [
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": "NORMAL"}'),
        (route("lock", "POST"), '{"targetDoors": ["all"], "lockMode": "SECURE"}'),
        (CANCEL, '{"correlationId": "uuid-12345678", "reason": "User cancellation", "force": false}'),
        (
            CONFIG,
            '{"autoLockEnabled": true, "autoLockDelay": 30, "unlockMode": "DRIVER_ONLY", "childLockEnabled": false}',
        ),
        (
            CONFIG,
            '{"autoLockDelay": 30, "application": {"state": "APPLIED", "desiredVersion": 1, "appliedVersion": 1, '
            '"leftOut": {"settings": ["childLockEnabled"], "reason": "none fitted"}}}',
        ),
        (UNLOCK, '{"targetDoors": ["all"], "vin": "kmhsh81c7lu123456"}'),
        (UNLOCK, ' {"targetDoors": ["trunk"]}\n'),
    ],
)
def test_sound_bodies_pass(where: Route, body: str) -> None:
    check(where, body)


@pytest.mark.parametrize(
    ("where", "body", "fields"),
    [
        (UNLOCK, '{"targetDoors": ["all"], "extra": 1}', ["extra"]),
        (UNLOCK, '{"target_doors": ["all"]}', ["target_doors", "targetDoors"]),
        (
            UNLOCK,
            '{"targetDoors": ["driver", "bogus"], "x": 1, "unlockMode": 3}',
            ["x", "unlockMode", "targetDoors[1]"],
        ),
        (CONFIG, '{"autoLockDelay": 3, "speedLockThreshold": "15"}', ["speedLockThreshold", "autoLockDelay"]),
        (UNLOCK, '{"targetDoors": "all"}', ["targetDoors"]),
        (UNLOCK, '{"targetDoors": null}', ["targetDoors"]),
        (UNLOCK, '{"targetDoors": ["all", 1, null]}', ["targetDoors[1]", "targetDoors[2]"]),
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": 1}', ["unlockMode"]),
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": "normal"}', ["unlockMode"]),
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": "UNSPECIFIED"}', ["unlockMode"]),
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": null}', ["unlockMode"]),
        (UNLOCK, '{"targetDoors": ["all"], "unlockMode": ["NORMAL"]}', ["unlockMode"]),
        (UNLOCK, '{"targetDoors": ["\\ud800"]}', ["targetDoors[0]"]),
        (UNLOCK, '{"targetDoors": ["all"], "vin": "KMHSH81C7LU654321"}', ["vin"]),
        (UNLOCK, '{"targetDoors": ["all"], "vin": 7}', ["vin"]),
        (UNLOCK, '{"unlock": {"targetDoors": ["all"]}}', ["unlock", "targetDoors"]),
        (
            CANCEL,
            '{"correlationId": 7, "reason": {}, "force": "false"}',
            ["correlationId", "reason", "force"],
        ),
        (CONFIG, '{"autoLockDelay": 30.5}', ["autoLockDelay"]),
        (CONFIG, '{"autoLockDelay": "30"}', ["autoLockDelay"]),
        (CONFIG, '{"autoLockDelay": true}', ["autoLockDelay"]),
        (CONFIG, '{"autoLockDelay": 2147483648}', ["autoLockDelay"]),
        (CONFIG, '{"autoLockDelay": ' + "9" * 5000 + "}", ["autoLockDelay"]),
        (CONFIG, '{"autoLockDelay": 1e400}', ["autoLockDelay"]),
        (CONFIG, '{"autoLockEnabled": 1, "updatedTime": "x"}', ["autoLockEnabled", "updatedTime"]),
        (CONFIG, '{"application": [], "autoLockDelay": 30}', ["application"]),
        (CONFIG, '{"application": {"state": 1}, "autoLockDelay": 30}', ["application"]),
        (CONFIG, '{"application": {"other": 1}, "autoLockDelay": 30}', ["application"]),
        (CONFIG, '{"application": {"leftOut": {"settings": "a"}}, "autoLockDelay": 30}', ["application"]),
        (CONFIG, '{"application": {"leftOut": {"settings": [1]}}, "autoLockDelay": 30}', ["application"]),
        (
            CONFIG,
            '{"application": {"reason": "a", "reason": "b"}, "autoLockDelay": 3}',
            ["application", "autoLockDelay"],
        ),
        (
            CONFIG,
            '{"application": {"desiredVersion": 1}, "autoLockDelay": 3, "x": 1}',
            ["x", "autoLockDelay"],
        ),
        (UNLOCK, b"", ["(body)"]),
    ],
)
def test_every_fault_in_a_body_is_named(where: Route, body: str, fields: list[str]) -> None:
    assert refused(where, body) == ("INVALID_REQUEST", fields)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"all"',
        "null",
        "7",
        "{} {}",
        "{'targetDoors': ['all']}",
        '{"targetDoors": ["all"],}',
        '{"autoLockDelay": NaN}',
        '{"autoLockDelay": -Infinity}',
        '{"targetDoors": ["a\nb"]}',
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"targetDoors": ["\xff"]}',
        "[" * 60_000,
        '{"a":' * 10_000,
    ],
)
def test_what_is_not_one_json_object_is_malformed(body: bytes | str) -> None:
    assert refused(UNLOCK, body) == ("MALFORMED_JSON", [])


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"targetDoors": ["driver"], "targetDoors": ["all"]}', "targetDoors"),
        (f'{{"vin": "{VIN}", "vin": "KMHSH81C7LU654321"}}', "vin"),
        ('{"targetDoors": ["driver"], "target\\u0044oors": ["all"]}', "targetDoors"),
    ],
)
def test_a_repeated_name_is_malformed_however_it_is_written(body: str, name: str) -> None:
    assert refused(UNLOCK, body) == ("MALFORMED_JSON", [name])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "period=24h&limit=50",
        "limit=-5&offset=0",
        "action=UNLOCK&status=FAILED&source=WEB",
        "asOf=2026-01-12T14:30:00Z",
        "asOf=2026-01-12T14%3A30%3A00.123456789+09:00",
    ],
)
def test_sound_queries_pass(query: str) -> None:
    check(HISTORY, query=query)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("vin=KMHSH81C7LU654321", ["vin"]),
        ("%76in=KMHSH81C7LU654321", ["%76in"]),
        ("v.in=1", ["v.in"]),
        ("unknown=1", ["unknown"]),
        ("as_of=2026-01-12T14:30:00Z", ["as_of"]),
        ("limit=1&limit=2", ["limit"]),
        ("limit", ["limit"]),
        ("period", ["period"]),
        ("period=", ["period"]),
        ("period&action=UNLOCK", ["period"]),
        ("limit=1.5&offset=0x10", ["limit", "offset"]),
        ("limit=%31", []),
        ("limit=99999999999", ["limit"]),
        ("limit=2147483648", ["limit"]),
        ("limit=\u0661", ["limit"]),
        ("action=1&status=failed", ["action", "status"]),
        ("action=UNSPECIFIED", ["action"]),
        ("asOf=yesterday", ["asOf"]),
        ("asOf=2026-02-30T14:30:00Z", ["asOf"]),
        ("asOf=2026-01-12T14:30:00", ["asOf"]),
        ("period=%ff", ["period"]),
        ("period=%2", ["period"]),
        ("&", ["(query)", "(query)"]),
    ],
)
def test_every_fault_in_a_query_is_named(query: str, fields: list[str]) -> None:
    if not fields:
        check(HISTORY, query=query)
        return
    assert refused(HISTORY, query=query) == ("INVALID_REQUEST", fields)


def test_commands_take_no_query_and_reads_no_body() -> None:
    assert refused(UNLOCK, '{"targetDoors": ["all"]}', query="targetDoors=trunk")[1] == ["targetDoors"]
    assert refused(UNLOCK, '{"targetDoors": ["all"]}', query="unlock.targetDoors=a")[1] == [
        "unlock.targetDoors"
    ]
    assert refused(HISTORY, f'{{"vin":"{VIN}"}}')[1] == ["(body)"]


def test_a_flood_of_faults_is_cut_short() -> None:
    body = json.dumps({f"{n}-" + "x" * 500: n for n in range(100)})
    _, fields = refused(UNLOCK, body)
    assert len(fields) == 32
    assert all(len(field) <= 65 for field in fields)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
_name = st.sampled_from(["targetDoors", "unlockMode", "vin", "autoLockDelay", "force", "reason"]) | st.text()


@given(where=st.sampled_from([UNLOCK, CONFIG, CANCEL]), members=st.dictionaries(_name, _json))
def test_any_json_is_taken_or_refused(where: Route, members: dict[str, Any]) -> None:
    _only_refusals(where, json.dumps(members).encode())


@given(where=st.sampled_from([UNLOCK, CONFIG, HISTORY]), body=st.binary(), query=st.text())
def test_any_bytes_are_taken_or_refused(where: Route, body: bytes, query: str) -> None:
    _only_refusals(where, body, query)


def _only_refusals(where: Route, body: bytes, query: str = "") -> None:
    with contextlib.suppress(Refusal):  # and nothing else
        check(where, body, query=query)


@pytest.mark.parametrize("number", ["30", "30.0", "3e1", "3E+1", "300e-1"])
def test_a_number_without_a_fraction_is_an_integer_however_it_is_written(number: str) -> None:
    check(CONFIG, f'{{"autoLockDelay": {number}}}')


@pytest.mark.parametrize("number", ["-0.0", "2147483647.0"])
def test_one_that_is_too_small_or_too_big_is_an_integer_all_the_same(number: str) -> None:
    with pytest.raises(Refusal) as caught:
        check(CONFIG, f'{{"autoLockDelay": {number}}}')
    (violation,) = caught.value.violations
    assert violation.reason.startswith("must be greater than or equal to")


@pytest.mark.parametrize(
    ("where", "body", "fields"),
    [
        (UNLOCK, '{"targetDoors": []}', ["targetDoors"]),
        (UNLOCK, '{"targetDoors": ["all", "driver"]}', ["targetDoors"]),
        (UNLOCK, '{"targetDoors": ["driver", "driver"]}', ["targetDoors"]),
        (UNLOCK, '{"targetDoors": ["boot"]}', ["targetDoors[0]"]),
        (UNLOCK, "{}", ["targetDoors"]),
        (CANCEL, '{"correlationId": "two words", "reason": "Boredom"}', ["correlationId", "reason"]),
        (CONFIG, "{}", ["(body)"]),
        (CONFIG, '{"vin": "KMHSH81C7LU123456"}', ["(body)"]),
        (CONFIG, '{"autoLockDelay": 100000}', ["autoLockDelay"]),
    ],
)
def test_what_the_contracts_rules_refuse_is_refused_before_it_is_counted(
    where: Route, body: str, fields: list[str]
) -> None:
    assert refused(where, body) == ("INVALID_REQUEST", fields)


def test_a_body_that_is_sound_for_one_rpc_is_judged_anew_for_another_that_needs_the_same_action() -> None:
    known = rest_request.SoundBodies()
    give, less = route("grants", "POST"), route("grants/g-1/narrow", "POST")
    assert give.action == less.action
    asked = {"query": "", "content_type": "application/json", "vin": VIN}
    body = b'{"kind": "DIGITAL_KEY", "principal": "user-9", "validSeconds": 600}'
    known.check(give, body=body, **asked)
    with pytest.raises(Refusal) as caught:
        known.check(less, body=body, **asked)
    assert {each.field for each in caught.value.violations} >= {"kind", "principal", "validSeconds"}


def test_of_bodies_only_sound_ones_are_remembered_and_only_with_all_that_they_were_judged_by() -> None:
    known = rest_request.SoundBodies(most=2)

    def ask(where: Route, body: bytes, **changed: Any) -> Any:
        form = {"query": "", "content_type": "application/json", "vin": VIN}
        return known.check(where, body=body, **{**form, **changed})

    body = b'{"targetDoors": ["all"]}'
    assert ask(UNLOCK, body) is ask(UNLOCK, body)
    for _ in range(2):
        for where, changed in (
            (UNLOCK, {"content_type": "text/plain"}),
            (UNLOCK, {"content_encoding": "gzip"}),
            (UNLOCK, {"query": "force=true"}),
            (CANCEL, {}),
        ):
            with pytest.raises(Refusal):
                ask(where, body, **changed)
        with pytest.raises(Refusal):
            ask(UNLOCK, b'{"targetDoors": []}')
    mine = b'{"targetDoors": ["all"], "vin": "KMHSH81C7LU123456"}'
    ask(UNLOCK, mine)
    with pytest.raises(Refusal):
        ask(UNLOCK, mine, vin="KMHSH81C7LU654321")
    first = ask(UNLOCK, body)
    for door in ("driver", "trunk", "passenger"):
        ask(UNLOCK, f'{{"targetDoors": ["{door}"]}}'.encode())
    assert ask(UNLOCK, body) is not first
    assert ask(UNLOCK, body) == first


@pytest.mark.parametrize(
    "number", ["30.5", "1e-1", "2147483648.0", "-1e300", "1e999", "-1e999", '"30"', "true"]
)
def test_other_numbers_are_not(number: str) -> None:
    assert refused(CONFIG, f'{{"autoLockDelay": {number}}}') == ("INVALID_REQUEST", ["autoLockDelay"])


@pytest.mark.parametrize("name", ["\\ud800", "a\\udfffb", "\\ud800\\ud800"])
def test_a_name_with_half_a_surrogate_pair_comes_back_as_text(name: str) -> None:
    code, fields = refused(UNLOCK, f'{{"targetDoors": ["all"], "{name}": 1}}')
    assert code == "INVALID_REQUEST"
    fields[0].encode("utf-8")
    assert "\ufffd" in fields[0]
    code, fields = refused(UNLOCK, f'{{"{name}": 1, "{name}": 2}}')
    assert code == "MALFORMED_JSON"
    fields[0].encode("utf-8")
