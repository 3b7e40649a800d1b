"""What is enrolled is what the broker lets in; what it would refuse is refused with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.pki import SERVICE_CA, VEHICLE_CA, Pki
from mesh.sandbox import TRUST_DOMAIN, vehicle_identity
from services.enrolment.adapters.certificates import MOST_BETWEEN, CertificateCheck
from services.enrolment.adapters.translate import NotACertificateError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2031, 1, 1, tzinfo=UTC)
VIN = "KMHSH81C7LU123456"
URI = f"{TRUST_DOMAIN}/vehicle/{VIN}"
DAY = timedelta(days=1)


class Authority:
    """A CA that signs what it is asked for."""

    def __init__(self, name: str, above: Authority | None = None, lasts: timedelta = 3_650 * DAY) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        signing = above or self
        self.cert = (
            _builder(self.name, signing.name, self.key.public_key(), NOW + lasts)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signing.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    def certify(
        self,
        *,
        names: list[x509.GeneralName] | None = None,
        key: Any = None,
        ends: datetime = NOW + 90 * DAY,
        begins: datetime = NOW - DAY,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> bytes:
        public = (key or ec.generate_private_key(ec.SECP256R1())).public_key()
        builder = _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "car")]), self.name, public, ends, begins
        ).add_extension(
            x509.SubjectAlternativeName(names or [x509.UniformResourceIdentifier(URI)]), critical=False
        )
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: Any, ends: datetime, begins: datetime = NOW - 400 * DAY
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


MAKERS = Authority("makers of vehicles")
CHECK = CertificateCheck.read(MAKERS.pem, lambda: NOW)


def usage(*, signs: bool) -> x509.KeyUsage:
    rest = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=signs, key_encipherment=False, key_agreement=not signs, **rest)


def test_what_the_vehicles_ca_signed_is_admissible() -> None:
    for extensions in (
        (),
        ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False), (usage(signs=True), True)),
    ):
        pem = MAKERS.certify(extensions=extensions)
        vin, certificate = CHECK.admissible(pem)
        assert (vin, certificate.public_bytes(Encoding.PEM)) == (VIN, pem)


def test_what_the_sandbox_makes_is_admissible(tmp_path: Path) -> None:
    pki = Pki(tmp_path, NOW, VEHICLE_CA)
    pem = pki.ensure(vehicle_identity(VIN)).cert.read_bytes()
    assert CertificateCheck.read(pki.ca.read_bytes(), lambda: NOW).admissible(pem)[0] == VIN


def test_an_old_and_a_new_ca_stand_side_by_side() -> None:
    new = Authority("makers since today")
    check = CertificateCheck.read(MAKERS.pem + new.pem, lambda: NOW)
    for one in (MAKERS, new):
        assert check.admissible(one.certify())[0] == VIN


def test_cas_between_come_with_the_certificate() -> None:
    chain = [MAKERS]
    for number in range(MOST_BETWEEN + 1):
        chain.append(Authority(f"factory {number}", chain[-1]))
    between = b"".join(one.pem for one in reversed(chain[1:-1]))
    assert CHECK.admissible(chain[-2].certify() + between)[0] == VIN
    with pytest.raises(NotACertificateError, match="not signed by the vehicles' CA"):
        CHECK.admissible(chain[-2].certify())
    with pytest.raises(NotACertificateError, match="not signed by the vehicles' CA"):
        CHECK.admissible(chain[-1].certify() + chain[-1].pem + between)
    with pytest.raises(NotACertificateError, match="what follows"):
        CHECK.admissible(MAKERS.certify() + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_a_leaf_signs_no_vehicle() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = MAKERS.certify(key=key)
    impostor = Authority("car")
    impostor.key = key
    with pytest.raises(NotACertificateError, match="not signed by the vehicles' CA"):
        CHECK.admissible(impostor.certify() + leaf)


def test_of_whom_it_is_instead_is_said(tmp_path: Path) -> None:
    services = Pki(tmp_path, NOW, SERVICE_CA)
    pem = services.ensure(vehicle_identity(VIN)).cert.read_bytes()
    with pytest.raises(
        NotACertificateError,
        match=r"the vehicles' CA \(CN=makers of vehicles\), but by CN=ecarus development CA",
    ):
        CHECK.admissible(pem)
    with pytest.raises(NotACertificateError, match="by another of the same name"):
        CHECK.admissible(Authority("makers of vehicles").certify())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ends": NOW}, "the certificate expired at 2031-01-01"),
        ({"begins": NOW + DAY}, "the certificate is not valid before 2031-01-02"),
        ({"key": ec.generate_private_key(ec.SECP384R1())}, "P-256 .* is secp384r1"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "P-256 .* is Ed25519"),
        ({"key": rsa.generate_private_key(65_537, 2048)}, "P-256 .* is RSA"),
        (
            {
                "names": [
                    x509.UniformResourceIdentifier(URI),
                    x509.DNSName("command.rooms.ecarus.internal"),
                ]
            },
            "a name besides",
        ),
        ({"names": [x509.DNSName("car.example")]}, "not a vehicle's certificate"),
        ({"names": [x509.UniformResourceIdentifier(URI)] * 2}, "not a vehicle's certificate"),
        (
            {"extensions": ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)},
            "clientAuth",
        ),
        ({"extensions": ((usage(signs=False), True),)}, "digitalSignature"),
        ({"extensions": ((x509.BasicConstraints(ca=True, path_length=None), True),)}, "a CA's"),
        (
            {
                "extensions": (
                    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"x"), True),
                )
            },
            "critical extension",
        ),
    ],
)
def test_what_the_broker_would_refuse_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotACertificateError, match=reason):
        CHECK.admissible(MAKERS.certify(**changes))


def test_cas_that_are_over_sign_nothing() -> None:
    over = Authority("makers of before", lasts=-DAY)
    with pytest.raises(NotACertificateError, match="the vehicles' CA expired at 2030-12-31"):
        CertificateCheck.read(over.pem, lambda: NOW).admissible(over.certify())
    between = Authority("factory of before", MAKERS, lasts=-DAY)
    with pytest.raises(NotACertificateError, match=r"a CA between .* expired"):
        CHECK.admissible(between.certify() + between.pem)


def test_a_private_key_is_refused() -> None:
    with pytest.raises(NotACertificateError, match="private key"):
        CHECK.admissible(MAKERS.certify() + b"-----BEGIN PRIVATE KEY-----\n")
