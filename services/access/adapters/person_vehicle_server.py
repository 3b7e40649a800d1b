"""The public RPC about the vehicles that a person has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import door_grant_pb2, person_vehicle_pb2, person_vehicle_service_pb2_grpc
from typing_extensions import override

from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from ecarus.remotecontrol.door.v1 import person_vehicle_service_pb2

    from services.access.usecases.person_vehicles import PersonVehicles

SERVICE = "ecarus.remotecontrol.door.v1.PersonVehicleService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class PersonVehicleServicer(person_vehicle_service_pb2_grpc.PersonVehicleServiceServicer):
    """Serves PersonVehicleService: whose vehicles they are says the capability, never the request."""

    def __init__(self, vehicles: PersonVehicles) -> None:
        self._vehicles = vehicles

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        person_vehicle_service_pb2_grpc.add_PersonVehicleServiceServicer_to_server(self, server)

    @override
    async def ListVehicles(
        self, request: person_vehicle_service_pb2.ListVehiclesRequest, context: Context
    ) -> person_vehicle_pb2.PersonVehicleList:
        found, has_more = await self._vehicles.listed(current_call().granted().subject)
        roles = door_grant_pb2.GrantKind.Value
        return person_vehicle_pb2.PersonVehicleList(
            vehicles=[
                person_vehicle_pb2.PersonVehicle(
                    vin=each.vin, role=roles.Value(each.role.value), actions=sorted(each.actions)
                )
                for each in found
            ],
            has_more=has_more,
        )
