"""Requests over native gRPC: the vehicle is in the message, and the listener is for teams."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.door.v1 import door_command_service_pb2

from tests.unit.access.admission_answers import FOREIGN, VIN, admitted, denied

if TYPE_CHECKING:
    from services.access.adapters.edge_requests import EdgeRequest

UNLOCK_RPC = "/ecarus.remotecontrol.door.v1.DoorCommandService/UnlockDoors"


def by_grpc(house: Any, **order: Any) -> EdgeRequest:
    asked = door_command_service_pb2.UnlockDoorsRequest(vin=VIN, unlock=order)
    message = asked.SerializeToString()
    request: EdgeRequest = house.request(
        UNLOCK_RPC,
        method="POST",
        team_listener=True,
        certificate="team",
        body=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={"content-type": "application/grpc"},
    )
    return request


async def test_what_the_rules_of_the_contract_refuse_spends_no_command(house: Any) -> None:
    for order in ({}, {"target_doors": ["all", "driver"]}, {"target_doors": ["boot"]}):
        for _ in range(10):
            made = await denied(house, by_grpc(house, **order), "INVALID_REQUEST")
            assert made.refusal.violations[0].field.startswith("targetDoors")
    for _ in range(10):
        await admitted(house, by_grpc(house, target_doors=["all"]))
    await denied(house, by_grpc(house, target_doors=["all"]), "RATE_LIMITED")


def native(house: Any, vin: str, path: str = UNLOCK_RPC, **headers: str | None) -> EdgeRequest:
    message = b"\x0a" + bytes([len(vin)]) + vin.encode() + b"\x12\x05\x0a\x03all"
    request: EdgeRequest = house.request(
        path,
        method="POST",
        team_listener=True,
        certificate="team",
        body=b"\0" + len(message).to_bytes(4, "big") + message,
        headers={"content-type": "application/grpc+proto", **headers},
    )
    return request


async def test_native_requests_are_judged_by_the_vin_in_the_message(house: Any) -> None:
    made = await admitted(house, native(house, VIN.lower()))
    capability = house.verifier.verify(made.capability)
    assert (capability.resource, capability.certificate) == (
        VIN,
        "c-1",
    )  # what it opens ends with the team's certificate
    foreign = await denied(house, native(house, FOREIGN), "VEHICLE_NOT_FOUND")
    assert foreign.native
    await denied(house, native(house, VIN, "/ecarus.other.v1.Service/Do"), "PATH_NOT_FOUND")
    await denied(house, native(house, VIN, authorization=None), "AUTHENTICATION_REQUIRED")


async def test_a_certificate_that_is_no_teams_is_refused_whatever_the_bearer(house: Any) -> None:
    for certificate in ("", "edge"):
        asked = replace(native(house, VIN), certificate=certificate)
        assert (await denied(house, asked, "CALLER_NOT_ALLOWED")).native


async def test_health_and_reflection_need_no_capability(house: Any) -> None:
    for path in (
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ):
        made = await admitted(house, native(house, "", path, authorization=None))
        assert made.capability is None
