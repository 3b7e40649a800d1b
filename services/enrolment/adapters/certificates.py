"""Which certificates of vehicles the broker will let in, said when one is enrolled.

The broker verifies a certificate when the vehicle connects, and tells the vehicle nothing. What it would refuse is
refused here, with the reason; so is what it would let in and the documents forbid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.enrolment.adapters.translate import NotACertificateError, vehicle_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

MOST_BETWEEN = 3
"""CAs between a vehicle's certificate and the vehicles' CA."""
_MOST_NAME_CHARACTERS = 100
_CLIENTS = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_KINDS = {
    rsa.RSAPublicKey: "RSA",
    ed25519.Ed25519PublicKey: "Ed25519",
    ed448.Ed448PublicKey: "Ed448",
}


@dataclass(frozen=True, slots=True)
class CertificateCheck:
    """`cas` are the CAs of vehicles, more than one while one is replaced. `now` gives aware times."""

    cas: tuple[x509.Certificate, ...]
    now: Callable[[], datetime]

    @classmethod
    def read(cls, pem: bytes, now: Callable[[], datetime]) -> Self:
        """Return the check for the CAs in a PEM file. Raise ValueError when there is none."""
        return cls(tuple(x509.load_pem_x509_certificates(pem)), now)

    def admissible(self, pem: bytes) -> tuple[str, x509.Certificate]:
        """Return the VIN and the certificate, the first in the PEM text.

        Others in it are CAs between it and the vehicles' CA. Raise NotACertificateError or NotAVinError
        where the broker would not let the vehicle in with it, or must not.
        """
        if b"PRIVATE KEY" in pem:
            raise NotACertificateError(
                "this holds a private key, which must not leave the vehicle: make it a new one"
            )
        vin, certificate = vehicle_certificate(pem)
        _check_names(certificate)
        _check_key(certificate)
        _check_purpose(certificate)
        _check_time("the certificate", certificate, self.now())
        try:
            between = x509.load_pem_x509_certificates(pem)[1:]
        except ValueError as error:
            raise NotACertificateError("what follows the certificate is no PEM certificate") from error
        self._check_issuer(certificate, between)
        return vin, certificate

    def _check_issuer(self, certificate: x509.Certificate, between: Sequence[x509.Certificate]) -> None:
        current = certificate
        for left in range(MOST_BETWEEN, -1, -1):
            ca = next((one for one in self.cas if _signed(current, one)), None)
            if ca is not None:
                _check_time("the vehicles' CA", ca, self.now())
                return
            step = next((one for one in between if left and _is_ca(one) and _signed(current, one)), None)
            if step is None:
                break
            _check_time("a CA between the certificate and the vehicles' CA", step, self.now())
            current = step
        raise NotACertificateError(self._foreign(current))

    def _foreign(self, certificate: x509.Certificate) -> str:
        ours = " or ".join(_name(ca.subject) for ca in self.cas)
        if any(certificate.issuer == ca.subject for ca in self.cas):
            return f"not signed by the vehicles' CA ({ours}), but by another of the same name"
        return f"not signed by the vehicles' CA ({ours}), but by {_name(certificate.issuer)}"


def _check_names(certificate: x509.Certificate) -> None:
    """Raise NotACertificateError unless the SPIFFE URI is the only name: a DNS name is a service's to the broker."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if len(list(names)) != 1:
        raise NotACertificateError("it has a name besides its SPIFFE URI, which no vehicle may have")


def _check_key(certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotACertificateError("its key must be P-256 (ECDSA), and is of a kind unknown here") from error
    if isinstance(key, ec.EllipticCurvePublicKey):
        kind = key.curve.name
        if isinstance(key.curve, ec.SECP256R1):
            return
    else:
        kind = next((word for each, word in _KINDS.items() if isinstance(key, each)), "of another kind")
    raise NotACertificateError(f"its key must be P-256 (ECDSA), and is {kind}")


def _check_purpose(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage) and not _CLIENTS.intersection(value):
            raise NotACertificateError("it is not for clients (extended key usage clientAuth)")
        if isinstance(value, x509.KeyUsage) and not value.digital_signature:
            raise NotACertificateError("its key may not sign (key usage digitalSignature)")
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise NotACertificateError("it is a CA's certificate")
        if extension.critical and isinstance(value, x509.UnrecognizedExtension):
            raise NotACertificateError(
                f"its critical extension {extension.oid.dotted_string} is not understood"
            )


def _check_time(which: str, certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise NotACertificateError(f"{which} expired at {certificate.not_valid_after_utc.isoformat()}")
    if now < certificate.not_valid_before_utc:
        raise NotACertificateError(
            f"{which} is not valid before {certificate.not_valid_before_utc.isoformat()}"
        )


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()[:_MOST_NAME_CHARACTERS] or "somebody without a name"
