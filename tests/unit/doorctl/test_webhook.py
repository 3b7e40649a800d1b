"""`doorctl webhook`: everybody's webhooks, and stopping one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ecarus.remotecontrol.access.v1 import webhook_operator_service_pb2 as contract
from google.protobuf.json_format import ParseDict

from doorctl.operator_channel import OperationError

STOPPED = {
    "principal": "user-123",
    "webhookId": "mine",
    "host": "partner.example",
    "state": "DISABLED",
    "disabledReason": "OPERATOR",
    "disabledAt": datetime(2026, 11, 27, 8, tzinfo=UTC).isoformat(),
}
BUSY = {
    "principal": "partner-7",
    "apiKeyId": "key_77",
    "webhookId": "hook",
    "host": "other.example:8443",
    "state": "ACTIVE",
    "failures": 3,
    "lastFailure": "STATUS_503",
    "waiting": "1200",
    "oldestWaitingAt": datetime(2026, 11, 27, 7, tzinfo=UTC).isoformat(),
}


def test_they_are_listed_with_how_it_goes_and_there_may_be_more(run: Any) -> None:
    told = {"webhooks": [BUSY, STOPPED], "nextPageToken": "abc"}
    answer = ParseDict(told, contract.ListAllWebhooksResponse())
    done, operator = run(answer, "webhook", "list", "--limit", "2", "--page", "x", "--principal", "user-123")
    assert done.stdout.splitlines() == [
        "partner-7 hook --key key_77 other.example:8443 ACTIVE, failed 3 times in a row: STATUS_503,"
        " 1,200 wait, the oldest since 2026-11-27T07:00:00+00:00",
        "user-123 mine partner.example DISABLED, OPERATOR since 2026-11-27T08:00:00+00:00",
    ]
    assert done.stderr == "there are more: --page abc\n"
    request = contract.ListAllWebhooksRequest(principal="user-123", page_size=2, page_token="x")
    assert operator.asked == [("notification", "ListAllWebhooks", request, "operator")]
    done, _ = run(answer, "webhook", "list", "--json")
    assert [each["webhookId"] for each in json.loads(done.stdout)["webhooks"]] == ["hook", "mine"]
    done, _ = run(contract.ListAllWebhooksResponse(), "webhook", "list")
    assert (done.stdout, done.stderr) == ("no webhooks\n", "")
    done, operator = run(answer, "webhook", "list", "--limit", "201")
    assert (done.exit_code, operator.asked) == (2, [])


def test_one_is_stopped_for_a_reason_that_must_be_said(run: Any) -> None:
    answer = ParseDict(STOPPED, contract.OperatedWebhook())
    done, operator = run(
        answer, "webhook", "stop", "user-123", "mine", "--key", "key_77", "--reason", "posts to a stranger"
    )
    assert done.output == "user-123 mine partner.example DISABLED, OPERATOR since 2026-11-27T08:00:00+00:00\n"
    request = contract.StopWebhookRequest(
        principal="user-123", api_key_id="key_77", webhook_id="mine", reason="posts to a stranger"
    )
    assert operator.asked == [("notification", "StopWebhook", request, "operator")]
    done, operator = run(answer, "webhook", "stop", "user-123", "mine")
    assert (done.exit_code, operator.asked) == (2, [])


def test_it_is_enabled_under_ones_own_name(run: Any) -> None:
    answer = ParseDict({**STOPPED, "state": "PENDING"}, contract.OperatedWebhook())
    done, operator = run(answer, "webhook", "enable", "user-123", "mine")
    assert done.exit_code == 0
    request = contract.EnableStoppedWebhookRequest(principal="user-123", webhook_id="mine")
    assert operator.asked == [("notification", "EnableStoppedWebhook", request, "person")]


def test_what_is_refused_is_said_and_the_words_of_others_stay_on_their_line(run: Any) -> None:
    done, _ = run(OperationError("there is none"), "webhook", "stop", "a", "b", "--reason", "c")
    assert (done.exit_code, done.stderr) == (1, "doorctl: there is none\n")
    hostile = ParseDict({**STOPPED, "principal": "a\n\x1b[2Jb"}, contract.OperatedWebhook())
    done, _ = run(hostile, "webhook", "stop", "a", "b", "--reason", "c")
    assert done.stdout.count("\n") == 1
    assert "\x1b" not in done.stdout
