"""The broker's questions and the contract's messages, to and from the domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2 as enrolment_contract
from ecarus.remotecontrol.access.v1 import vehicle_keys_service_pb2 as contract

from protocol import streams, subjects
from protocol.keys import key_id
from services.enrolment.adapters.public_keys import NotPublicKeysError
from services.enrolment.adapters.vins import checked_vin
from services.enrolment.domain import (
    BrokerAdmission,
    ConnectingVehicle,
    CredentialInUseError,
    Enrolment,
    LinkProtocol,
    NotAdmittedError,
    NotAVinError,
    NotEnrolledError,
)
from services.enrolment.usecases import BrokerSilentError
from services.platform import errors
from services.platform.errors import REASONS, Refusal, Violation
from services.platform.times import shown_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.enrolment.domain import PublicKeys

ALREADY_ENROLLED = REASONS["ALREADY_ENROLLED"]
VEHICLE_URI = "spiffe://ecarus/vehicle/"

_REQUEST = "nats-authorization-request"
_LINKS = {"nats": LinkProtocol.NATS, "mqtt": LinkProtocol.MQTT}
_ACCOUNTS = {LinkProtocol.NATS: streams.CARS_ACCOUNT, LinkProtocol.MQTT: streams.MQTT_CARS_ACCOUNT}


class NotACertificateError(ValueError):
    """Not a PEM certificate, or not a vehicle's."""


@dataclass(frozen=True, slots=True)
class AuthCalloutRequest:
    """What the broker asks about: the key it made for the connection, its number, and the broker itself."""

    user_key: str
    server_id: str
    number: int


