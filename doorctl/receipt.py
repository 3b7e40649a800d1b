"""`doorctl receipt`: whether a receipt proves what it says. Nobody is asked: the file and public keys are enough."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ecarus.remotecontrol.vehicle.v1 import body_pb2, report_pb2
from google.protobuf.message import DecodeError

from doorctl.text import complain, printable
from doorctl.verifier_keys import read_verifier_keys
from key_files.pem import KeyFileError, read_car_public, read_public
from protocol.faults import MessageRefusedError
from protocol.signed_answers import prove_answer, read_answer
from tlog.checkpoints import unverified
from tlog.receipts import ReceiptError, ReceiptForgedError, read_receipt

if TYPE_CHECKING:
    from typing import NoReturn

    from ecarus.remotecontrol.vehicle.v1 import session_pb2

    from tlog.receipts import Receipt

MAX_RECEIPT_BYTES = 1 << 20
_COMMANDED = {*body_pb2.DoorId.values()} - {body_pb2.DOOR_ID_UNSPECIFIED, body_pb2.DOOR_ID_HOOD}
_CARRIED_OUT = {
    report_pb2.COMMAND_OUTCOME_SUCCEEDED,
    report_pb2.COMMAND_OUTCOME_PARTIAL,
    report_pb2.COMMAND_OUTCOME_FAILED,
}
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

    Exit status: 0 it holds; 1 it is forged, or of another log, vehicle or command, or log and vehicle contradict each
    other; 2 it cannot be checked: no receipt, no key, or with --vehicle-key no answer of the vehicle.
    """
    log_keys = read_verifier_keys([key])
    try:
        receipt = read_receipt(_read(file))
    except ReceiptError as error:
        _cannot(f"{file}: {error}")
    vehicle = None if vehicle_key is None else _verify_key(vehicle_key)
    try:
        receipt.verify(origin or log_keys[0].name, log_keys)
        _check_about(receipt, command)
        lines = [*_told(receipt), *_vehicles_word(receipt, vehicle)]
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


def _vehicles_word(receipt: Receipt, vehicle: Ed25519PublicKey | None) -> list[str]:
    """Return what the vehicle signed; with its key that must be there. Raises ReceiptForgedError."""
    if not receipt.result:
        kept = receipt.value("result_sha256")
        told = (
            "of the vehicle's answer the receipt has the hash alone" if kept else "no answer of the vehicle"
        )
        if vehicle is not None:
            _cannot(f"nothing to check with the vehicle's key: {told}")
        return [told]
    try:
        if vehicle is None:
            answer = read_answer(receipt.result)
            proven = "(not checked: --vehicle-key)"
        else:
            answer = prove_answer(receipt.result, vehicle).message
            proven = "(its signature holds)"
    except (MessageRefusedError, DecodeError) as error:
        raise ReceiptForgedError(f"the vehicle did not sign it: {error}") from error
    if answer.request_hash.hex() != receipt.value("order_sha256"):
        raise ReceiptForgedError("the vehicle answered another order")
    about = _command_of(answer)
    if about and about != receipt.value("command_id"):
        raise ReceiptForgedError("the vehicle answered about another command")
    if _contradicts(answer, receipt.leaf.kind):
        raise ReceiptForgedError(
            f"the vehicle signed {_outcome_of(answer)}, and the log says {receipt.leaf.kind}"
        )
    return [f"the vehicle {answer.vin} signed {_outcome_of(answer)} {proven}"]


def _contradicts(answer: session_pb2.SignedAnswer, kind: str) -> bool:
    """Return whether a command of which this was signed cannot have ended so.

    What a vehicle signs as done counts as failed where it does not say of every door that it is.
    """
    if answer.HasField("cancel"):
        too_late = answer.cancel.outcome == report_pb2.CANCEL_OUTCOME_TOO_LATE
        return kind == "COMMAND_SUCCESS" or (kind == "COMMAND_CANCELLED" and too_late)
    if not answer.HasField("result"):
        return kind == "COMMAND_SUCCESS"
    outcome, doors = answer.result.outcome, answer.result.doors
    match kind:
        case "COMMAND_SUCCESS":
            return outcome != report_pb2.COMMAND_OUTCOME_SUCCEEDED
        case "COMMAND_FAILED" if outcome == report_pb2.COMMAND_OUTCOME_SUCCEEDED:
            return bool(doors) and all(each.succeeded and each.door in _COMMANDED for each in doors)
        case "COMMAND_FAILED":
            return outcome == report_pb2.COMMAND_OUTCOME_CANCELLED
    return kind in {"COMMAND_CANCELLED", "COMMAND_TIMEOUT"} and outcome in _CARRIED_OUT


def _verify_key(path: Path) -> Ed25519PublicKey:
    """Return the vehicle's key from a file with both of its public keys, or with that one. It cannot be checked where
    there is none.
    """
    try:
        return read_car_public(path)[0]
    except KeyFileError:
        pass  # then it holds the one key
    try:
        return Ed25519PublicKey.from_public_bytes(read_public(path, Ed25519PublicKey))
    except KeyFileError as error:
        _cannot(str(error))


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
