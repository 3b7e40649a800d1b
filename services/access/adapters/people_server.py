"""The RPC about whom to tell of what happens to a vehicle, for the service that tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import grpc
from ecarus.remotecontrol.access.v1 import vehicle_people_service_pb2, vehicle_people_service_pb2_grpc
from typing_extensions import override

from services.platform.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from services.access.domain.vehicle_people import RightHolder

MOST_VINS = 1_000
"""So many are told with one answer."""
SERVICE = "ecarus.remotecontrol.access.v1.VehiclePeopleService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class RightHolders(Protocol):
    """Who has a right on a vehicle."""

    async def right_holders(self, vin: str, *, at: datetime, also: str = "") -> Sequence[RightHolder]:
        """Return whoever has one at this moment, owners first, `also` in any case. Raises StorageUnavailableError."""

    async def vins_of(self, person: str, *, after: str, most: int, at: datetime) -> list[str]:
        """Return the VINs after this one that a person's grants name which have not ended, in order, `most` at most.
        Raises StorageUnavailableError.
        """


class VehiclePeopleServicer(vehicle_people_service_pb2_grpc.VehiclePeopleServiceServicer):
    """Serves VehiclePeopleService."""

    def __init__(self, record: RightHolders, now: Callable[[], datetime]) -> None:
        self._record = record
        self._now = now

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        vehicle_people_service_pb2_grpc.add_VehiclePeopleServiceServicer_to_server(self, server)

    @override
    async def ListVehiclePeople(
        self, request: vehicle_people_service_pb2.ListVehiclePeopleRequest, context: Context
    ) -> vehicle_people_service_pb2.ListVehiclePeopleResponse:
        found = await self._record.right_holders(request.vin, at=self._now(), also=request.also)
        return vehicle_people_service_pb2.ListVehiclePeopleResponse(
            people=[
                vehicle_people_service_pb2.VehiclePerson(
                    principal=each.principal,
                    is_owner=each.is_owner,
                    reads_status=each.reads_status,
                    reads_diagnostics=each.reads_diagnostics,
                )
                for each in found
            ]
        )

    @override
    async def ListVehiclesOfPerson(
        self, request: vehicle_people_service_pb2.ListVehiclesOfPersonRequest, context: Context
    ) -> vehicle_people_service_pb2.ListVehiclesOfPersonResponse:
        found = await self._record.vins_of(
            request.principal, after=request.after, most=MOST_VINS + 1, at=self._now()
        )
        return vehicle_people_service_pb2.ListVehiclesOfPersonResponse(
            vins=found[:MOST_VINS], has_more=len(found) > MOST_VINS
        )
