"""Certificates of a CA of the tests' own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.pki import CertificateIdentity, Pair, Pki

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA of this session. `of("edge")`, `of("room/config")`, `of("team/fleet")` sign on first use."""

    authority: Pki

    def of(self, workload: str) -> Pair:
        kind, _, name = workload.partition("/")
        dns = ("localhost", f"{name}.rooms.ecarus.internal") if kind == "room" else ("localhost",)
        return self.authority.ensure(
            CertificateIdentity(
                workload.replace("/", "-"),
                uri=f"spiffe://ecarus/{workload}",
                dns=dns,
                addresses=("127.0.0.1",),
            )
        )

    def signed(self, names: Sequence[x509.GeneralName]) -> Pair:
        """A client's certificate with exactly these names, whatever they are."""
        folder = Path(tempfile.mkdtemp(dir=self.authority.ca.parent))
        pair = Pair(folder / "odd.crt", folder / "odd.key")
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, issuer_key = self.authority._ca_cert, self.authority._ca_key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
        builder = self.authority._builder(subject, issuer.subject, key.public_key(), 1)
        odd = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self.authority._write(pair, odd.sign(issuer_key, hashes.SHA256()), key)
        return pair
