"""Who is to be told: asked of the access and the command service, over gRPC."""

from __future__ import annotations

import re
from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
from ecarus.remotecontrol.access.v1 import (
    command_origin_service_pb2,
    command_origin_service_pb2_grpc,
    vehicle_people_service_pb2,
    vehicle_people_service_pb2_grpc,
)

from services.notification.usecases.ports import NotKnownNowError, VehiclePerson
from services.platform.channel import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

CACHE_SECONDS = 1.0
"""So long an answer holds: a right that has ended is told nothing later than that. One notice and its pushes are one
question.
"""
_MOST_KNOWN = 1_000
_MOST_NAMED = 200
"""The access service names so many at most, and who is asked for besides."""
_SECONDS = 2.0
_COMMAND_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class PeopleClient:
    """usecases.ports.People over gRPC."""

    def __init__(
        self, access: grpc.aio.Channel, command: grpc.aio.Channel, monotonic: Callable[[], float]
    ) -> None:
        self._access = vehicle_people_service_pb2_grpc.VehiclePeopleServiceStub(access)
        self._command = command_origin_service_pb2_grpc.CommandOriginServiceStub(command)
        self._monotonic = monotonic
        self._known: OrderedDict[tuple[str, str], tuple[float, Mapping[str, VehiclePerson]]] = OrderedDict()

    async def of_vehicle(self, vin: str, also: str = "") -> Mapping[str, VehiclePerson]:
        """Return who has a right on the vehicle now, by principal. Raises NotKnownNowError."""
        people = await self._asked(vin, "")
        if also and also not in people and len(people) >= _MOST_NAMED:
            people = await self._asked(vin, also)
        return people

    async def _asked(self, vin: str, also: str) -> Mapping[str, VehiclePerson]:
        asked_at = self._monotonic()
        known = self._known.get((vin, also))
        if known is not None and asked_at - known[0] < CACHE_SECONDS:
            return known[1]
        request = vehicle_people_service_pb2.ListVehiclePeopleRequest(vin=vin, also=also)
        try:
            answer = await ask(self._access.ListVehiclePeople, request, seconds=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotKnownNowError(f"access: {error.code().name}") from error
        people = MappingProxyType(
            {
                each.principal: VehiclePerson(
                    each.principal, each.is_owner, each.reads_status, each.reads_diagnostics
                )
                for each in answer.people
            }
        )
        self._known[vin, also] = (asked_at, people)
        self._known.move_to_end((vin, also))
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return people

    async def who_gave(self, command_ids: Collection[str]) -> Mapping[str, str]:
        """Return for whom each of these commands was given, 100 at most; those that are not known are left out. Raises
        NotKnownNowError.
        """
        # What is no id would have all others refused with it.
        asked = [each for each in command_ids if _COMMAND_ID.fullmatch(each)]
        if not asked:
            return {}
        request = command_origin_service_pb2.ListCommandOriginsRequest(command_ids=asked)
        try:
            answer = await ask(self._command.ListCommandOrigins, request, seconds=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotKnownNowError(f"command: {error.code().name}") from error
        return {each.command_id: each.person for each in answer.origins}
