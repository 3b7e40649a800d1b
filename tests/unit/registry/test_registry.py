"""The list of services is all there is, and what must not change with it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from ecarus.remotecontrol.access.v1 import (  # noqa: F401  # registers the contracts
    access_service_pb2,
    order_signing_service_pb2,
    vehicle_keys_service_pb2,
)
from ecarus.remotecontrol.audit.v1 import audit_intake_service_pb2  # noqa: F401  # registers the contract
from ecarus.remotecontrol.door.v1 import (  # noqa: F401  # registers the contracts
    door_command_service_pb2,
    door_config_service_pb2,
    door_diagnostics_service_pb2,
    door_status_service_pb2,
    push_device_service_pb2,
)
from ecarus.remotecontrol.options.v1 import options_pb2
from google.protobuf import descriptor_pool

from mesh.broker_accounts import passages
from mesh.environment import MAY_SET
from services import registry
from services.registry import SERVICES, ServiceDescriptor

PUBLISHED_PORTS = {
    "access": 511, "command": 512, "status": 513, "config": 514, "diagnostics": 515, "enrolment": 516, "signer": 517,
    "audit": 518, "notification": 519,
}  # fmt: skip
"""Operators have these in their configuration: none is ever another's."""


def test_a_service_has_its_port_for_ever() -> None:
    ports = {service.name: service.port_distance for service in SERVICES}
    assert ports.items() >= PUBLISHED_PORTS.items()
    assert len(ports) == len(set(ports.values()))


def test_every_folder_that_can_be_started_is_in_the_list() -> None:
    folder = Path(registry.__file__).parent
    assert {path.parent.name for path in folder.glob("*/__main__.py")} == set(registry.NAMES)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_health_is_asked_under_a_contract_that_it_serves(service: ServiceDescriptor) -> None:
    contract = descriptor_pool.Default().FindServiceByName(service.contract)
    assert contract.GetOptions().Extensions[options_pb2.served_by] == service.name


def test_who_has_an_account_at_the_broker_has_passages_and_settings() -> None:
    assert {passage.user for passage in passages(registry.ON_THE_BROKER, "prefix")} >= {
        f"SERVICE_{name.upper()}" for name in registry.ON_THE_BROKER
    }
    assert MAY_SET.keys() == {*registry.NAMES, "gateway", "vehicles", "issuer", "phones"}
