"""`doorctl account` and `doorctl key`: what is asked of the access service, and what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import account_pb2
from typer.testing import CliRunner

from doorctl.__main__ import app

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = "key_" + "0" * 32


class FakeOperator:
    """Answers with what it was given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    def ask(self, service: str, rpc: str, request: Any, _answer: Any) -> Any:
        self.asked.append((service, rpc.rpartition("/")[2], request))
        return self.answer


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def with_answer(answer: Any, *words: str) -> tuple[Any, FakeOperator]:
        operator = FakeOperator(answer)
        monkeypatch.setattr(
            "doorctl.operator_channel.Operator.from_environment", lambda _environment: operator
        )
        return CliRunner().invoke(app, list(words)), operator

    return with_answer


def test_an_account_is_locked_and_unlocked(run: Any) -> None:
    locked = account_pb2.Account(principal="user-123", reason="stolen\x1b[2J phone")
    locked.locked_at.seconds = 1_768_228_200
    done, operator = run(locked, "account", "lock", "user-123", "--reason", "stolen phone")
    assert done.output == "user-123 locked 2026-01-12T14:30:00+00:00: stolen\\x1b[2J phone\n"
    assert operator.asked == [
        ("access", "LockAccount", contract.LockAccountRequest(principal="user-123", reason="stolen phone"))
    ]
    done, operator = run(account_pb2.Account(principal="user-123"), "account", "unlock", "user-123")
    assert (done.exit_code, done.output) == (0, "user-123 not locked\n")
    assert operator.asked[0][1] == "UnlockAccount"


def test_a_key_is_revoked_by_its_id_or_by_itself(run: Any, tmp_path: Path) -> None:
    revoked = account_pb2.ApiKey(key_id=KEY_ID, principal="user-123")
    revoked.revoked_at.seconds = 1_768_228_200
    done, operator = run(revoked, "key", "revoke", KEY_ID)
    assert done.output == f"{KEY_ID} user-123 revoked 2026-01-12T14:30:00+00:00\n"
    assert operator.asked[0][2] == contract.RevokeApiKeyRequest(key_id=KEY_ID)
    found = tmp_path / "found.txt"
    found.write_text("sk_leaked\n")
    done, operator = run(revoked, "key", "revoke", "--key-file", str(found))
    assert done.exit_code == 0
    assert operator.asked[0][2] == contract.RevokeApiKeyRequest(key="sk_leaked")


def test_keys_are_listed_without_the_keys(run: Any) -> None:
    key = account_pb2.ApiKey(key_id=KEY_ID, principal="user-123")
    key.expires_at.seconds = 1_768_228_200
    done, _ = run(contract.ListApiKeysResponse(keys=[key]), "key", "list", "user-123")
    assert done.output == f"{KEY_ID} user-123 not revoked ends 2026-01-12T14:30:00+00:00\n"


def test_which_key_must_be_said_once(run: Any, tmp_path: Path) -> None:
    for words in ([], [KEY_ID, "--key-file", str(tmp_path)]):
        done, operator = run(None, "key", "revoke", *words)
        assert (done.exit_code, operator.asked) == (1, [])
        assert "say which key" in done.stderr
    done, operator = run(None, "key", "revoke", "--key-file", str(tmp_path / "nothing"))
    assert (done.exit_code, operator.asked) == (1, [])
