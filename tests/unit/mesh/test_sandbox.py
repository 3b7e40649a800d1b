from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography import x509

from mesh.issuer_seed import ensure_issuer_seed
from mesh.nats_config import render_nats
from mesh.pki import LEAF_DAYS, RENEW_BEFORE_DAYS, VEHICLE_CA, CertificateIdentity, Pki
from mesh.ports import Ports
from mesh.sandbox import Sandbox, vehicle_identity
from mesh.sandbox_fleet import OWNERS, SAMPLE_KEY
from mesh.tokens import AUDIENCE, LIFETIME_SECONDS, ONE_FACTOR, Bearer, issue_token
from services import registry
from services.access.domain.key_scopes import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUER = "http://localhost:8700"
NOW = datetime(2026, 1, 12, 14, 30, tzinfo=UTC)
SERVICE = CertificateIdentity(
    "command", uri="spiffe://ecarus/room/command", dns=("localhost",), addresses=("127.0.0.1",)
)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_certificate_says_who_it_is_for(tmp_path: Path) -> None:
    cert = x509.load_pem_x509_certificate(Pki(tmp_path, NOW).ensure(SERVICE).cert.read_bytes())
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://ecarus/room/command"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes()))


def test_certificates_are_renewed_only_when_they_soon_expire(tmp_path: Path) -> None:
    def serial(now: datetime) -> int:
        return x509.load_pem_x509_certificate(
            Pki(tmp_path, now).ensure(SERVICE).cert.read_bytes()
        ).serial_number

    first = serial(NOW)
    assert serial(NOW + timedelta(days=LEAF_DAYS - RENEW_BEFORE_DAYS)) == first
    assert serial(NOW + timedelta(days=LEAF_DAYS - RENEW_BEFORE_DAYS, seconds=1)) != first


def test_a_revoked_certificate_is_on_the_list_and_replaced(tmp_path: Path) -> None:
    def serial() -> int:
        return x509.load_pem_x509_certificate(
            Pki(tmp_path, NOW).ensure(SERVICE).cert.read_bytes()
        ).serial_number

    first = serial()
    Pki(tmp_path, NOW).ensure_revocations()
    assert serial() == first
    Pki(tmp_path, NOW).revoke(Pki(tmp_path, NOW).pair(SERVICE.name).cert)
    second = serial()
    Pki(tmp_path, NOW).revoke(Pki(tmp_path, NOW).pair(SERVICE.name).cert)
    revoked = x509.load_pem_x509_crl(Pki(tmp_path, NOW).ensure_revocations().read_bytes())
    assert [entry.serial_number for entry in revoked] == [first, second]


def test_another_ca_s_certificate_is_replaced(tmp_path: Path) -> None:
    Pki(tmp_path, NOW).ensure(SERVICE)
    (tmp_path / "ca.key").unlink()
    pki = Pki(tmp_path, NOW)
    cert = x509.load_pem_x509_certificate(pki.ensure(SERVICE).cert.read_bytes())
    cert.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.ca.read_bytes()))


def test_a_broken_key_is_named(tmp_path: Path) -> None:
    Pki(tmp_path, NOW)
    (tmp_path / "ca.key").write_text("no key")
    with pytest.raises(ValueError, match=r"ca\.key is not a PEM private key"):
        Pki(tmp_path, NOW)


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    Sandbox(tmp_path).prepare(NOW)
    before = contents(tmp_path)
    Sandbox(tmp_path).prepare(NOW + timedelta(days=1))
    assert contents(tmp_path) == before


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "doors"
    Sandbox(folder).prepare(NOW)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_no_two_sandboxes_share_a_secret(tmp_path: Path) -> None:
    one, other = Sandbox(tmp_path / "1"), Sandbox(tmp_path / "2")
    one.prepare(NOW)
    other.prepare(NOW)
    secrets = [(s.folder / "secrets").rglob("*") for s in (one, other)]
    values = [path.read_bytes() for found in secrets for path in found]
    assert len(values) == len(set(values))


