"""The public RPC about live updates in browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import door_event_service_pb2, door_event_service_pb2_grpc
from typing_extensions import override

from services.access.domain.tickets import TICKET_SECONDS
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from services.access.adapters.session_gate import SessionGate

SERVICE = "ecarus.remotecontrol.door.v1.DoorEventService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class DoorEventServicer(door_event_service_pb2_grpc.DoorEventServiceServicer):
    """Serves DoorEventService."""

    def __init__(self, sessions: SessionGate) -> None:
        self._sessions = sessions

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        door_event_service_pb2_grpc.add_DoorEventServiceServicer_to_server(self, server)

    @override
    async def CreateEventTicket(
        self, request: door_event_service_pb2.CreateEventTicketRequest, context: Context
    ) -> door_event_service_pb2.EventTicket:
        vin = request.ticket.vin.upper()
        ticket = await self._sessions.ticket_for(current_call().caller_session(), vin)
        return door_event_service_pb2.EventTicket(ticket=ticket, expires_in=TICKET_SECONDS)
