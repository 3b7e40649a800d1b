"""Keys that a TCU makes, the files a car starts from, and the manifest it keeps."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from key_files.pem import KeyFileError
from protocol.keys import key_id
from protocol.manifest import Trust
from tests.support import protocol_harness
from tests.support.signed_cloud import endorsed, manifest
from vehicle.messages.credentials import make_car_keys, read_credentials
from vehicle.messages.manifest_file import ManifestDamagedError, ManifestStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACTORY = Trust.restore(protocol_harness.ROOT.public_bytes, endorsed(manifest()))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with everything that a car is made with."""
    make_car_keys(tmp_path / "keys.pem", tmp_path / "public.pem")
    root = Ed25519PublicKey.from_public_bytes(protocol_harness.ROOT.public_bytes)
    (tmp_path / "root.pem").write_bytes(root.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "factory.manifest").write_bytes(endorsed(manifest()))
    return tmp_path


def read(folder: Path) -> object:
    return read_credentials(folder / "keys.pem", folder / "root.pem", folder / "factory.manifest")


def test_a_car_starts_from_the_keys_it_made(made: Path) -> None:
    credentials = read_credentials(made / "keys.pem", made / "root.pem", made / "factory.manifest")
    assert credentials.factory_trust == FACTORY
    first, second = (made / "public.pem").read_bytes().split(b"-----END PUBLIC KEY-----\n")[:2]
    verify_key = load_pem_public_key(first + b"-----END PUBLIC KEY-----\n")
    seal_key = load_pem_public_key(second + b"-----END PUBLIC KEY-----\n")
    assert isinstance(verify_key, Ed25519PublicKey)
    assert isinstance(seal_key, X25519PublicKey)
    assert credentials.signer.key_id == key_id(verify_key.public_bytes_raw())
    verify_key.verify(credentials.signer.sign(b"x"), b"x")
    assert credentials.open_keys.find(key_id(seal_key.public_bytes_raw())) is not None


def test_private_keys_are_readable_for_nobody_else(made: Path) -> None:
    assert stat.S_IMODE((made / "keys.pem").stat().st_mode) == 0o600
    assert b"PRIVATE" not in (made / "public.pem").read_bytes()


@pytest.mark.parametrize("there", ["keys.pem", "public.pem"])
def test_keys_are_never_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(KeyFileError, match=there):
        make_car_keys(tmp_path / "keys.pem", tmp_path / "public.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def _only_a_signing_key(folder: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "keys.pem").write_bytes(pem * 2)


def _an_exchange_key_as_root(folder: Path) -> None:
    public = protocol_harness.CLOUD_SEAL.public_key()
    (folder / "root.pem").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (lambda folder: (folder / "keys.pem").write_text(""), "keys.pem"),
        (_only_a_signing_key, "keys.pem"),
        (
            lambda folder: (folder / "keys.pem").write_text(
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
            ),
            "keys.pem",
        ),
        (lambda folder: (folder / "root.pem").write_text("x"), "root.pem"),
        (_an_exchange_key_as_root, "root.pem"),
        (lambda folder: (folder / "factory.manifest").write_bytes(b""), "factory.manifest"),
        (
            lambda folder: (folder / "root.pem").write_bytes((folder / "public.pem").read_bytes()),
            "factory.manifest",  # a right key, but not the root that endorsed it
        ),
    ],
)
def test_what_is_not_right_is_named(made: Path, damage: Callable[[Path], object], names: str) -> None:
    damage(made)
    with pytest.raises(KeyFileError, match=names):
        read(made)


def test_the_last_manifest_adopted_is_kept(tmp_path: Path) -> None:
    kept = ManifestStore(tmp_path / "adopted.manifest", FACTORY)
    assert kept.load() == FACTORY
    for version in (2, 3):
        trust = kept.load().adopt(endorsed(manifest(version)), protocol_harness.WALL_SECONDS)
        kept.save(trust.endorsed_by, trust.endorsed)
        assert ManifestStore(tmp_path / "adopted.manifest", FACTORY).load() == trust
    assert [path.name for path in tmp_path.iterdir()] == ["adopted.manifest"]


def test_a_write_that_a_crash_cut_short_leaves_the_last_manifest(tmp_path: Path) -> None:
    kept = ManifestStore(tmp_path / "adopted.manifest", FACTORY)
    trust = FACTORY.adopt(endorsed(manifest(2)), protocol_harness.WALL_SECONDS)
    kept.save(trust.endorsed_by, trust.endorsed)
    (tmp_path / "adopted.new").write_bytes(b"half")
    assert kept.load() == trust


def test_a_damaged_manifest_is_not_replaced_by_the_factorys(tmp_path: Path) -> None:
    kept = ManifestStore(tmp_path / "adopted.manifest", FACTORY)
    trust = FACTORY.adopt(endorsed(manifest(2)), protocol_harness.WALL_SECONDS)
    kept.save(trust.endorsed_by, trust.endorsed)
    whole = (tmp_path / "adopted.manifest").read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:50] + b"\x00" + whole[51:], whole + b"\x00"):
        (tmp_path / "adopted.manifest").write_bytes(damaged)
        with pytest.raises(ManifestDamagedError, match=r"adopted\.manifest"):
            kept.load()
