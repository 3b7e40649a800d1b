"""PushDeviceService: RPC in, RPC out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from ecarus.remotecontrol.door.v1 import push_device_service_pb2, push_device_service_pb2_grpc
from typing_extensions import override

from services.notification.adapters import translate
from services.notification.usecases import devices as usecases
from services.platform.call import current_call
from services.platform.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecarus.remotecontrol.door.v1 import push_device_pb2

    from services.notification.domain.devices import DeviceRules
    from services.notification.usecases.ports import DeviceRecord

SERVICE = "ecarus.remotecontrol.door.v1.PushDeviceService"
POLICY = policy_of(SERVICE)

Context = grpc.aio.ServicerContext[Any, Any]


class PushDeviceServicer(push_device_service_pb2_grpc.PushDeviceServiceServicer):
    """Serves PushDeviceService: whose devices they are says the capability, never the request.

    Browsers subscribe under `application_server_key`.
    """

    def __init__(
        self,
        record: DeviceRecord,
        rules: DeviceRules,
        usual_minutes: int,
        now: Callable[[], datetime],
        application_server_key: str | None = None,
    ) -> None:
        self._record = record
        self._rules = rules
        self._usual_minutes = usual_minutes
        self._now = now
        self._server_key = application_server_key

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to `server`."""
        push_device_service_pb2_grpc.add_PushDeviceServiceServicer_to_server(self, server)

    @override
    async def ListPushDevices(
        self, request: push_device_service_pb2.ListPushDevicesRequest, context: Context
    ) -> push_device_pb2.PushDeviceList:
        return translate.device_list(await self._record.listed(_caller()), self._server_key)

    @override
    async def RegisterPushDevice(
        self, request: push_device_service_pb2.RegisterPushDeviceRequest, context: Context
    ) -> push_device_pb2.PushDevice:
        new = translate.new_device(request.device_id, request.device)
        return translate.device_message(
            await usecases.register_device(self._record, self._rules, _caller(), new, at=self._now())
        )

    @override
    async def DeletePushDevice(
        self, request: push_device_service_pb2.DeletePushDeviceRequest, context: Context
    ) -> push_device_pb2.PushDeviceList:
        left = await self._record.delete(_caller(), request.device_id, self._now())
        return translate.device_list(left, self._server_key)

    @override
    async def GetNotificationPreferences(
        self, request: push_device_service_pb2.GetNotificationPreferencesRequest, context: Context
    ) -> push_device_pb2.NotificationPreferences:
        wanted = await self._record.preferences(_caller())
        return translate.preferences_message(wanted, self._usual_minutes)

    @override
    async def UpdateNotificationPreferences(
        self, request: push_device_service_pb2.UpdateNotificationPreferencesRequest, context: Context
    ) -> push_device_pb2.NotificationPreferences:
        wanted = translate.preferences(request.preferences)
        kept = await usecases.update_preferences(self._record, _caller(), wanted, at=self._now())
        return translate.preferences_message(kept, self._usual_minutes)


def _caller() -> str:
    return current_call().granted().subject
