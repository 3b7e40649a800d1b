import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1.order_signing_service_pb2 import RequestedOrder
from ecarus.remotecontrol.door.v1 import door_config_pb2, door_config_service_pb2
from ecarus.remotecontrol.door.v1.door_config_service_pb2_grpc import DoorConfigServiceStub
from google.protobuf import json_format
from sqlalchemy import select

import services.config
from services.config.adapters import dispatch, server, store, translate
from services.config.domain.config import ConfigAnswer
from services.config.usecases import VerifiedConfigMessage
from services.platform.capability import CapabilityVerifier
from services.platform.database import Database, open_database
from services.platform.outbox import OutboxRelay
from services.platform.server import GrpcServer
from services.platform.settings import ServiceSettings
from services.telematics.order_mac import OrderMac
from services.vehicle_models.catalogue import VehicleModels
from tests.support.databases import migrated
from tests.support.vehicle_models import COUPE, MODELS, VAN

MAC = OrderMac(b"only in tests, and long enough for a key")
VIN = "KMHSH81C7LU123456"
OTHER_VIN = "KMHSH81C7LU654321"
T0 = datetime(2026, 1, 12, 10, 0, tzinfo=UTC)
PATH = f"/api/v1/remotecontrol/vehicles/{VIN}/door/config"
MIGRATIONS = Path(services.config.__file__).with_name("migrations")


async def send_nothing(messages: object) -> list[bool]:
    raise AssertionError(f"no relay runs here: {messages}")


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/config.sqlite3"
    await asyncio.to_thread(migrated, url, MIGRATIONS, store.HEAD)
    database = await open_database(url)
    yield database
    await database.close()


@pytest.fixture
def record(database: Database) -> store.ConfigStore:
    relay = OutboxRelay(database, store.outbox, dispatch.QUEUE, send_nothing, lambda: T0)
    return store.ConfigStore(
        database, relay, dispatch.outgoing, partial(translate.stamp, MAC), translate.weakened
    )


@pytest.fixture
def room_name() -> str:
    return "config"


@pytest.fixture
def build_room(record: store.ConfigStore) -> Any:
    def build(settings: ServiceSettings, verifier: CapabilityVerifier) -> GrpcServer:
        servicer = server.DoorConfigServicer(record, lambda: T0, VehicleModels(MODELS))
        return GrpcServer(
            settings, [server.SERVICE], servicer.register, server.POLICY, verifier, translate.refusal_of
        )

    return build


@pytest.fixture
def grpc_stub_cls() -> type[DoorConfigServiceStub]:
    return DoorConfigServiceStub


@pytest.fixture
def service(grpc_stub: Any) -> Any:
    return grpc_stub


@pytest.fixture
def rest(signer: Any) -> Any:
    """The metadata of a call through the edge's transcoder."""

    def metadata(
        *actions: str, vin: str = VIN, correlation_id: str = "c-1", path: str = PATH, **claimed: Any
    ) -> Any:
        return (
            ("x-ecarus-capability", signer.capability(vin, *actions, **claimed)),
            ("x-correlation-id", correlation_id),
            ("x-envoy-original-path", path),
        )

    return metadata


def read(vin: str = VIN) -> door_config_service_pb2.GetDoorConfigRequest:
    return door_config_service_pb2.GetDoorConfigRequest(vin=vin)


def update(**settings: Any) -> door_config_service_pb2.UpdateDoorConfigRequest:
    return door_config_service_pb2.UpdateDoorConfigRequest(
        vin=VIN, config=door_config_pb2.DoorConfigUpdate(**settings)
    )


async def test_a_vehicle_never_configured_has_the_factorys_settings(service: Any, rest: Any) -> None:
    answer = await service.GetDoorConfig(read(), metadata=rest("door.config.read"))

    assert json_format.MessageToDict(answer, always_print_fields_with_no_presence=True) == {
        "vin": VIN,
        "autoLockEnabled": True,
        "autoLockDelay": 30,
        "unlockMode": "ALL",
        "childLockEnabled": False,
        "speedBasedLockEnabled": True,
        "speedLockThreshold": 15,
        "parkingAutoUnlock": True,
        "updatedTime": "2026-01-12T10:00:00Z",
        "application": {"state": "PENDING", "desiredVersion": 0},
    }


async def test_an_update_is_read_back(service: Any, rest: Any) -> None:
    wanted = update(unlock_mode=door_config_pb2.DoorUnlockMode.DRIVER_ONLY, auto_lock_enabled=False)

    written = await service.UpdateDoorConfig(wanted, metadata=rest("door.config.write"))

    assert (written.unlock_mode, written.auto_lock_enabled, written.auto_lock_delay) == (2, False, 30)
    assert written == await service.GetDoorConfig(read(), metadata=rest("door.config.read"))


