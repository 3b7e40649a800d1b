"""The notification service asks whom to tell: of a vehicle with more people than are named, for each by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.access.v1 import command_origin_service_pb2 as origins
from ecarus.remotecontrol.access.v1 import command_origin_service_pb2_grpc as origins_rpc
from ecarus.remotecontrol.access.v1 import vehicle_people_service_pb2 as contract
from ecarus.remotecontrol.access.v1 import vehicle_people_service_pb2_grpc as rpc
from typing_extensions import override

from services.notification.adapters.people import PeopleClient
from services.notification.domain.notices import Audience, Notice, NoticeKind
from services.notification.usecases.addressing import may_still_be_told
from tests.support.clocks import START, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

VIN, FEW = "KMHSH81C7LU123456", "KMHSH81C7LU654321"
NAMED = 200
"""What the access service names at most."""


class Access(rpc.VehiclePeopleServiceServicer):
    """Names some, and whom it is asked for if they have a right; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    @override
    async def ListVehiclePeople(
        self, request: contract.ListVehiclePeopleRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> contract.ListVehiclePeopleResponse:
        self.asked.append((request.vin, request.also))
        names = [f"user-{number:03}" for number in range(NAMED if request.vin == VIN else 2)]
        if request.also == "zoe" and request.vin == VIN:
            names.append(request.also)
        return contract.ListVehiclePeopleResponse(
            people=[contract.VehiclePerson(principal=name, reads_status=True) for name in names]
        )


class CommandOrigins(origins_rpc.CommandOriginServiceServicer):
    """Knows one command; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    @override
    async def ListCommandOrigins(
        self, request: origins.ListCommandOriginsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> origins.ListCommandOriginsResponse:
        self.asked.append(sorted(request.command_ids))
        return origins.ListCommandOriginsResponse(
            origins=[origins.CommandOrigin(command_id="cmd-1", person="zoe")]
        )


def result(vin: str) -> Notice:
    kind, audience = NoticeKind.DOOR_RESULT, Audience.REQUESTER
    return Notice("e-1", vin, kind, "LOCK.SUCCESS", audience, START, "command/c-1", command_id="c-1")


async def test_nobody_is_too_many_to_be_told_of_their_own_command() -> None:
    access, clock = Access(), FakeClock()
    server = grpc.aio.server()
    add: Callable[[Any, grpc.aio.Server], None] = rpc.add_VehiclePeopleServiceServicer_to_server
    add(access, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            people = PeopleClient(channel, channel, clock.monotonic)
            assert await may_still_be_told(people, result(VIN), "zoe")
            assert await may_still_be_told(people, result(VIN), "zoe")
            assert not await may_still_be_told(people, result(VIN), "adam")
            assert await may_still_be_told(people, result(VIN), "user-199")
            assert access.asked == [(VIN, ""), (VIN, "zoe"), (VIN, "adam")]
            # Where all are named there is nobody to ask for.
            assert not await may_still_be_told(people, result(FEW), "zoe")
            assert access.asked[3:] == [(FEW, "")]
    finally:
        await server.stop(None)


async def test_what_is_no_command_s_id_keeps_no_other_from_being_known() -> None:
    command, clock = CommandOrigins(), FakeClock()
    server = grpc.aio.server()
    add: Callable[[Any, grpc.aio.Server], None] = origins_rpc.add_CommandOriginServiceServicer_to_server
    add(command, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            people = PeopleClient(channel, channel, clock.monotonic)
            assert await people.who_gave({"cmd-1", "no id", "cmd-2", ""}) == {"cmd-1": "zoe"}
            assert await people.who_gave({"no id"}) == {}
            assert command.asked == [["cmd-1", "cmd-2"]]
    finally:
        await server.stop(None)
