"""All services' policy tables side by side: to whom each RPC is open, and to whom none is."""

from __future__ import annotations

import re

import pytest

from services import registry
from services.platform import dead_letter_api
from services.platform.policy import EDGE, OPERATOR, STANDARD, Policy, may_look, policy_of
from tests.support.service_modules import adapter

VEHICLE = "spiffe://ecarus/vehicle/KMHSH81C7LU123456"


def policies() -> Policy:
    """Every line of every table that a module of a service or of the platform has."""
    found = {**STANDARD, **dead_letter_api.POLICY}
    for service in registry.NAMES:
        for name, value in vars(adapter(service, "server")).items():
            if name.endswith("POLICY"):
                found |= value
    return found


def test_the_tables_are_those_of_all_services() -> None:
    services = {method.split("/")[1].rpartition(".")[2] for method in policies()}
    assert services >= {
        "Authorization",
        "AccessService",
        "DoorCommandService",
        "DoorConfigService",
        "DoorStatusService",
        "DoorDiagnosticsService",
        "VehicleKeysService",
        "VehicleEnrolmentService",
        "DeadLetterService",
        "OrderSigningService",
        "Health",
        "ServerReflection",
    }


@pytest.mark.parametrize("method", sorted(policies()))
@pytest.mark.parametrize(
    "peer", [VEHICLE, "", "spiffe://ecarus/", "spiffe://ecarus/vehicle", "spiffe://other/edge"]
)
def test_no_rpc_is_open_to_a_car_or_to_nobody(method: str, peer: str) -> None:
    assert not policies()[method].admits(peer)


def test_an_operator_s_certificate_opens_what_operators_do_and_nothing_else() -> None:
    opened: dict[str, set[str]] = {}
    for method, rule in policies().items():
        if rule.admits(OPERATOR):
            _, service, rpc = method.split("/")
            opened.setdefault(service.rpartition(".")[2], set()).add(rpc)
    assert opened.keys() == {
        "VehicleEnrolmentService",
        "DeadLetterService",
        "AccessService",
        "CustomerCaseService",
    }
    # It stops people; it lets nobody in: grants are for those who do it under their own name.
    stops = {"LockAccount", "RestrictAccount", "ExpireApiKey", "RevokeApiKey"}
    assert opened["CustomerCaseService"] == {"CloseCase"}
    cases = {"ListAbnormalAccess", "AcknowledgeAbnormalAccess"}
    assert opened["AccessService"] == stops | cases | {"GetAccount", "ListAccounts", "ListApiKeys"}
    others = [
        EDGE,
        "spiffe://ecarus/team/operator",
        *(f"spiffe://ecarus/room/{service}" for service in registry.NAMES),
    ]
    for method, rule in policies().items():
        if rule.admits(OPERATOR):
            assert not any(rule.admits(peer) for peer in others), method


@pytest.mark.parametrize(
    "peer", ["spiffe://ecarus/edge/", "spiffe://ecarus/room/", "spiffe://ecarus/room/a/b", OPERATOR]
)
def test_who_is_neither_edge_nor_room_nor_team_may_not_look(peer: str) -> None:
    assert not may_look(peer)


def test_an_rpc_whose_contract_does_not_say_who_may_call_stops_the_start() -> None:
    with pytest.raises(ValueError, match=r"grpc\.health\.v1\.Health\.Check"):
        policy_of("grpc.health.v1.Health")


def test_what_changes_something_is_said_so() -> None:
    """A call that is cut short may have had its effect: the callers of these are told."""
    reads = re.compile(r"(Get|List|Watch|Stream|Check|Review|Sign|Server)[A-Za-z]*$")
    for method, rule in policies().items():
        assert rule.mutates is not bool(reads.search(method)), method
