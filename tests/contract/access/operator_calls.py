"""What an operator asks for, and how a call that is refused ends."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from ecarus.remotecontrol.access.v1 import access_service_pb2, grant_pb2

from tests.contract.access.access_service import FOREIGN


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    code: grpc.StatusCode = caught.value.code()
    return code


def owner(**changed: Any) -> access_service_pb2.CreateGrantRequest:
    form = {"grant_id": "g-9", "principal": "user-123", "vin": FOREIGN, "role": grant_pb2.GRANT_ROLE_OWNER}
    return access_service_pb2.CreateGrantRequest(**{**form, **changed})
