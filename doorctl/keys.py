"""`doorctl keys`: the offline ceremony of the cloud's keys. On files only; nothing here uses a network."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from doorctl import ceremony
from doorctl.ceremony import CeremonyError, PublicCloudKeys
from key_files import pem as key_files
from key_files.pem import KeyFileError
from protocol.keys import KEY_ID_BYTES, key_id
from tlog.notes import ED25519, NoteError, NoteKey

if TYPE_CHECKING:
    from key_files.pem import PrivateKey

commands = typer.Typer(no_args_is_help=True, help="The cloud's keys: made and endorsed offline, on files.")

Out = Annotated[
    Path, typer.Option(help="the private key (PEM); its public half goes to the same name and .pub")
]
PublicKeyFiles = Annotated[list[Path], typer.Option(help="public key (PEM); may be given more than once")]
_ID = re.compile(rf"[0-9a-f]{{{2 * KEY_ID_BYTES}}}")


@commands.command()
def root(out: Out) -> None:
    """Make a root key. Keep it offline: who has it decides what every car accepts."""
    _make(out, Ed25519PrivateKey.generate())


@commands.command()
def signer(out: Out) -> None:
    """Make a key that signs orders, for the signer and nobody else."""
    _make(out, Ed25519PrivateKey.generate())


@commands.command()
def seal(out: Out) -> None:
    """Make a key that opens what cars seal, for the services that read answers."""
    _make(out, X25519PrivateKey.generate())


@commands.command()
def report(out: Out) -> None:
    """Make a key for cars' reports, for the services that read them."""
    _make(out, X25519PrivateKey.generate())


@commands.command()
def log(
    out: Out,
    origin: Annotated[str, typer.Option(help="the log's name, as DOORS_AUDIT_ORIGIN has it, for ever")],
) -> None:
    """Make a key that signs the audit log's checkpoints. Its verifier key goes to the same name and .vkey."""
    verifier_out = out.with_name(f"{out.name}.vkey")
    if verifier_out.exists():  # before there is a private half without it
        _fail(f"{verifier_out} is there already, and is not overwritten")
    key = Ed25519PrivateKey.generate()
    try:
        verifier = NoteKey(origin, ED25519, key.public_key().public_bytes_raw()).vkey()
    except NoteError as refused:
        _fail(str(refused))
    _make(out, key)
    try:
        key_files.write_new(verifier_out, f"{verifier}\n".encode(), mode=0o644)
    except KeyFileError as refused:
        _fail(str(refused))
    typer.echo(verifier)


@commands.command()
def manifest(
    root: Annotated[Path, typer.Option(help="private key of the root that the manifest names (PEM)")],
    manifests: Annotated[
        Path, typer.Option(help="folder of the manifests so far; the next is written there")
    ],
    sign: PublicKeyFiles,
    seal: PublicKeyFiles,
    report: PublicKeyFiles,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long it is valid")],
    previous_root: Annotated[
        Path | None, typer.Option(help="private key of the root before, where the root changes")
    ] = None,
    revoke: Annotated[list[str] | None, typer.Option(help="id of a key to revoke")] = None,
) -> None:
    """Endorse the next manifest: exactly these keys, and all that were ever revoked."""
    if not manifests.is_dir():
        _fail(f"{manifests} is not a folder")
    ids = revoke or []
    for text in ids:
        if not _ID.fullmatch(text):
            _fail(f"{text!r} is not the id of a key: {2 * KEY_ID_BYTES} hexadecimal digits")
    try:
        newest = ceremony.newest_manifest(manifests)
        made = ceremony.next_manifest(
            newest,
            PublicCloudKeys(
                [key_files.read_public(path, Ed25519PublicKey) for path in sign],
                [key_files.read_public(path, X25519PublicKey) for path in seal],
                [key_files.read_public(path, X25519PublicKey) for path in report],
            ),
            key_files.read_signer(root),
            datetime.now(UTC),
            timedelta(days=days),
            previous_root=key_files.read_signer(previous_root) if previous_root else None,
            revoke=[bytes.fromhex(text) for text in ids],
        )
        path = ceremony.manifest_file(manifests, made.manifest.version)
        key_files.write_new(path, made.data)
    except (CeremonyError, KeyFileError) as refused:
        _fail(str(refused))
    typer.echo(f"wrote {path}")
    _tell(made)
    kept = {key.public_key for key in made.manifest.keys}
    for key in newest.manifest.keys if newest else ():
        if key.public_key not in kept:
            typer.echo(f"left out {key_id(key.public_key).hex()}: cars forget it with this manifest")


@commands.command()
def show(manifest: Annotated[Path, typer.Argument(help="an endorsed manifest")]) -> None:
    """Print a manifest. Whether its root is yours, you must know."""
    try:
        _tell(ceremony.read_manifest(manifest))
    except CeremonyError as refused:
        _fail(str(refused))


def _make(out: Path, key: PrivateKey) -> None:
    public = key.public_key()
    public_out = out.with_name(f"{out.name}.pub")
    if public_out.exists():  # before there is a private half without it
        _fail(f"{public_out} is there already, and is not overwritten")
    try:
        key_files.write_new(out, key_files.private_pem(key))
        key_files.write_new(public_out, key_files.public_pem(public))
    except KeyFileError as refused:
        _fail(str(refused))
    typer.echo(f"key {key_id(public.public_bytes_raw()).hex()} in {out}")


def _tell(endorsed: ceremony.EndorsedManifest) -> None:
    for line in ceremony.described(endorsed):
        typer.echo(line)


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"doorctl: {sentence}", err=True)
    raise typer.Exit(1)