def test_the_seed_and_the_vehicles(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    seed = json.loads(sandbox.seed.read_text())
    assert {grant["vin"]: grant["principal"] for grant in seed["grants"]} == OWNERS
    (key,) = seed["apiKeys"]
    assert (key["key"], key["principal"], key["source"]) == (SAMPLE_KEY, "user-123", "MOBILE_APP")
    reads = {word for word in WORDS if word.endswith(".read")}
    assert set(key["scopes"]) == {"door.read", "webhooks.read", *WORDS - reads}
    vehicles = json.loads(sandbox.vehicles.read_text())
    assert [vehicle["vin"] for vehicle in vehicles if not vehicle["awake"]] == ["KMHSH81C7LU123457"]


def test_a_token_is_an_access_token_of_the_issuer(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    now = datetime.now(UTC)
    token = issue_token(sandbox.issuer_key, ISSUER, Bearer("user-123"), now)
    header = jwt.get_unverified_header(token)
    (jwk,) = json.loads(sandbox.issuer_jwks.read_text())["keys"]
    assert (header["typ"], header["alg"], header["kid"]) == ("at+jwt", "EdDSA", jwk["kid"])
    assert "d" not in jwk
    claims = jwt.decode(token, jwt.PyJWK(jwk).key, algorithms=["EdDSA"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["sub"] == "user-123"
    assert claims["exp"] - claims["iat"] == LIFETIME_SECONDS
    assert claims["client_id"] == "mobile-app"
    assert not {"vin", "act"} & claims.keys()
    restricted = issue_token(
        sandbox.issuer_key, ISSUER, Bearer("user-123", vin="KMHSH81C7LU123456", client="web"), now
    )
    claims = jwt.decode(restricted, options={"verify_signature": False})
    assert (claims["vin"], claims["client_id"]) == ("KMHSH81C7LU123456", "web")
    with pytest.raises(ValueError, match="one vehicle"):
        issue_token(sandbox.issuer_key, ISSUER, Bearer("user-123", "agent-7"), now)
    bearer = Bearer("user-123", "agent-7", vin="KMHSH81C7LU123456")
    agents = issue_token(sandbox.issuer_key, ISSUER, bearer, now)
    claims = jwt.decode(agents, options={"verify_signature": False})
    assert (claims["sub"], claims["act"], claims["client_id"]) == (
        "user-123",
        {"sub": "agent-7"},
        "call-center",
    )
    assert (claims["case"], claims["exp"] - claims["iat"]) == ("case-1", 300)
    weak = Bearer("user-123", acr=ONE_FACTOR, age_seconds=90, jkt="k" * 43)
    claims = jwt.decode(
        issue_token(sandbox.issuer_key, ISSUER, weak, now), options={"verify_signature": False}
    )
    assert (claims["acr"], claims["amr"], claims["cnf"]) == (ONE_FACTOR, ["pwd"], {"jkt": "k" * 43})
    assert claims["iat"] - claims["auth_time"] == 90


def test_a_vehicle_is_asked_for_a_certificate_and_has_no_password(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    text = render_nats(Ports(), sandbox, Pki(sandbox.pki, NOW).pair("nats"))
    assert f'ca_file: "{sandbox.broker_clients}", verify_and_map: true' in text  # NATS
    assert f'ca_file: "{sandbox.vehicle_ca}", verify: true' in text  # MQTT
    assert not any(vin in text for vin in OWNERS)
    seeded = json.loads(sandbox.enrolment_seed.read_text())
    for entry in json.loads(sandbox.vehicles.read_text()):
        names = x509.load_pem_x509_certificate(Path(entry["certFile"]).read_bytes()).extensions
        uris = names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.UniformResourceIdentifier
        )
        assert uris == [f"spiffe://ecarus/vehicle/{entry['vin']}"]
        (seed,) = [seed for seed in seeded if seed["vin"] == entry["vin"]]
        assert seed["certificateFile"] == entry["certFile"]


def test_a_fleets_vehicle_may_say_and_hear_only_its_own(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    vin = "KMHSH81C7LU123456"
    (sandbox.nats_password(vin)).write_text("only-in-tests")
    text = render_nats(Ports(), sandbox, Pki(sandbox.pki, NOW).pair("nats"), [vin])
    (line,) = [line for line in text.splitlines() if f'"user": "{vin}"' in line]
    permissions = json.loads(line)["permissions"]
    assert permissions["subscribe"] == {"allow": [f"_INBOX.{vin}.>"]}
    assert all(vin in subject for subject in permissions["publish"]["allow"])
    assert not any("CREATE" in subject for subject in permissions["publish"]["allow"])
    assert "sync_interval: always, strict: true, max_buffered_msgs: 1024" in text


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name as folders for temporary files have; tmp_path may be deep."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_the_admin_socket_fits_its_name_wherever_the_data_lies(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Sandbox(tmp_path).envoy_admin == tmp_path / "envoy" / "admin.sock"
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short))
    deep = Sandbox(tmp_path / ("x" * 120))
    assert len(str(deep.envoy_admin)) <= 107
    assert deep.envoy_admin == deep.envoy_admin != Sandbox(tmp_path / ("y" * 120)).envoy_admin
    assert deep.envoy_admin.parent.stat().st_mode & 0o777 == 0o700
    deep.envoy_admin.parent.chmod(0o777)  # somebody else's, perhaps
    with pytest.raises(PermissionError):
        _ = deep.envoy_admin


def test_a_folder_from_before_the_vehicles_had_a_ca_starts(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    before = {vin: sandbox.pki / f"{vehicle_identity(vin).name}.crt" for vin in OWNERS}
    services = {name: (sandbox.pki / f"{name}.crt").read_bytes() for name in registry.ON_THE_BROKER}
    for path in (
        sandbox.vehicle_ca,
        sandbox.vehicle_ca.with_suffix(".key"),
        sandbox.broker_clients,
        sandbox.store_prefix,
    ):
        path.unlink()
    old = {vin: Pki(sandbox.pki, NOW).ensure(vehicle_identity(vin)).cert.read_bytes() for vin in OWNERS}
    sandbox.prepare(NOW)
    ca = x509.load_pem_x509_certificate(sandbox.vehicle_ca.read_bytes())
    seeded = {entry["vin"]: entry for entry in json.loads(sandbox.enrolment_seed.read_text())}
    for vin, path in before.items():
        x509.load_pem_x509_certificate(path.read_bytes()).verify_directly_issued_by(ca)
        assert path.read_bytes() != old[vin]
        assert Path(seeded[vin]["certificateFile"]) == path.resolve()
    assert {name: (sandbox.pki / f"{name}.crt").read_bytes() for name in registry.ON_THE_BROKER} == services


def test_a_certificate_under_other_names_is_made_anew(tmp_path: Path) -> None:
    pki = Pki(tmp_path, NOW)
    first = pki.ensure(CertificateIdentity("one", dns=("a.example",))).cert.read_bytes()
    assert pki.ensure(CertificateIdentity("one", dns=("a.example",))).cert.read_bytes() == first
    assert pki.ensure(CertificateIdentity("one", dns=("b.example",))).cert.read_bytes() != first


def test_the_vehicles_ca_is_constrained_to_uris(tmp_path: Path) -> None:
    ca = x509.load_pem_x509_certificate(Pki(tmp_path, NOW, VEHICLE_CA).ca.read_bytes())
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert x509.UniformResourceIdentifier("ecarus") in permitted
    assert [name.value for name in permitted if isinstance(name, x509.DNSName)] == ["vehicles.invalid"]
    assert len(constraints.value.excluded_subtrees or []) == 2


def test_an_employees_token_says_so_and_names_its_scope(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.prepare(NOW)
    bearer = Bearer("employee-1", client="operations", scope="security.watch")
    told = jwt.decode(
        issue_token(sandbox.issuer_key, ISSUER, bearer, datetime.now(UTC)),
        options={"verify_signature": False},
    )
    assert (told["roles"], told["scope"], told["client_id"]) == (["employee"], "security.watch", "operations")
    own = jwt.decode(
        issue_token(sandbox.issuer_key, ISSUER, Bearer("user-123"), datetime.now(UTC)),
        options={"verify_signature": False},
    )
    assert {"roles", "scope"}.isdisjoint(own)


def test_who_is_missing_in_the_seed_of_an_older_sandbox_is_added(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    ensure_issuer_seed(path)
    whole = json.loads(path.read_bytes())
    people = {name: account for name, account in whole["accounts"].items() if account["kind"] != "employee"}
    older = {"accounts": people, "clients": whole["clients"]}
    path.write_text(json.dumps(older))
    ensure_issuer_seed(path)
    now = json.loads(path.read_bytes())
    assert now["accounts"].keys() == whole["accounts"].keys()
    assert now["accounts"] | older["accounts"] == now["accounts"]  # those that were there keep their secrets
    assert now["clients"] == whole["clients"]
