"""A person's file of what is kept about them: whole, theirs alone, and nobody's way to keep others from theirs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2
from ecarus.remotecontrol.door.v1 import personal_data_service_pb2 as rpc

from services.access.adapters import personal_data_server
from services.access.adapters.published_key import PUBLISHED_KEY
from services.access.adapters.store.tables import SEVERANCES
from tests.contract.access.access_service import (
    VIN,
)

if TYPE_CHECKING:
    from tests.contract.access.door_of_rights import DoorOfRights
    from tests.contract.access.other_services import OtherServices

from tests.contract.access.personal_data_door import EXPORTS, Person


async def test_an_export_asked_for_twice_at_once_is_the_same_and_has_everything(
    person: Person, others: OtherServices, rights: DoorOfRights
) -> None:
    await rights.accepted(principal="user-789", label="Of user-123")
    others.kept = [{"user_id": "user-123", "action": "UNLOCK"}, {"user_id": "user-456", "action": "LOCK"}]
    one, two = await asyncio.gather(*(person.ask(rpc.RequestDataExportRequest()) for _ in range(2)))
    assert one == two
    assert (one.state, one.downloads_left) == (EXPORTS.READY, 3)
    document = await person.file()
    assert (document["subject"], document["complete"], document["missing"]) == ("user-123", True, [])
    tables = {(each["service"], each["table"]) for each in document["rows"]}
    assert {("command", "history"), ("access", "access_grant"), ("access", "audit_entry")} <= tables
    assert {("access", "api_key"), ("access", "data_export")} <= tables
    text = json.dumps(document)
    assert "user-456" not in text
    assert PUBLISHED_KEY not in text


async def test_who_reads_no_file_they_fetch_keeps_nobody_else_from_theirs(
    person: Person, others: OtherServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal_data_server, "EXPORT_SECONDS", 2.0)
    slow = [f"user-slow-{number}" for number in range(personal_data_server.MOST_AT_ONCE)]
    others.kept = [{"user_id": each, "long": "x" * 100_000} for each in slow for _ in range(100)]
    exports = [
        (await person.ask(rpc.RequestDataExportRequest(), each)).export_id for each in [*slow, "user-123"]
    ]
    calls = [await person.stalled(*each) for each in zip(exports, slow, strict=False)]

    async def fetched() -> Any:
        while True:  # until one of the others is ended
            try:
                return await person.ask(rpc.StreamDataExportRequest(export_id=exports[-1]))
            except grpc.aio.AioRpcError as refused:
                if refused.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                await asyncio.sleep(0.1)

    assert (await asyncio.wait_for(fetched(), 60))["subject"] == "user-123"
    for call in calls:
        call.cancel()


async def test_a_persons_second_fetch_waits_for_the_first_and_so_does_one_too_many(
    person: Person, others: OtherServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    others.kept = [{"user_id": "user-123", "long": "x" * 100_000} for _ in range(100)]
    export_id = (await person.ask(rpc.RequestDataExportRequest())).export_id
    call = await person.stalled(export_id, "user-123")
    with pytest.raises(grpc.aio.AioRpcError, match="Your file is being fetched already"):
        await person.ask(rpc.StreamDataExportRequest(export_id=export_id))
    assert (await person.file("user-789"))["complete"]
    monkeypatch.setattr(personal_data_server, "MOST_AT_ONCE", 1)
    with pytest.raises(grpc.aio.AioRpcError, match="or as many as may be at once"):
        await person.file("user-789")
    assert (await person.ask(rpc.GetDataExportRequest(export_id=export_id))).downloads_left == 2
    call.cancel()


async def test_an_export_is_its_persons_and_short_lived(person: Person, others: OtherServices) -> None:
    export_id = (await person.ask(rpc.RequestDataExportRequest())).export_id
    for request in (rpc.GetDataExportRequest, rpc.StreamDataExportRequest):
        with pytest.raises(grpc.aio.AioRpcError, match="no export or erasure of this id"):
            await person.ask(request(export_id=export_id), "user-456")
    for _ in range(3):
        await person.ask(rpc.StreamDataExportRequest(export_id=export_id))
    with pytest.raises(grpc.aio.AioRpcError, match="can be fetched no longer"):
        await person.ask(rpc.StreamDataExportRequest(export_id=export_id))
    assert (await person.ask(rpc.GetDataExportRequest(export_id=export_id))).state == EXPORTS.EXPIRED
    assert (await person.ask(rpc.RequestDataExportRequest())).export_id != export_id
    others.is_away = True
    document = await person.file("user-456")
    assert (document["complete"], document["missing"]) == (False, ["command: away; ask again"])


async def test_whose_access_was_severed_is_not_told_by_an_export(
    person: Person, rights: DoorOfRights, operators: Any
) -> None:
    await rights.accepted(principal="severed")
    alice, _ = operators
    sever = access_service_pb2.SeverVehicleAccessRequest(
        severance_id="s-1", vin=VIN, person="severed", evidence="file 1", on_behalf_of="user-123"
    )
    await alice.SeverVehicleAccess(sever, timeout=5)
    document = await person.file("severed")
    text = json.dumps(document)
    assert not [act for act in (*SEVERANCES, "severance", "file 1") if act in text]
    assert not [each for each in document["rows"] if each["table"] == "access_grant"]
