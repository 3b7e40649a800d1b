"""The service's RPCs: the keys of vehicles, for the services that talk with them; and enrolment, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import structlog
from ecarus.remotecontrol.access.v1 import (
    vehicle_enrolment_service_pb2,
    vehicle_enrolment_service_pb2_grpc,
    vehicle_keys_service_pb2,
    vehicle_keys_service_pb2_grpc,
)
from typing_extensions import override

from services.enrolment import usecases
from services.enrolment.adapters import translate
from services.enrolment.adapters.public_keys import read_public_keys
from services.enrolment.adapters.translate import NotACertificateError
from services.platform.logs import masked_id
from services.platform.policy import policy_of
from services.platform.server import ServedApi

if TYPE_CHECKING:
    from services.enrolment.adapters.certificates import CertificateCheck
    from services.enrolment.usecases import EnrolmentDependencies, EnrolmentRecord

SERVICE = "ecarus.remotecontrol.access.v1.VehicleKeysService"
POLICY = policy_of(SERVICE)
ENROLMENT_SERVICE = "ecarus.remotecontrol.access.v1.VehicleEnrolmentService"
ENROLMENT_POLICY = policy_of(ENROLMENT_SERVICE)
DEFAULT_PAGE = 500
_log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class VehicleKeysServer(vehicle_keys_service_pb2_grpc.VehicleKeysServiceServicer):
    """Answers from the record."""

    def __init__(self, record: EnrolmentRecord) -> None:
        self._record = record

    def register(self, server: grpc.aio.Server) -> None:
        """Serve on it."""
        vehicle_keys_service_pb2_grpc.add_VehicleKeysServiceServicer_to_server(self, server)

    @override
    async def GetVehicleKeys(
        self,
        request: vehicle_keys_service_pb2.GetVehicleKeysRequest,
        context: Context,
    ) -> vehicle_keys_service_pb2.GetVehicleKeysResponse:
        return translate.keys_response(await usecases.vehicle_keys(self._record, request.vins))


class VehicleEnrolmentServicer(vehicle_enrolment_service_pb2_grpc.VehicleEnrolmentServiceServicer):
    """Does what operators ask."""

    def __init__(self, deps: EnrolmentDependencies, certificates: CertificateCheck) -> None:
        self._deps = deps
        self._certificates = certificates

    @override
    async def EnrolVehicle(
        self,
        request: vehicle_enrolment_service_pb2.EnrolVehicleRequest,
        context: Context,
    ) -> vehicle_enrolment_service_pb2.VehicleEnrolment:
        vin, certificate = self._certificates.admissible(request.certificate)
        if vin != request.vin:
            raise NotACertificateError("the certificate names another vehicle")
        keys = read_public_keys(request.public_keys)
        enrolment = await usecases.enrol(
            self._deps,
            vin,
            translate.fingerprint_of(certificate),
            keys,
            certificate.not_valid_after_utc,
        )
        _log.info("vehicle_enrolled", vin=masked_id(vin))
        return translate.enrolment_message(enrolment)

    @override
    async def RevokeVehicle(
        self,
        request: vehicle_enrolment_service_pb2.RevokeVehicleRequest,
        context: Context,
    ) -> vehicle_enrolment_service_pb2.RevokeVehicleResponse:
        enrolment, cut = await usecases.revoke(self._deps, request.vin)
        _log.info("vehicle_revoked", vin=masked_id(request.vin), connections_cut=cut)
        return vehicle_enrolment_service_pb2.RevokeVehicleResponse(
            enrolment=translate.enrolment_message(enrolment), connections_cut=cut
        )

    @override
    async def ListVehicles(
        self,
        request: vehicle_enrolment_service_pb2.ListVehiclesRequest,
        context: Context,
    ) -> vehicle_enrolment_service_pb2.ListVehiclesResponse:
        limit = request.page_size or DEFAULT_PAGE
        found, next_token = await usecases.enrolments(self._deps, limit, request.page_token)
        return vehicle_enrolment_service_pb2.ListVehiclesResponse(
            enrolments=map(translate.enrolment_message, found), next_page_token=next_token
        )


def enrolment_api(deps: EnrolmentDependencies, certificates: CertificateCheck) -> ServedApi:
    """Make the operators' API, which the service's server also serves."""
    servicer = VehicleEnrolmentServicer(deps, certificates)
    add = vehicle_enrolment_service_pb2_grpc.add_VehicleEnrolmentServiceServicer_to_server
    return ServedApi(ENROLMENT_SERVICE, ENROLMENT_POLICY, lambda server: add(servicer, server))
