"""A service that does what it is told, called through the platform's interceptor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.platform_service import InterceptorHarness

if TYPE_CHECKING:
    import grpc

    from tests.contract.conftest import BuildRoom, RunningService


@pytest.fixture
def service() -> InterceptorHarness:
    return InterceptorHarness()


@pytest.fixture
def room_name() -> str:
    return "config"


@pytest.fixture
def build_room(service: InterceptorHarness) -> BuildRoom:
    return service.build


@pytest.fixture
def running(grpc_server: RunningService) -> RunningService:
    return grpc_server


@pytest.fixture
def edge(grpc_channel: grpc.aio.Channel) -> grpc.aio.Channel:
    return grpc_channel
