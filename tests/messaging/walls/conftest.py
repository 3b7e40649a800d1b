"""The broker with the permissions of the mesh, and what each service may say and hear there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from mesh.broker_accounts import STORE_API
from protocol.consumers import CONSUMERS
from protocol.streams import (
    DOOR_UPDATES,
    MQTT_MESSAGES,
    MQTT_OWN_STREAMS,
    ROOM_EVENTS,
    STREAMS,
    VEHICLE_COMMANDS,
)
from services import registry
from tests.messaging.broker_harness import VIN, BrokerHarness, free_base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


STATUS_STREAMS = [name for name in STREAMS if name.startswith("VEHICLE_STATUS_")]


SAYS = {
    "access": {
        "door.update.*",
        "room.access.>",
        "seen.proofs",
        f"{STORE_API}.DIRECT.GET.{ROOM_EVENTS}",
        f"{STORE_API}.STREAM.MSG.DELETE.{ROOM_EVENTS}",
        *(
            f"{STORE_API}.CONSUMER.INFO.{ROOM_EVENTS}.{one.name}"
            for one in CONSUMERS.values()
            if one.stream == ROOM_EVENTS
        ),
    },
    "command": {
        "vehicle.*.cmd.*",
        "$MQTT.msgs.vehicle.*.cmd.*",
        "door.update.*",
        "room.command.>",
        "awaited.command",
        "ended.command",
        f"{STORE_API}.CONSUMER.CREATE.{VEHICLE_COMMANDS}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*",
        f"$JS.ACK.{VEHICLE_COMMANDS}.>",
        f"{STORE_API}.STREAM.PURGE.{VEHICLE_COMMANDS}",
        f"{STORE_API}.STREAM.PURGE.{MQTT_MESSAGES}",
        f"{STORE_API}.DIRECT.GET.{DOOR_UPDATES}",
        f"{STORE_API}.STREAM.MSG.DELETE.{DOOR_UPDATES}",
        *(
            f"{STORE_API}.CONSUMER.INFO.{DOOR_UPDATES}.{one.name}"
            for one in CONSUMERS.values()
            if one.stream == DOOR_UPDATES
        ),
    },
    "status": {
        "door.update.*",
        "room.status.>",
        "hint.condition.*",
        "hint.refused.*",
        "hint.shown",
        f"{STORE_API}.CONSUMER.CREATE.{DOOR_UPDATES}",
        f"{STORE_API}.CONSUMER.CREATE.{ROOM_EVENTS}",
        f"{STORE_API}.DIRECT.GET.{DOOR_UPDATES}",
    },
    "config": {"vehicle.*.cmd.config", "room.config.>"},
    "diagnostics": {"door.update.*", "hint.refused.*", "room.diagnostics.>"},
    "notification": set[str](),
    "enrolment": {
        "admitted.vehicle",
        "room.enrolment.changed",
        "room.enrolment.probe",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.SERVER.*.KICK",
        *(f"{STORE_API}.STREAM.{verb}.{name}" for verb in ("CREATE", "UPDATE") for name in STREAMS),
        *(f"{STORE_API}.STREAM.{verb}.{name}" for verb in ("INFO", "UPDATE") for name in MQTT_OWN_STREAMS),
        *(
            f"{STORE_API}.CONSUMER.{verb}.{one.stream}.{one.name}"
            for verb in ("DURABLE.CREATE", "INFO")
            for one in CONSUMERS.values()
        ),
    },
}


SUBSCRIBES = {
    "access": {"room.access.revoked", "seen.proofs"},
    "command": {
        "awaited.command",
        "ended.command",
        "hint.condition.*",
        "hint.refused.*",
        "hint.shown",
        "room.enrolment.changed",
    },
    "status": {"room.enrolment.changed", "vehicle.*.presence"},
    "config": {"room.enrolment.changed"},
    "diagnostics": {"room.enrolment.changed"},
    "notification": set[str](),
    "enrolment": {
        "admitted.vehicle",
        "$SYS.REQ.USER.AUTH",
        f"$JS.API.CONSUMER.MSG.NEXT.{VEHICLE_COMMANDS}.*",
        f"$JS.ACK.{VEHICLE_COMMANDS}.>",
        f"$JS.EVENT.ADVISORY.CONSUMER.CREATED.{MQTT_MESSAGES}.*",
    },
}


VERBS = [
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.UPDATE",
    "STREAM.CREATE",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
]


VERBS += ["STREAM.SNAPSHOT", "STREAM.RESTORE", "CONSUMER.LIST", "CONSUMER.CREATE", "DIRECT.GET"]


PROBES = sorted(
    {
        *(f"{api}.{verb}.{name}" for api in ("$JS.API", STORE_API) for verb in VERBS for name in STREAMS),
        *(
            f"{STORE_API}.CONSUMER.{verb}.{one.stream}.{one.name}"
            for verb in ("DELETE", "DURABLE.CREATE", "CREATE", "MSG.NEXT", "PAUSE", "INFO")
            for one in CONSUMERS.values()
        ),
        *(f"deliver.{name}" for name in CONSUMERS),
        *(f"$JS.ACK.{one.stream}.{one.name}.1.1.1.1.0" for one in CONSUMERS.values()),
        *(subject.replace("*", VIN).replace(">", "x") for said in SAYS.values() for subject in said),
        *(
            subject.replace("*", VIN).replace(">", "x")
            for received in SUBSCRIBES.values()
            for subject in received
        ),
        f"{STORE_API}.STREAM.NAMES",
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        f"vehicle.{VIN}.evt.hello",
        f"vehicle_status.0.{VIN}",
        *(f"door.{service}.{VIN}" for service in registry.ON_THE_BROKER),
        "_INBOX.x",
        *(f"_INBOX.{service}.x" for service in registry.ON_THE_BROKER),
    }
)


EARS = [
    ">",
    "*.>",
    "_INBOX.>",
    "deliver.>",
    "deliver.*",
    "vehicle.>",
    "room.>",
    "operator.>",
    "$JS.>",
    "$SYS.>",
]


EARS += ["store.>", "door.update.*", f"vehicle.{VIN}.evt.*", "$MQTT.>", *PROBES]


@pytest_asyncio.fixture
async def harness(tmp_path: Path) -> AsyncIterator[BrokerHarness]:
    one = BrokerHarness(tmp_path / "doors", free_base())
    try:
        await one.open()
        yield one
    finally:
        await one.close()
