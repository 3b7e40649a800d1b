"""`doorctl audit`: copies of the audit log, and whether they are whole and unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from ecarus.remotecontrol.audit.v1 import audit_log_service_pb2 as contract

from doorctl.log_files import LogTrust, Verdict, tile_reader, verify_log
from doorctl.operator_channel import OperationError, Operator
from doorctl.text import complain, fail, printable
from doorctl.verifier_keys import read_verifier_keys
from tlog.checkpoints import CHECKPOINT, CheckpointError, open_checkpoint, unverified
from tlog.hashing import ProofError, inclusion_proof, leaf_hash
from tlog.notes import COSIGNATURE
from tlog.proof_files import ProofFile, ProofFileError, read_proof
from tlog.signed_tables import SIGNED_TABLES, is_table_path
from tlog.tiles import ENTRIES, WIDTH, Tile, TileError, TileNodes, leaves_of, tile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "audit"
_RPC = "ecarus.remotecontrol.audit.v1.AuditLogService"
_EXPORT_SECONDS = 3_600.0
_MOST_SHOWN = 20

commands = typer.Typer(
    no_args_is_help=True,
    help="The audit log: copies of it, and whether they are whole and unchanged (docs/audit.md).",
)
Folder = Annotated[Path, typer.Argument(help="the copy's folder")]
Keys = Annotated[
    list[str],
    typer.Option(
        "--key", help="the log's verifier key, or a file with one a line; more than one while one is replaced"
    ),
]


@commands.command()
def checkpoint(
    out: Annotated[Path | None, typer.Option(help="write it there; without, to standard output")] = None,
) -> None:
    """Fetch the last signed checkpoint. Save it: all before it can be verified against it for ever."""
    answer = _ask_checkpoint()
    if out is None:
        typer.echo(answer.checkpoint.decode(), nl=False)
    else:
        _write_new(out, answer.checkpoint)
        typer.echo(f"wrote {out}: {unverified(answer.checkpoint).size} of {answer.leaves} leaves")


@commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="a folder that is empty or not there")],
    members: Annotated[
        bool, typer.Option("--members", help="also what can be opened of the entries, in clear")
    ] = False,
    reason: Annotated[str, typer.Option(help="with --members: why, kept in the ledger with your name")] = "",
) -> None:
    """Write a copy of the log and of what the tables say, to be verified anywhere.

    With --members it is asked for under the person's own certificate; that you did, and why, is in the ledger first.
    """
    if members != bool(reason):
        fail("--members and --reason go together")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is not an empty folder")
    written = set()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in _files(reason):
            path = folder / _checked_path(part.path)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("ab") as file:
                file.write(part.data)
            written.add(path)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    typer.echo(f"wrote {len(written)} files to {folder}")


@commands.command()
def verify(
    folder: Folder,
    key: Keys,
    saved: Annotated[
        Path | None, typer.Option("--checkpoint", help="a checkpoint that was saved before")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="a witness's verifier key; more than one may be given")
    ] = None,
    quorum: Annotated[int, typer.Option(min=0, help="so many witnesses must have cosigned")] = 0,
    tables: Annotated[bool, typer.Option("--tables", help="the copy must hold the tables, too")] = False,
) -> None:
    """Verify a copy offline.

    Exit status: 0 whole and unchanged, 1 tampered with, 2 incomplete (or not asked rightly).
    """
    try:
        trust = LogTrust(
            read_verifier_keys(key),
            None if saved is None else saved.read_bytes(),
            read_verifier_keys(witness or [], COSIGNATURE),
            quorum,
        )
        report = verify_log(folder, trust, tables=tables)
    except CheckpointError as error:
        complain(f"{saved}: {error}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    for kind, found in (("tampered", report.tampered), ("missing", report.missing), ("note", report.notes)):
        for sentence in found[:_MOST_SHOWN]:
            typer.echo(printable(f"{kind}: {sentence}"))
        if len(found) > _MOST_SHOWN:
            typer.echo(f"{kind}: and {len(found) - _MOST_SHOWN} more")
    words = {
        Verdict.WHOLE: "whole and unchanged",
        Verdict.TAMPERED: "TAMPERED WITH",
        Verdict.INCOMPLETE: "INCOMPLETE",
    }
    typer.echo(f"{report.size} leaves of {trust.origin}: {words[report.verdict]}")
    if saved is None:
        typer.echo("without a saved checkpoint nobody can tell whether it was rolled back or exchanged")
    raise typer.Exit(report.verdict)


@commands.command()
def prove(
    folder: Folder,
    index: Annotated[int, typer.Argument(min=0, help="the leaf's number, from 0")],
    out: Annotated[Path, typer.Option(help="the proof's file (.tlog-proof)")],
) -> None:
    """Write a proof (c2sp.org/tlog-proof) that a leaf is in the log. The leaf itself comes along as its extra data."""
    try:
        data = (folder / CHECKPOINT).read_bytes()
        size = unverified(data).size
        if index >= size:
            fail(f"there are {size} leaves")
        read = tile_reader(folder)
        number = index // WIDTH
        bundle = leaves_of(read(Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH))))
        path = inclusion_proof(index, size, TileNodes(size, read))
        leaf = bundle[index % WIDTH]
        made = ProofFile(index, tuple(path), data, leaf)
        made.verify(leaf_hash(leaf))
    except (CheckpointError, TileError, ProofError, IndexError) as error:
        complain(f"the copy does not prove it: {error}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    _write_new(out, made.encode())
    typer.echo(f"wrote {out}")


@commands.command("verify-proof")
def verify_proof(
    proof: Annotated[Path, typer.Argument(help="a proof with its leaf (.tlog-proof)")], key: Keys
) -> None:
    """Verify a proof offline, and print its leaf. Exit status: 0 it is in the log, 1 it is not, 2 not a proof."""
    keys = read_verifier_keys(key)
    try:
        found = read_proof(proof.read_bytes())
    except ProofFileError as error:
        complain(f"{proof}: {error}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    except OSError as error:
        complain(f"{proof}: {error.strerror}")
        raise typer.Exit(Verdict.INCOMPLETE) from error
    try:
        signed = open_checkpoint(found.checkpoint, keys[0].name, keys)
        found.verify(leaf_hash(found.extra))
    except (CheckpointError, ProofError) as error:
        complain(f"{proof}: {error}")
        raise typer.Exit(Verdict.TAMPERED) from error
    typer.echo(printable(found.extra.decode(errors="replace")))
    typer.echo(f"leaf {found.index} of {signed.checkpoint.size} of {signed.checkpoint.origin}")


def _ask_checkpoint() -> contract.GetCheckpointResponse:
    try:
        return Operator.from_environment(os.environ).ask(
            SERVICE, f"{_RPC}/GetCheckpoint", contract.GetCheckpointRequest(), contract.GetCheckpointResponse
        )
    except OperationError as failed:
        fail(str(failed))


def _files(
    reason: str,
) -> Iterator[contract.StreamLogFilesResponse | contract.StreamLogFilesInClearResponse]:
    """Yield the files; in clear for who says why."""
    try:
        operator = Operator.from_environment(os.environ)
        if reason:
            yield from operator.as_person().stream(
                SERVICE,
                f"{_RPC}/StreamLogFilesInClear",
                contract.StreamLogFilesInClearRequest(reason=reason),
                contract.StreamLogFilesInClearResponse,
                _EXPORT_SECONDS,
            )
        else:
            yield from operator.stream(
                SERVICE,
                f"{_RPC}/StreamLogFiles",
                contract.StreamLogFilesRequest(),
                contract.StreamLogFilesResponse,
                _EXPORT_SECONDS,
            )
    except OperationError as failed:
        fail(str(failed))


def _checked_path(path: str) -> str:
    """Return the path of a file of a log: whoever answers does not choose where else we write."""
    try:
        if path not in {CHECKPOINT, SIGNED_TABLES} and not is_table_path(path):
            tile_of(path)
    except TileError as error:
        fail(f"the service sends something else than a log: {error}")
    return path


def _write_new(path: Path, data: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        fail(f"{path} is there already, and is not overwritten")
    except OSError as error:
        fail(f"{path}: {error.strerror}")
