"""Which workload calls: the one SPIFFE URI of its certificate (SPIFFE X509-SVID, sections 2 and 5), no other name.

A certificate is read once and remembered by its bytes, so that a call costs a look into a table.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from services.platform.policy import SPIFFE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.platform.revocation import CertificateId

_URI = re.compile(re.escape(SPIFFE) + r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_DOTS = re.compile(r"/\.{1,2}(/|$)")
_MOST_REMEMBERED = 4_096
"""Certificates are renewed, processes are not: the table must not grow for ever."""
_PEM = "x509_pem_cert"
"""gRPC's name for the certificate that the peer has proven to hold."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A caller: the SPIFFE URI of its certificate, and which certificate that is."""

    uri: str
    certificate: CertificateId


class Workloads:
    """Reads certificates, and knows which of them are revoked."""

    def __init__(self) -> None:
        self._known: dict[bytes, Workload | None] = {}
        self._revoked: frozenset[CertificateId] = frozenset()
        self._revoked_names: frozenset[str] = frozenset()

    def calling(self, auth_context: Mapping[str, Iterable[bytes]]) -> Workload | None:
        """Return who calls over this connection (gRPC's authentication context); None for nobody of ours."""
        for pem in auth_context.get(_PEM, ()):
            return self.read(pem)
        return None

    def read(self, pem: bytes) -> Workload | None:
        """Return whose this certificate is, which the caller has verified; None for nobody of ours."""
        try:
            return self._known[pem]
        except KeyError:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            workload = self._known[pem] = workload_of(pem)
            return workload

    def revoke(self, certificates: frozenset[CertificateId]) -> None:
        """Trust none of these certificates any longer, and all others again."""
        self._revoked = certificates
        self._revoked_names = frozenset(map(certificate_name, certificates))

    def is_revoked(self, workload: Workload) -> bool:
        """Return whether the certificate is revoked."""
        return workload.certificate in self._revoked

    def is_name_revoked(self, name: str) -> bool:
        """Return whether the certificate of this name (see certificate_name) is revoked."""
        return name in self._revoked_names


def certificate_name(certificate: CertificateId) -> str:
    """Return a name of this certificate that fits into a capability: 32 hexadecimal digits."""
    issuer, serial = certificate
    return hashlib.sha256(b"%x:" % serial + issuer).hexdigest()[:32]


def workload_of(pem: bytes) -> Workload | None:
    """Return whose this certificate is; None unless it has exactly one URI and that is one of our trust domain.

    Names of any other kind are no identity: a DNS name may spell a URI.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or not _URI.fullmatch(uris[0]) or _DOTS.search(uris[0]):
        return None
    return Workload(uris[0], (certificate.issuer.public_bytes(), certificate.serial_number))
