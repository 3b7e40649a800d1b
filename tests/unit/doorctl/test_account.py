"""`doorctl account` and `doorctl key`: what is asked of the access service, and what is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.access.v1 import access_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import account_pb2, grant_pb2

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = "key_" + "0" * 32
VIN = "KMHSH81C7LU123456"


def test_an_account_is_locked_and_unlocked(run: Any) -> None:
    locked = account_pb2.Account(principal="user-123", reason="stolen\x1b[2J phone")
    locked.locked_at.seconds = 1_768_228_200
    done, operator = run(locked, "account", "lock", "user-123", "--reason", "stolen phone")
    assert done.output == "user-123 locked 2026-01-12T14:30:00+00:00: stolen\\x1b[2J phone\n"
    assert operator.asked == [
        (
            "access",
            "LockAccount",
            contract.LockAccountRequest(principal="user-123", reason="stolen phone"),
            "operator",
        )
    ]
    done, operator = run(account_pb2.Account(principal="user-123"), "account", "unlock", "user-123")
    assert (done.exit_code, done.output) == (0, "user-123 not locked\n")
    assert (operator.asked[0][1], operator.asked[0][3]) == ("UnlockAccount", "person")
    locked.restore_requested_by = "spiffe://ecarus/team/operator/alice"
    done, operator = run(locked, "account", "unlock", "user-123")
    assert (
        "restoring asked for by spiffe://ecarus/team/operator/alice, another operator must too" in done.output
    )


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


def account(principal: str = "user-123") -> account_pb2.AccountOverview:
    overview = account_pb2.AccountOverview(account=account_pb2.Account(principal=principal))
    grant = overview.grants.add(grant_id="g-1", principal=principal, vin=VIN, role=grant_pb2.GRANT_ROLE_OWNER)
    grant.created_at.seconds = 1_768_228_200
    overview.api_keys.add(key_id=KEY_ID, principal=principal, name="garage robot")
    return overview


def test_an_account_is_shown_with_its_grants_and_keys(run: Any) -> None:
    done, operator = run(account(), "account", "show", "user-123")
    assert done.output.splitlines() == [
        "user-123 not locked",
        f"grant g-1 user-123 {VIN} OWNER not revoked",
        f"key {KEY_ID} user-123 'garage robot' not revoked",
    ]
    assert operator.asked[0][1:] == (
        "GetAccount",
        contract.GetAccountRequest(principal="user-123"),
        "operator",
    )
    done, _ = run(account(), "account", "show", "user-123", "--json")
    told = json.loads(done.output)
    assert (told["account"], told["grants"][0]["role"]) == ({"principal": "user-123"}, "OWNER")
    nothing = account_pb2.AccountOverview(account=account_pb2.Account(principal="who"))
    done, _ = run(nothing, "account", "show", "who")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nobody called 'who' is known: no grant, no API key, no lock" in done.stderr
    nothing.known = True  # a grant that has ended
    done, _ = run(nothing, "account", "show", "who")
    assert (done.exit_code, done.output) == (0, "who not locked\nno grants, no API keys\n")
    locked = account_pb2.AccountOverview(account=account_pb2.Account(principal="who"))
    locked.account.locked_at.seconds = (
        1_768_228_200  # told by a service that does not say whether it is known
    )
    done, _ = run(locked, "account", "show", "who")
    assert done.exit_code == 0


def test_accounts_are_listed_page_by_page(run: Any) -> None:
    page = contract.ListAccountsResponse()
    page.accounts.add(account=account_pb2.Account(principal="user-123"), grants=2, api_keys=1)
    done, operator = run(page, "account", "list", "--locked")
    assert done.output == "user-123 not locked, 2 grants, 1 API keys\n"
    assert operator.asked[0][2] == contract.ListAccountsRequest(page_size=200, locked_only=True)


def test_an_issued_key_is_shown_once_under_a_persons_name(run: Any) -> None:
    made = contract.IssueApiKeyResponse(key="sk_secret")
    made.api_key.key_id, made.api_key.principal, made.api_key.name = KEY_ID, "user-123", "garage robot"
    words = ["key", "issue", "user-123", "--name", "garage robot", "--valid", "90d"]
    done, operator = run(made, *words)
    assert done.output == f"{KEY_ID} user-123 'garage robot' not revoked\nsk_secret\n"
    request = contract.IssueApiKeyRequest(
        principal="user-123", name="garage robot", valid_seconds=90 * 86_400, source="WEB"
    )
    assert operator.asked == [("access", "IssueApiKey", request, "person")]
    done, _ = run(made, *words, "--source", "voice-assistant", "--json")
    assert json.loads(done.output)["key"] == "sk_secret"
    pending = account_pb2.ApiKey(key_id=KEY_ID, principal="user-123", pending=True, requested_by="spiffe://a")
    done, _ = run(contract.ListApiKeysResponse(keys=[pending]), "key", "list", "user-123")
    assert "PENDING: asked for by spiffe://a, another operator must approve it" in done.output


def test_a_key_is_created_for_what_is_named_and_for_vehicles(run: Any) -> None:
    made = contract.IssueApiKeyResponse(key="sk_secret")
    made.api_key.key_id, made.api_key.principal = KEY_ID, "user-123"
    made.api_key.scopes.extend(["door.read", "door.unlock"])
    made.api_key.vins.append("KMHSH81C7LU123456")
    made.api_key.last_used_at.seconds = 1_768_228_200
    words = ["--scope", "door.unlock", "--scope", "door.read", "--vin", "kmhsh81c7lu123456"]
    done, operator = run(made, "key", "create", "user-123", "--name", "robot", "--valid", "1d", *words)
    assert done.output == (
        f"{KEY_ID} user-123 not revoked for door.read door.unlock on KMHSH81C7LU123456, "
        "used 2026-01-12T14:30:00+00:00\nsk_secret\n"
    )
    request = operator.asked[0][2]
    assert (list(request.scopes), list(request.vins)) == (
        ["door.unlock", "door.read"],
        ["KMHSH81C7LU123456"],
    )


def test_a_key_is_given_an_earlier_end(run: Any) -> None:
    key = account_pb2.ApiKey(key_id=KEY_ID, principal="user-123")
    done, operator = run(key, "key", "expire", KEY_ID, "--in", "8h")
    assert (done.exit_code, operator.asked) == (
        0,
        [
            (
                "access",
                "ExpireApiKey",
                contract.ExpireApiKeyRequest(key_id=KEY_ID, valid_seconds=28_800),
                "operator",
            )
        ],
    )


def test_a_key_is_approved(run: Any) -> None:
    key = account_pb2.ApiKey(key_id=KEY_ID, principal="user-123")
    done, operator = run(key, "key", "approve", KEY_ID)
    assert (done.exit_code, operator.asked[0][1:]) == (
        0,
        ("ApproveApiKey", contract.ApproveApiKeyRequest(key_id=KEY_ID), "person"),
    )
    key.revoked_at.seconds = 1_768_228_200
    done, _ = run(key, "key", "approve", KEY_ID)
    assert done.exit_code == 1
    assert "was revoked before" in done.stderr


def test_a_time_that_is_none_asks_nobody(run: Any) -> None:
    for valid in ("90", "d", "-1d", "0d", "1.5h", "9 d", ""):
        done, operator = run(None, "key", "issue", "user-123", "--name", "x", "--valid", valid)
        assert (done.exit_code, operator.asked) == (2, []), valid
        assert "as in 8h or 90d" in " ".join(done.stderr.replace("\u2502", " ").split())
