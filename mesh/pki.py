"""The sandbox's certificates: two development CAs, of services and of vehicles, and what each signs.

All keys are P-256, because gRPC's TLS refuses Ed25519 certificates. Workloads carry a SPIFFE URI;
servers also carry the names and the address they are reached by. Nothing here is fit for production:
a CA's key lies beside its certificates.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

CA_DAYS = 3650
SERVICE_CA = "ca"
"""Signs services, the edge, teams and operators."""
VEHICLE_CA = "vehicle-ca"
"""Signs vehicles. Only the broker trusts it; nothing that it signs is a service."""
LEAF_DAYS = 90
RENEW_BEFORE_DAYS = 7
# A clock that is a little behind must not find a fresh certificate "not yet valid".
_BACKDATE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """Who a certificate is for: `name` is its file name, `uri` its SPIFFE URI where it has one."""

    name: str
    uri: str | None = None
    dns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    server: bool = True
    client: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """The PEM files of a certificate and its key."""

    cert: Path
    key: Path


class Pki:
    """The certificates of one CA in a folder; CAs may share one. `now` is an aware time; it decides what must be
    renewed.
    """

    def __init__(self, folder: Path, now: datetime, ca: str = SERVICE_CA) -> None:
        self._folder = folder
        self._now = now
        self._ca_name = ca
        self._ca_cert, self._ca_key = self._load_ca() or self._make_ca()

    @property
    def ca(self) -> Path:
        """The CA's certificate, a PEM file."""
        return self.pair(self._ca_name).cert

    @property
    def revocations(self) -> Path:
        """The PEM file of the CA's revocation list (RFC 5280, section 5)."""
        return self._folder / f"{self._ca_name}.crl"

    def pair(self, name: str) -> Pair:
        """Return where the files of this name lie."""
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def ensure(self, identity: CertificateIdentity) -> Pair:
        """Return the identity's certificate: made if it is missing, another CA's, under other names, revoked, or
        soon to expire.
        """
        pair = self.pair(identity.name)
        if not (pair.key.is_file() and self._is_good(pair.cert, identity)):
            self._issue(identity, pair)
        return pair

    def ensure_revocations(self) -> Path:
        """Return the CA's revocation list: made, and empty, if it is missing, another CA's, or soon to expire."""
        if self._revocation_list() is None:
            self._write_revocations([])
        return self.revocations

    def revoke(self, *certificates: Path) -> None:
        """Add these certificates (PEM files) to the CA's revocation list."""
        found = self._revocation_list()
        entries = list(found) if found is not None else []
        for path in certificates:
            revoked = (
                x509.RevokedCertificateBuilder()
                .serial_number(_load_cert(path).serial_number)
                .revocation_date(self._now)
                .build()
            )
            entries.append(revoked)
        self._write_revocations(entries)

    def _revocation_list(self) -> x509.CertificateRevocationList | None:
        if not self.revocations.is_file():
            return None
        try:
            found = x509.load_pem_x509_crl(self.revocations.read_bytes())
        except ValueError as unreadable:
            raise ValueError(f"{self.revocations} is not a PEM revocation list") from unreadable
        ours = found.issuer == self._ca_cert.subject and found.is_signature_valid(self._ca_key.public_key())
        ends = found.next_update_utc
        soon = ends is None or ends - self._now < timedelta(days=RENEW_BEFORE_DAYS)
        return found if ours and not soon else None

    def _write_revocations(self, entries: list[x509.RevokedCertificate]) -> None:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._ca_cert.subject)
            .last_update(self._now - _BACKDATE)
            .next_update(self._ca_cert.not_valid_after_utc)
        )
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        text = builder.sign(self._ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        write_private(self.revocations, text)

    def _load_ca(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
        pair = self.pair(self._ca_name)
        if not (pair.cert.is_file() and pair.key.is_file()):
            return None
        cert = _load_cert(pair.cert)
        if self._expires_soon(cert):
            return None
        try:
            key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
        except ValueError as unreadable:
            raise ValueError(f"{pair.key} is not a PEM private key") from unreadable
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{pair.key} is not a P-256 key")
        return cert, key

    def _make_ca(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        of_whom = "" if self._ca_name == SERVICE_CA else f" ({self._ca_name})"
        name = _common_name(f"ecarus development CA{of_whom}")
        builder = (
            self._builder(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        if self._ca_name == VEHICLE_CA:
            builder = builder.add_extension(_only_uris(), critical=True)
        cert = builder.sign(key, hashes.SHA256())
        self._write(self.pair(self._ca_name), cert, key)
        return cert, key

    def _issue(self, identity: CertificateIdentity, pair: Pair) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = _names_of(identity)
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * identity.server
        purposes += [ExtendedKeyUsageOID.CLIENT_AUTH] * identity.client
        cert = (
            self._builder(_common_name(identity.name), self._ca_cert.subject, key.public_key(), LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._ca_key, hashes.SHA256())
        )
        self._write(pair, cert, key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BACKDATE)
            .not_valid_after(self._now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _is_good(self, path: Path, identity: CertificateIdentity) -> bool:
        if not path.is_file():
            return False
        cert = _load_cert(path)
        ours = cert.issuer == self._ca_cert.subject and _signed_by(cert, self._ca_cert)
        try:
            names = list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            return False
        as_it_is = ours and names == _names_of(identity)
        return as_it_is and not self._expires_soon(cert) and not self._is_revoked(cert)

    def _is_revoked(self, cert: x509.Certificate) -> bool:
        found = self._revocation_list()
        return (
            found is not None
            and found.get_revoked_certificate_by_serial_number(cert.serial_number) is not None
        )

    def _expires_soon(self, cert: x509.Certificate) -> bool:
        return cert.not_valid_after_utc - self._now < timedelta(days=RENEW_BEFORE_DAYS)

    def _write(self, pair: Pair, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        write_private(
            pair.key,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        write_private(pair.cert, cert.public_bytes(serialization.Encoding.PEM))


def _names_of(identity: CertificateIdentity) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.dns]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    if identity.uri:
        names.append(x509.UniformResourceIdentifier(identity.uri))
    return names


def _only_uris() -> x509.NameConstraints:
    """Return the CA signs URIs of the trust domain (RFC 5280, section 4.2.1.10), and no other kind of name but
    in a domain that nobody has. The broker knows services by their DNS names.
    """
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.UniformResourceIdentifier("ecarus"),
            x509.DNSName("vehicles.invalid"),
            x509.RFC822Name("vehicles.invalid"),
        ],
        excluded_subtrees=[
            x509.IPAddress(ipaddress.ip_network(everything)) for everything in ("0.0.0.0/0", "::/0")
        ],
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _load_cert(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as unreadable:
        raise ValueError(f"{path} is not a PEM certificate") from unreadable


def _signed_by(cert: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
