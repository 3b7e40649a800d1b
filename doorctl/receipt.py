"""`doorctl receipt`: whether a receipt proves what it says. Nobody is asked: the file and public keys are enough."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.vehicle.v1 import report_pb2
from google.protobuf.message import DecodeError

from doorctl.text import complain, printable
from key_files.pem import KeyFileError, read_car_public, read_public
from protocol.faults import MessageRefusedError
from protocol.signed_answers import prove_answer, read_answer
from tlog.checkpoints import unverified
from tlog.notes import NoteError, NoteKey
from tlog.receipts import ReceiptError, ReceiptForgedError, read_receipt

if TYPE_CHECKING:
    from typing import NoReturn

    from ecarus.remotecontrol.vehicle.v1 import session_pb2

    from tlog.receipts import Receipt

MAX_RECEIPT_BYTES = 1 << 20
commands = typer.Typer(no_args_is_help=True, help="Proofs of how commands ended.")


@commands.callback()
def receipts() -> None:
    """Keep `verify` a word of its own."""


@commands.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the receipt")],
    key: Annotated[
        str, typer.Option(help="the log's verifier key `name+id+base64`, or a file with one or several")
    ],
    vehicle_key: Annotated[
        Path | None, typer.Option(help="the vehicle's public keys (PEM): checks what it signed as well")
    ] = None,
    command: Annotated[str, typer.Option(help="the command that it must be about")] = "",
    origin: Annotated[str, typer.Option(help="the log's origin; its key's name unless given")] = "",
) -> None:
    """Check a receipt offline, and say what it proves.

    Exit status: 0 it holds; 1 it is forged, or of another log, vehicle or command; 2 it cannot be checked: no receipt,
    or no key.
    """
    log_keys = _log_keys(key)
    try:
        receipt = read_receipt(_read(file))
    except ReceiptError as error:
        _cannot(f"{file}: {error}")
    try:
        receipt.verify(origin or log_keys[0].name, log_keys)
        _check_about(receipt, command)
        lines = [*_told(receipt), *_vehicles_word(receipt, vehicle_key)]
    except ReceiptForgedError as error:
        complain(f"{file}: not proven: {error}")
        raise typer.Exit(1) from None
    for line in lines:
        typer.echo(printable(line))


def _check_about(receipt: Receipt, command: str) -> None:
    if command and receipt.value("command_id") != command:
        raise ReceiptForgedError("it is about another command")


def _told(receipt: Receipt) -> list[str]:
    leaf, checkpoint = receipt.leaf, unverified(receipt.proof.checkpoint)
    at = datetime.fromtimestamp(leaf.at_millis / 1_000, UTC).isoformat(timespec="milliseconds")
    return [
        f"{leaf.kind} at {at}, as leaf {receipt.proof.index} of {checkpoint.size} of {checkpoint.origin}",
        *(f"{name} {receipt.value(name)}" for name in sorted(receipt.disclosed)),
    ]


def _vehicles_word(receipt: Receipt, vehicle_key: Path | None) -> list[str]:
    """Return what the vehicle signed. Raises ReceiptForgedError."""
    if not receipt.result:
        return ["the vehicle signed nothing about it, or nothing that is kept here"]
    try:
        if vehicle_key is None:
            answer = read_answer(receipt.result)
            proven = "(not checked: --vehicle-key)"
        else:
            answer = prove_answer(receipt.result, _verify_key(vehicle_key)).message
            proven = "(its signature holds)"
    except KeyFileError as error:
        _cannot(str(error))
    except (MessageRefusedError, DecodeError) as error:
        raise ReceiptForgedError(f"the vehicle did not sign it: {error}") from error
    if answer.request_hash.hex() != receipt.value("order_sha256"):
        raise ReceiptForgedError("the vehicle answered another order")
    about = _command_of(answer)
    if about and about != receipt.value("command_id"):
        raise ReceiptForgedError("the vehicle answered about another command")
    return [f"the vehicle {answer.vin} signed {_outcome_of(answer)} {proven}"]


def _verify_key(path: Path) -> Ed25519PublicKey:
    """Return the vehicle's key from a file with both of its public keys, or with that one. Raises KeyFileError."""
    try:
        return read_car_public(path)[0]
    except KeyFileError:
        return Ed25519PublicKey.from_public_bytes(read_public(path, Ed25519PublicKey))


def _command_of(answer: session_pb2.SignedAnswer) -> str:
    field = answer.WhichOneof("answer")
    return str(getattr(getattr(answer, field), "command_id", "")) if field else ""


def _outcome_of(answer: session_pb2.SignedAnswer) -> str:
    match answer.WhichOneof("answer"):
        case "result":
            name = report_pb2.CommandOutcome.Name(answer.result.outcome)
            return name.removeprefix("COMMAND_OUTCOME_")
        case "cancel":
            return report_pb2.CancelOutcome.Name(answer.cancel.outcome).removeprefix("CANCEL_OUTCOME_")
        case other:
            return str(other).upper()


def _log_keys(text: str) -> list[NoteKey]:
    if "+" not in text:
        try:
            with open(text, encoding="utf-8") as found:  # noqa: PTH123  # what was given may be no path at all
                text = found.read(4_096)
        except (OSError, ValueError) as error:
            _cannot(f"{text}: {error}")
    try:
        keys = [NoteKey.of_vkey(line) for line in text.splitlines() if line.strip()]
    except NoteError as error:
        _cannot(f"the log's key: {error}")
    return keys or _cannot("the log's key: there is none")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as found:
            data = found.read(MAX_RECEIPT_BYTES + 1)
    except OSError as error:
        _cannot(f"{file}: {error.strerror}")
    if len(data) > MAX_RECEIPT_BYTES:
        _cannot(f"{file}: larger than any receipt")
    return data


def _cannot(sentence: str) -> NoReturn:
    complain(sentence)
    raise typer.Exit(2)