async def test_an_update_waits_to_be_signed_with_the_capability_it_came_with(
    service: Any, rest: Any, database: Database
) -> None:
    metadata = rest("door.config.write")
    await service.UpdateDoorConfig(update(child_lock_enabled=True), metadata=metadata)

    query = select(store.outbox.table.c.payload)
    payload = await database.read(lambda connection: connection.execute(query).scalar_one())
    requested = RequestedOrder.FromString(payload)
    assert (requested.vin, requested.capability) == (VIN, dict(metadata)["x-ecarus-capability"])
    assert requested.asked_at.ToDatetime(tzinfo=UTC) == T0
    assert (requested.config.version, requested.config.settings.child_lock_enabled) == (1, True)


async def test_a_lower_case_vin_is_the_same_vehicle(service: Any, rest: Any) -> None:
    answer = await service.GetDoorConfig(read(VIN.lower()), metadata=rest("door.config.read"))

    assert answer.vin == VIN


async def test_a_reused_correlation_id_is_422(service: Any, rest: Any, problem: Any) -> None:
    await service.UpdateDoorConfig(update(child_lock_enabled=True), metadata=rest("door.config.write"))
    repeated = await service.UpdateDoorConfig(
        update(child_lock_enabled=True), metadata=rest("door.config.write")
    )
    assert repeated.application.desired_version == 1

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.UpdateDoorConfig(update(child_lock_enabled=False), metadata=rest("door.config.write"))

    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    document = problem(refused.value)
    assert (document["status"], document["code"]) == (422, "CORRELATION_ID_REUSED")
    assert (document["retryable"], document["mayHaveSucceeded"]) == (False, False)
    assert (document["instance"], document["correlationId"]) == (PATH, "c-1")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "(body)"),
        ({"auto_lock_delay": 4}, "autoLockDelay"),
        ({"auto_lock_delay": 601}, "autoLockDelay"),
        ({"speed_lock_threshold": 61}, "speedLockThreshold"),
        ({"speed_lock_threshold": -1}, "speedLockThreshold"),
        ({"unlock_mode": 0}, "unlockMode"),
        ({"unlock_mode": 9}, "unlockMode"),
    ],
)
async def test_a_wrong_setting_is_named(
    service: Any, rest: Any, problem: Any, settings: dict[str, Any], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.UpdateDoorConfig(update(**settings), metadata=rest("door.config.write"))

    document = problem(refused.value)
    assert (document["status"], document["code"]) == (400, "INVALID_REQUEST")
    assert [each["field"] for each in document["errors"]] == [field]


async def test_reading_does_not_allow_writing(service: Any, rest: Any, problem: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.UpdateDoorConfig(update(child_lock_enabled=True), metadata=rest("door.config.read"))

    assert problem(refused.value)["code"] == "ACTION_NOT_GRANTED"


async def test_another_vehicles_capability_finds_nothing(service: Any, rest: Any, problem: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.GetDoorConfig(read(OTHER_VIN), metadata=rest("door.config.read"))

    assert problem(refused.value)["code"] == "VEHICLE_NOT_FOUND"


async def put_back(service: Any, rest: Any, correlation_id: str, shown: Any, **changes: Any) -> Any:
    """PUT what GET answered, with these members of its JSON changed."""
    members = json_format.MessageToDict(shown, always_print_fields_with_no_presence=True)
    del members["vin"]  # the path's; the edge compares it
    config = json_format.ParseDict({**members, **changes}, door_config_pb2.DoorConfigUpdate())
    request = door_config_service_pb2.UpdateDoorConfigRequest(vin=VIN, config=config)
    metadata = rest("door.config.write", correlation_id=correlation_id)
    return await service.UpdateDoorConfig(request, metadata=metadata)


async def test_what_was_read_can_be_put_back_with_a_member_changed(service: Any, rest: Any) -> None:
    shown = await service.GetDoorConfig(read(), metadata=rest("door.config.read"))
    after = await put_back(service, rest, "c-1", shown, autoLockDelay=60)
    assert (after.auto_lock_delay, after.application.desired_version) == (60, 1)
    # A repeat of it is not measured by what it changed itself.
    assert await put_back(service, rest, "c-1", shown, autoLockDelay=60) == after


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("updatedTime", "2026-01-12T10:00:01Z"),
        ("application", {"state": "PENDING", "desiredVersion": 7}),
        ("application", {"state": "APPLIED", "desiredVersion": 0, "appliedVersion": 0}),
    ],
)
async def test_what_is_read_only_is_refused_by_its_name_when_it_is_changed(
    service: Any, rest: Any, problem: Any, member: str, value: Any
) -> None:
    shown = await service.GetDoorConfig(read(), metadata=rest("door.config.read"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put_back(service, rest, "c-1", shown, autoLockDelay=60, **{member: value})
    told = problem(refused.value)
    assert (told["status"], [each["field"] for each in told["errors"]]) == (400, [member])
    assert await service.GetDoorConfig(read(), metadata=rest("door.config.read")) == shown


async def test_what_the_vehicle_said_meanwhile_is_no_difference(
    service: Any, rest: Any, record: store.ConfigStore
) -> None:
    shown = await service.UpdateDoorConfig(update(auto_lock_delay=60), metadata=rest("door.config.write"))
    news = ConfigAnswer(VIN, "m-1", T0, 1, applied=True, reason="")
    await record.ingest([VerifiedConfigMessage(VIN, "m-1", lambda _replay_guard: news)], T0)
    after = await put_back(service, rest, "c-2", shown, autoLockDelay=90)
    assert after.application.desired_version == 2


UNTIL_BEFORE = {"until": T0.timestamp(), "acr_values": ["phr", "phrh"], "max_age": 300}


async def test_a_weakened_setting_needs_a_fresh_sign_in_and_the_refusal_is_no_answer(
    service: Any, rest: Any
) -> None:
    weakening = update(auto_lock_enabled=False, auto_lock_delay=60)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.UpdateDoorConfig(weakening, metadata=rest("door.config.write", step_up=UNTIL_BEFORE))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    trailers = dict(caught.value.trailing_metadata() or ())
    assert trailers["www-authenticate"] == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="A stronger or more recent authentication is required", '
        'acr_values="phr phrh", max_age="300"'
    )
    problem = json.loads(trailers["x-problem"])
    assert (problem["status"], problem["code"]) == (401, "STEP_UP_REQUIRED")
    assert problem["settings"] == ["autoLockEnabled", "autoLockDelay"]
    assert (await service.GetDoorConfig(read(), metadata=rest("door.config.read"))).auto_lock_enabled

    newer = {**UNTIL_BEFORE, "until": T0.timestamp() + 1}
    written = await service.UpdateDoorConfig(weakening, metadata=rest("door.config.write", step_up=newer))
    assert (written.auto_lock_enabled, written.auto_lock_delay) == (False, 60)
    # What was accepted is answered again, however old the sign-in is by then.
    again = await service.UpdateDoorConfig(
        weakening, metadata=rest("door.config.write", step_up=UNTIL_BEFORE)
    )
    assert again == written


async def test_a_strengthened_setting_needs_none(service: Any, rest: Any) -> None:
    strengthening = update(auto_lock_delay=10, parking_auto_unlock=False, child_lock_enabled=True)
    written = await service.UpdateDoorConfig(
        strengthening, metadata=rest("door.config.write", step_up=UNTIL_BEFORE)
    )
    assert written.auto_lock_delay == 10


@pytest.mark.parametrize("told", [None, {"until": 0, "acr_values": [], "max_age": 0}])
async def test_what_cannot_step_up_or_says_nothing_of_it_weakens_nothing(
    service: Any, rest: Any, told: dict[str, Any] | None
) -> None:
    metadata = rest("door.config.write", step_up=told)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.UpdateDoorConfig(
            update(parking_auto_unlock=True, auto_lock_delay=31), metadata=metadata
        )
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def of(vin: str, **settings: Any) -> door_config_service_pb2.UpdateDoorConfigRequest:
    change = update(**settings)
    change.vin = vin
    return change


@pytest.mark.parametrize(
    ("vin", "settings", "function", "setting"),
    [
        (COUPE, {"child_lock_enabled": True}, "CHILD_LOCK", "childLockEnabled"),
        (COUPE, {"unlock_mode": 3, "auto_lock_enabled": True}, "UNLOCK_MODE_SEQUENCE", "unlockMode"),
        (VAN, {"parking_auto_unlock": True}, "PARKING_UNLOCK", "parkingAutoUnlock"),
    ],
)
async def test_a_setting_that_the_model_lacks_is_refused_and_nothing_is_changed(
    service: Any, rest: Any, vin: str, settings: dict[str, Any], function: str, setting: str
) -> None:
    before = await service.GetDoorConfig(read(vin), metadata=rest("door.config.read", vin=vin))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.UpdateDoorConfig(of(vin, **settings), metadata=rest("door.config.write", vin=vin))
    problem = json.loads(dict(caught.value.trailing_metadata() or ())["x-problem"])
    assert (problem["status"], problem["code"]) == (409, "FUNCTION_NOT_AVAILABLE")
    assert (problem["function"], problem["settings"]) == (function, [setting])
    assert before == await service.GetDoorConfig(read(vin), metadata=rest("door.config.read", vin=vin))


async def test_what_the_model_lacks_is_shown_off_and_can_be_sent_back(service: Any, rest: Any) -> None:
    shown = await service.GetDoorConfig(read(VAN), metadata=rest("door.config.read", vin=VAN))
    assert (shown.parking_auto_unlock, shown.auto_lock_enabled) == (False, True)
    names = ("auto_lock_enabled", "unlock_mode", "child_lock_enabled", "speed_based_lock_enabled")
    sent_back = {name: getattr(shown, name) for name in (*names, "parking_auto_unlock")}
    changed = await service.UpdateDoorConfig(
        of(VAN, **sent_back, auto_lock_delay=60), metadata=rest("door.config.write", vin=VAN)
    )
    assert (changed.auto_lock_delay, changed.parking_auto_unlock) == (60, False)
    child_locks = of(VAN, child_lock_enabled=True)
    changed = await service.UpdateDoorConfig(
        child_locks, metadata=rest("door.config.write", vin=VAN, correlation_id="c-2")
    )
    assert changed.child_lock_enabled