def question_of(claims: dict[str, Any]) -> AuthCalloutRequest:
    """Return whom the answer is for. Raises NotAdmittedError."""
    try:
        nats = claims["nats"]
        if claims["aud"] != _REQUEST or claims["iss"] != nats["server_id"]["id"]:
            raise NotAdmittedError("not the broker's question")
        return AuthCalloutRequest(nats["user_nkey"], nats["server_id"]["id"], int(nats["client_info"]["id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise NotAdmittedError("not the broker's question") from error


def caller_of(claims: dict[str, Any], vehicle_cas: frozenset[bytes]) -> ConnectingVehicle:
    """Return who asks to be let in. Raises NotAdmittedError.

    `vehicle_cas` are the CAs of vehicles (DER): the broker trusts the services' CA, too, which signs no vehicle.
    """
    try:
        nats = claims["nats"]
        client = nats["client_info"]
        chains = nats.get("client_tls", {}).get("verified_chains") or ()
        signed = [chain for chain in chains if _der(chain[-1]) in vehicle_cas]
        leaf = signed[0][0].encode() if signed else b""
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise NotAdmittedError("not the broker's question") from error
    if not chains:
        raise NotAdmittedError("no certificate")
    if not leaf:
        raise NotAdmittedError("not a certificate of the vehicles' CA")
    try:
        vin, certificate = vehicle_certificate(leaf)
        link = _LINKS[client["type"]]
    except (NotACertificateError, NotAVinError) as error:
        raise NotAdmittedError(str(error)) from error
    except KeyError as error:
        raise NotAdmittedError("neither NATS nor MQTT") from error
    return ConnectingVehicle(
        vin, fingerprint_of(certificate), certificate.not_valid_after_utc, link, client.get("mqtt_id")
    )


def read_cas(pem: bytes) -> frozenset[bytes]:
    """Return the certificates in a PEM file, as DER. Raises ValueError when there is none."""
    return frozenset(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem))


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


def vehicle_certificate(pem: bytes) -> tuple[str, x509.Certificate]:
    """Return the certificate and the VIN it names. Raises NotACertificateError, NotAVinError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise NotACertificateError("not a PEM certificate with a SPIFFE URI") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or not uris[0].startswith(VEHICLE_URI):
        raise NotACertificateError(f"not a vehicle's certificate ({VEHICLE_URI}<VIN>)")
    return checked_vin(uris[0].removeprefix(VEHICLE_URI)), certificate


def fingerprint_of(certificate: x509.Certificate) -> str:
    """Return SHA-256, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def user_claims(admission: BrokerAdmission, question: AuthCalloutRequest) -> dict[str, Any]:
    """Return what the admitted may do, as the broker's user token claims it."""
    publish, subscribe = _rights(admission)
    return {
        "aud": _ACCOUNTS[admission.link],
        "sub": question.user_key,
        "name": admission.vin,
        "exp": int(admission.until.timestamp()),
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": publish},
            "sub": {"allow": subscribe},
            "subs": -1,
            "data": -1,
            "payload": -1,
            "allowed_connection_types": ["MQTT" if admission.link is LinkProtocol.MQTT else "STANDARD"],
        },
    }


def answer_claims(question: AuthCalloutRequest, *, user_token: str = "", error: str = "") -> dict[str, Any]:
    """Return the answer to the broker: a user token, or an error."""
    told = {"jwt": user_token} if user_token else {"error": error}
    return {
        "aud": question.server_id,
        "sub": question.user_key,
        "nats": {"type": "authorization_response", "version": 2, **told},
    }


def _rights(admission: BrokerAdmission) -> tuple[list[str], list[str]]:
    """Return the subjects the vehicle may publish and subscribe to: each event of its own, and its own queue or
    session.
    """
    vin = admission.vin
    # A status report is mapped to its partition first and judged by the subject it is mapped to.
    events = [
        subjects.event_subject(vin, event)
        for event in subjects.EventKind
        if event is not subjects.EventKind.STATUS
    ]
    events.append(subjects.status_subject(vin))
    if admission.link is LinkProtocol.MQTT:
        # The broker delivers a session's messages by $MQTT.sub; an MQTT client cannot ask for that itself.
        commands = subjects.command_subject(vin, subjects.CommandKind.DOOR).removesuffix("door") + "*"
        return [*events, subjects.presence_subject(vin)], [commands, "$MQTT.sub.>"]
    queue = streams.VEHICLE_COMMANDS
    pull = [f"$JS.API.CONSUMER.MSG.NEXT.{queue}.{vin}", f"$JS.ACK.{queue}.{vin}.>"]
    return [*events, *pull], [f"_INBOX.{vin}.>"]


def enrolment_message(enrolment: Enrolment) -> enrolment_contract.VehicleEnrolment:
    """Return an enrolment as the operator sees it: of each key its id."""
    keys = enrolment.keys
    return enrolment_contract.VehicleEnrolment(
        vin=enrolment.vin,
        certificate_sha256=bytes.fromhex(enrolment.fingerprint or ""),
        verify_key_id=key_id(keys.verify_key) if keys else b"",
        seal_key_id=key_id(keys.seal_key) if keys else b"",
        enrolled_at=shown_time(enrolment.enrolled_at),
        revoked_at=shown_time(enrolment.revoked_at) if enrolment.revoked_at else None,
        certificate_ends_at=shown_time(enrolment.certificate_ends_at)
        if enrolment.certificate_ends_at
        else None,
    )


def refusal_of(error: Exception) -> Refusal | None:
    """Return how this service's own exceptions are told."""
    if isinstance(error, NotEnrolledError):
        return Refusal(errors.RESOURCE_NOT_FOUND, "the vehicle is not enrolled")
    if isinstance(error, CredentialInUseError):
        return Refusal(ALREADY_ENROLLED, str(error))
    if isinstance(error, BrokerSilentError):
        return Refusal(
            errors.DEPENDENCY_UNAVAILABLE,
            f"recorded, but live connections and remembered keys may remain ({error}): do it again",
        )
    if isinstance(error, (NotACertificateError, NotAVinError, NotPublicKeysError)):
        field, reason = "publicKeys" if isinstance(error, NotPublicKeysError) else "certificate", str(error)
        return Refusal(errors.INVALID_REQUEST, reason, violations=[Violation(field, reason)])
    return None


def keys_response(found: Mapping[str, PublicKeys]) -> contract.GetVehicleKeysResponse:
    """Return the answer to GetVehicleKeys."""
    return contract.GetVehicleKeysResponse(
        keys=[
            contract.VehicleKeys(vin=vin, verify_key=keys.verify_key, seal_key=keys.seal_key)
            for vin, keys in found.items()
        ]
    )


def keys_changed(vin: str) -> bytes:
    """Return what the services are told."""
    return contract.VehicleKeysChanged(vin=vin).SerializeToString()
