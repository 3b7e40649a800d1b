"""Abnormal access: accounts that are restricted, what they still do, who is told, and the way back."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.access.v1.access_service_pb2_grpc import AccessServiceStub
from ecarus.remotecontrol.door.v1 import door_grant_service_pb2 as rpc
from ecarus.remotecontrol.door.v1.door_grant_pb2 import AccountState
from structlog.testing import capture_logs

import services.access
from services.access.adapters.outbox_messages import AccessMessages
from services.access.adapters.signal_log import SignalLog, log_lost_findings
from services.access.adapters.store import abnormal
from services.access.adapters.store.tables import HEAD
from services.access.domain.abnormal import (
    AbnormalKind,
    AbnormalRule,
    AbnormalWatch,
    AccessSignal,
    Consequence,
    Finding,
    Outcome,
)
from services.access.usecases.abnormal import AbnormalAccess
from services.platform.database import open_database
from services.platform.storage import StorageUnavailableError
from tests.contract.access.access_service import FOREIGN, VIN, CheckEdge, door, problem_in, utc_now
from tests.contract.access.door_of_rights import DoorOfRights, RefusedError, alerts, reason_of
from tests.support.databases import migrated


@pytest.fixture
def rules() -> dict[AbnormalKind, AbnormalRule]:
    return {
        AbnormalKind.VIN_ENUMERATION: AbnormalRule(3, 600, Consequence.RESTRICT),
        AbnormalKind.FAILED_SIGN_INS: AbnormalRule(3, 600),
        AbnormalKind.UNLOCK_BURST: AbnormalRule(3, 600),
    }


@pytest.fixture
def rates() -> dict[str, int]:
    return dict.fromkeys(("command", "cancel", "read", "refused", "unknown", "failed"), 1_000)


async def enumerate_vins(rights: DoorOfRights, watched: list[Any], who: str = "user-123") -> None:
    for n in range(4):
        headers = {"authorization": f"Bearer {rights.issuer.token(who)}"}
        answer = await rights.check(door("status", f"KMHSH81C7LU00000{n}"), headers=headers)
        assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()


async def test_who_tries_vehicles_is_restricted_and_restores_the_account(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any
) -> None:
    await enumerate_vins(rights, watched)
    refused = await rights.may("user-123")
    assert refused is not None
    assert (refused["code"], "restore" in refused["detail"]) == ("ACCOUNT_RESTRICTED", True)
    assert await rights.may("user-123", "lock") is None
    assert await rights.may("user-123", "status") is None
    assert await rights.may("user-123", "diagnostics") is None
    woken = await rights.may("user-123", "diagnostics/check")
    assert woken is not None
    assert woken["code"] == "ACCOUNT_RESTRICTED"
    codes = [update.system_alert.code for update in alerts(sent)]
    assert codes == ["ACCESS_RESTRICTED"]
    told = alerts(sent)[0].system_alert.message
    assert "because its use was abnormal." in told
    assert "600" not in told
    service, _ = access
    questions = [
        access_service_pb2.GrantQuestion(subject="user-123", vin=VIN, action=action)
        for action in ("door.unlock", "door.lock")
    ]
    async with service.channel("room/signer") as channel:  # a queued unlock is not signed, a lock is
        asked = access_service_pb2.CheckGrantsRequest(questions=questions)
        answer = await AccessServiceStub(channel).CheckGrants(asked, timeout=5)
    assert list(answer.allowed) == [False, True]
    request = rpc.RestoreAccountRequest(vin=VIN)
    with pytest.raises(RefusedError, match="STEP_UP_REQUIRED"):
        await rights.ask("user-123", "POST", "account/restore", request, acr="urn:ecarus:acr:1fa")
    with pytest.raises(RefusedError) as narrowed:
        await rights.ask("user-123", "POST", "account/restore", request, vin=VIN)
    assert "good for one vehicle" in narrowed.value.problem["detail"]
    standing = await rights.ask("user-123", "POST", "account/restore", request)
    assert standing.state == AccountState.ACTIVE
    assert await rights.may("user-123") is None
    assert [update.system_alert.code for update in alerts(sent)] == ["ACCESS_RESTRICTED", "ACCESS_RESTORED"]
    (case,) = (await _cases(access)).cases
    assert (case.kind, case.principal, case.restricted) == ("VIN_ENUMERATION", "user-123", True)
    assert "more than 3 within 600 s" in case.evidence


async def _cases(access: Any, *, open_only: bool = False) -> Any:
    service, _ = access
    async with service.channel("operator") as channel:
        request = access_service_pb2.ListAbnormalAccessRequest(open_only=open_only)
        return await AccessServiceStub(channel).ListAbnormalAccess(request, timeout=5)


async def test_two_operators_restore_an_account(rights: DoorOfRights, operators: Any, clerk: Any) -> None:
    alice, bob = operators
    restrict = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="reported by phone")
    for _ in range(2):
        account = await clerk.RestrictAccount(restrict, timeout=5)
        assert account.HasField("restricted_at")
    restore = access_service_pb2.RestoreAccountRequest(principal="user-123")
    for _ in range(2):
        account = await alice.RestoreAccount(restore, timeout=5)
        assert account.HasField("restricted_at")
    assert (await rights.may("user-123")) is not None
    account = await bob.RestoreAccount(restore, timeout=5)
    assert not account.HasField("restricted_at")
    assert await rights.may("user-123") is None


@pytest.mark.parametrize("production", [True])
async def test_two_operators_unlock_an_account(rights: DoorOfRights, operators: Any, clerk: Any) -> None:
    alice, bob = operators
    unlock = access_service_pb2.UnlockAccountRequest(principal="user-123")
    restore = access_service_pb2.RestoreAccountRequest(principal="user-123")
    await clerk.RestrictAccount(
        access_service_pb2.RestrictAccountRequest(principal="user-123", reason="odd"), timeout=5
    )
    assert (await alice.RestoreAccount(restore, timeout=5)).restore_requested_by.endswith("/alice")
    lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="stolen phone")
    await clerk.LockAccount(lock, timeout=5)
    # What alice asked for was another state: bob is the first to ask for this one's end.
    account = await bob.UnlockAccount(unlock, timeout=5)
    assert (account.HasField("locked_at"), account.restore_requested_by) == (
        True,
        "spiffe://ecarus/team/operator/bob",
    )
    assert (await bob.UnlockAccount(unlock, timeout=5)).HasField("locked_at")
    refused = await rights.may("user-123", "lock")
    assert refused is not None
    assert refused["code"] == "ACCOUNT_LOCKED"
    account = await alice.UnlockAccount(unlock, timeout=5)
    assert (account.HasField("locked_at"), account.HasField("restricted_at")) == (False, False)
    assert await rights.may("user-123") is None
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await clerk.UnlockAccount(unlock, timeout=5)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_failures_of_others_restrict_nobody(
    rights: DoorOfRights, check: CheckEdge, watched: list[Any], access: Any
) -> None:
    for n in range(10):
        bad = await check(door("unlock"), method="POST", headers={"authorization": f"Bearer bad{n}"})
        assert problem_in(bad)["code"] == "TOKEN_INVALID"
    # Somebody else's tries, also on the owner's vehicle, are their own.
    await enumerate_vins(rights, watched, who="stranger")
    assert await rights.may("user-123") is None
    principals = [case.principal for case in (await _cases(access)).cases]
    assert "user-123" not in principals
    assert "stranger" in principals


async def test_a_found_key_does_not_shut_its_owner_out(
    rights: DoorOfRights, check: CheckEdge, watched: list[Any], operators: Any, access: Any
) -> None:
    asked = {"principal": "user-123", "name": "meter", "valid_seconds": 600, "source": "WEB"}
    made = await operators[0].IssueApiKey(
        access_service_pb2.IssueApiKeyRequest(scopes=["door.read"], vins=[VIN], **asked), timeout=5
    )
    headers = {"authorization": f"Bearer {made.key}"}
    for n in range(12):
        answer = await check(door("status", f"KMHSH81C7LU0000{n:02}"), headers=headers)
        assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()
    assert await rights.may("user-123") is None
    (case,) = (await _cases(access)).cases
    assert (case.principal, case.restricted) == ("user-123", False)


async def test_vehicles_of_ones_own_outside_of_a_bearer_are_not_tried(
    check: CheckEdge, watched: list[Any], operators: Any, access: Any, rules: dict[AbnormalKind, AbnormalRule]
) -> None:
    rules[AbnormalKind.VIN_ENUMERATION] = AbnormalRule(0, 600)
    asked = {"principal": "user-123", "name": "meter", "valid_seconds": 600, "source": "WEB"}
    made = await operators[0].IssueApiKey(
        access_service_pb2.IssueApiKeyRequest(scopes=["door.read"], vins=[FOREIGN], **asked), timeout=5
    )
    answer = await check(door("status", VIN), headers={"authorization": f"Bearer {made.key}"})
    assert problem_in(answer)["code"] == "VEHICLE_NOT_FOUND"
    await watched[0]()
    assert not (await _cases(access)).cases


def failed_from(network: str) -> Finding:
    return Finding(
        AbnormalKind.FAILED_SIGN_INS, "", f"more than 3 within 600 s ({network})", Consequence.ALERT
    )


async def test_what_is_found_again_is_counted_and_deletes_nothing_of_anybody(
    tmp_path: Path, sent: list[Any]
) -> None:
    database = await open_database(await _migrated(tmp_path))
    record = abnormal.SqlAbnormalAccess(database, AccessMessages(), sent.extend)
    now = utc_now()
    for n in range(5):
        await record.keep(failed_from("192.0.2.1"), by="watch", at=now + timedelta(seconds=n))
    await record.keep(failed_from("192.0.2.2"), by="watch", at=now)
    enumeration = Finding(AbnormalKind.VIN_ENUMERATION, "anna", "many", Consequence.RESTRICT)
    for _ in range(2):
        first = await record.keep(enumeration, by="watch", at=now - timedelta(seconds=9))
    cases = await record.cases(open_only=True)
    told = [(case.finding.principal, case.times) for case in cases]
    assert told == [("anna", 2), ("", 5), ("", 1)]
    await record.acknowledge(first.case_id, by="bob", at=now)
    again = await record.keep(enumeration, by="watch", at=now)
    assert (again.case_id != first.case_id, again.times) == (True, 1)
    await record.keep(failed_from("192.0.2.3"), by="watch", at=now + timedelta(days=8))
    await record.keep(failed_from("192.0.2.4"), by="watch", at=now + timedelta(days=91))
    # What is over goes by retention, which knows what is held.
    kept = {case.case_id for case in await record.cases(open_only=False)}
    assert (first.case_id in kept, len(kept)) == (True, 6)
    await database.close()


async def test_cases_of_many_networks_are_bounded(
    tmp_path: Path, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abnormal, "_MOST_OF_NOBODY", 4)
    database = await open_database(await _migrated(tmp_path))
    record = abnormal.SqlAbnormalAccess(database, AccessMessages(), sent.extend)
    for n in range(9):
        await record.keep(failed_from(f"192.0.2.{n}"), by="watch", at=utc_now())
    assert len(await record.cases(open_only=False)) == 4
    await database.close()


async def _migrated(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/cases.sqlite3"
    folder = Path(services.access.__file__).with_name("migrations")
    await asyncio.to_thread(migrated, url, folder, HEAD)
    return url


async def test_caches_are_emptied_for_whom_is_restricted_and_nobody_else() -> None:
    emptied: list[str] = []

    class Record:
        async def keep(self, finding: Finding, *, by: str, at: datetime) -> None: ...

    rules = {
        AbnormalKind.FAILED_SIGN_INS: AbnormalRule(0, 60),
        AbnormalKind.UNLOCK_BURST: AbnormalRule(0, 60),
        AbnormalKind.VIN_ENUMERATION: AbnormalRule(0, 60, Consequence.RESTRICT),
    }
    watching: Any = AbnormalAccess(
        Record(),  # type: ignore[arg-type]
        AbnormalWatch(rules),
        lambda *, principal="", credential="": emptied.append(principal),  # noqa: ARG005
        utc_now,
        log_lost_findings,
    )
    await watching.look_at(
        [
            AccessSignal(1.0, Outcome.FAILED_SIGN_IN, "192.0.2.1"),
            AccessSignal(1.0, Outcome.ALLOWED, "192.0.2.1", "anna", "anna", VIN, "door.unlock"),
            AccessSignal(1.0, Outcome.UNKNOWN_VEHICLE, "192.0.2.1", "mallory", "mallory", VIN),
        ]
    )
    assert emptied == ["mallory"]


async def test_what_the_store_did_not_take_is_kept_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    away = True

    class Record:
        async def keep(self, finding: Finding, **_: Any) -> None:
            if away:
                raise StorageUnavailableError("away")
            kept.append(finding.principal)

    rules = {AbnormalKind.VIN_ENUMERATION: AbnormalRule(0, 600, Consequence.RESTRICT)}
    watching = AbnormalAccess(Record(), AbnormalWatch(rules), lambda **_: None, utc_now, log_lost_findings)  # type: ignore[arg-type]
    signals = SignalLog()
    for who in ("mallory", "trudy"):
        signals.note(AccessSignal(1.0, Outcome.UNKNOWN_VEHICLE, "192.0.2.1", who, who, VIN))
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            await signals.look(watching.look_at)
    away = False
    await signals.look(watching.look_at)
    await signals.look(watching.look_at)
    assert kept == ["mallory", "trudy"]

    away = True
    monkeypatch.setattr("services.access.usecases.abnormal.MOST_UNKEPT", 2)
    for who in ("eve", "oscar", "walter"):
        signals.note(AccessSignal(1.0, Outcome.UNKNOWN_VEHICLE, "192.0.2.1", who, who, VIN))
    with capture_logs() as said, pytest.raises(StorageUnavailableError):
        await signals.look(watching.look_at)
    assert [(line["event"], line["count"]) for line in said] == [("abnormal_findings_lost", 1)]
    away = False
    await signals.look(watching.look_at)
    assert kept[2:] == ["oscar", "walter"]


async def test_many_requests_are_looked_at_in_turns_with_others() -> None:
    watching = AbnormalAccess(None, AbnormalWatch({}), lambda **_: None, utc_now, log_lost_findings)  # type: ignore[arg-type]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    signal = AccessSignal(1.0, Outcome.ALLOWED, "192.0.2.1", "anna", "anna", VIN, "door.unlock")
    await watching.look_at([signal] * 2_000)
    task.cancel()
    assert turns >= 9


async def test_a_burst_is_told_and_acknowledged(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any, clerk: Any
) -> None:
    for _ in range(4):
        assert await rights.may("user-123") is None
    await watched[0]()
    assert [update.system_alert.code for update in alerts(sent)] == ["ACCESS_ABNORMAL"]
    assert await rights.may("user-123") is None  # an alert only
    (case,) = (await _cases(access, open_only=True)).cases
    asked = access_service_pb2.AcknowledgeAbnormalAccessRequest(case_id=case.case_id)
    seen = await clerk.AcknowledgeAbnormalAccess(asked, timeout=5)
    assert seen.acknowledged_by == "spiffe://ecarus/operator"
    assert await clerk.AcknowledgeAbnormalAccess(asked, timeout=5) == seen
    assert not (await _cases(access, open_only=True)).cases
    asked.case_id = "ab-none"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await clerk.AcknowledgeAbnormalAccess(asked, timeout=5)
    assert reason_of(caught) == "GRANT_NOT_FOUND"


async def test_owners_are_told_what_became_of_an_account_and_not_why(clerk: Any, sent: list[Any]) -> None:
    restrict = access_service_pb2.RestrictAccountRequest(principal="user-123", reason="lives at 5 Elm St")
    assert (await clerk.RestrictAccount(restrict, timeout=5)).restriction_reason == "lives at 5 Elm St"
    lock = access_service_pb2.LockAccountRequest(principal="user-123", reason="stolen phone")
    assert (await clerk.LockAccount(lock, timeout=5)).reason == "stolen phone"
    told = {update.system_alert.code: update.system_alert.message for update in alerts(sent)}
    assert told == {
        "ACCESS_RESTRICTED": "The account user-123 reads and locks only. It is restored by signing in anew with a "
        "second factor, or by customer support.",
        "ACCESS_LOCKED": "The account user-123 is locked.",
    }


async def test_the_owner_of_a_shared_vehicle_is_not_told_where_a_person_is(
    rights: DoorOfRights, watched: list[Any], sent: list[Any], access: Any
) -> None:
    await rights.accepted()
    sent.clear()
    await enumerate_vins(rights, watched, who="user-789")
    told = alerts(sent)
    assert [(update.vin, update.system_alert.code) for update in told] == [(VIN, "ACCESS_RESTRICTED")]
    (case,) = (await _cases(access)).cases
    assert case.evidence not in told[0].system_alert.message
    assert "within" not in told[0].system_alert.message


async def test_what_was_asked_of_one_restriction_does_not_lift_the_next(
    tmp_path: Path, sent: list[Any]
) -> None:
    database = await open_database(await _migrated(tmp_path))
    record = abnormal.SqlAbnormalAccess(database, AccessMessages(), sent.extend)
    writes = 0
    write = database.write

    async def counted(work: Any) -> Any:
        nonlocal writes
        writes += 1
        return await write(work)

    database.write = counted  # type: ignore[method-assign]
    watching = AbnormalAccess(record, AbnormalWatch({}), lambda **_: None, utc_now, log_lost_findings)
    await watching.restrict("anna", "reported", by="carol")
    asked = await watching.restore_as_operator("anna", by="alice")
    assert (asked.restore_requested_by, writes) == ("alice", 2)
    restored = await watching.restore_as_operator("anna", by="bob")
    assert (restored.restricted_at, writes) == (None, 3)
    await watching.restrict("anna", "again", by="carol")
    assert (await watching.restore_as_operator("anna", by="bob")).restricted_at is not None
    await database.close()
