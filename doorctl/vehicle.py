"""`doorctl vehicle`: which certificate and which keys are which car."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from ecarus.remotecontrol.access.v1 import vehicle_enrolment_service_pb2 as contract
from google.protobuf.message import Message

from doorctl.conformance import conformance
from doorctl.operator_channel import OperationError, Operator
from doorctl.text import fail, moment, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "enrolment"
_RPC = "ecarus.remotecontrol.access.v1.VehicleEnrolmentService"

commands = typer.Typer(no_args_is_help=True, help="Which certificate and which keys are which car.")
commands.command()(conformance)

Vin = Annotated[str, typer.Argument(help="the vehicle's VIN")]
Answer = TypeVar("Answer", bound=Message)


@commands.command()
def enrol(
    vin: Vin,
    certificate: Annotated[
        Path, typer.Option(help="its certificate (PEM), with spiffe://ecarus/vehicle/VIN")
    ],
    keys: Annotated[Path, typer.Option(help="its public keys (PEM): one Ed25519, one X25519")],
) -> None:
    """Let a car in with this certificate, accept it under these keys, and no others.

    Refused is what the broker would not let in: what is not of the vehicles' CA, for example, or over.
    """
    public, shown = _read(keys), _read(certificate)
    if b"PRIVATE KEY" in public:  # it must not even be sent
        fail(f"{keys} holds a private key: enrol the public ones")
    if b"PRIVATE KEY" in shown:
        fail(f"{certificate} holds a private key: enrol the certificate alone")
    request = contract.EnrolVehicleRequest(vin=vin, certificate=shown, public_keys=public)
    typer.echo(f"enrolled {_line(_ask('EnrolVehicle', request, contract.VehicleEnrolment))}")


@commands.command()
def revoke(vin: Vin) -> None:
    """Let a car in no more, forget its keys, and cut its connections."""
    request = contract.RevokeVehicleRequest(vin=vin)
    done = _ask("RevokeVehicle", request, contract.RevokeVehicleResponse)
    typer.echo(f"revoked {_line(done.enrolment)}, {done.connections_cut} connections cut")


@commands.command("list")
def list_all() -> None:
    """Every car, its certificate's fingerprint, the ids of its keys, and whether it is let in."""
    for enrolment in _enrolments():
        typer.echo(_line(enrolment))


def _enrolments() -> Iterator[contract.VehicleEnrolment]:
    token = ""
    while True:
        request = contract.ListVehiclesRequest(page_token=token)
        page = _ask("ListVehicles", request, contract.ListVehiclesResponse)
        yield from page.enrolments
        token = page.next_page_token
        if not token:
            return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def _ask(rpc: str, request: Message, answer: type[Answer]) -> Answer:
    try:
        return Operator.from_environment(os.environ).ask(SERVICE, f"{_RPC}/{rpc}", request, answer)
    except OperationError as failed:
        fail(str(failed))


def _line(enrolment: contract.VehicleEnrolment) -> str:
    state = "admitted"
    if enrolment.HasField("revoked_at"):
        state = f"revoked {moment(enrolment.revoked_at)}"
    elif enrolment.HasField("certificate_ends_at"):
        over = enrolment.certificate_ends_at.ToDatetime(UTC) <= datetime.now(UTC)
        state = (
            f"{'not admitted: expired' if over else 'admitted until'} {moment(enrolment.certificate_ends_at)}"
        )
    certificate = enrolment.certificate_sha256.hex()[:16] or "no certificate"
    ids = (enrolment.verify_key_id.hex(), enrolment.seal_key_id.hex())
    keys = "keys " + " ".join(ids) if all(ids) else "no keys"
    return printable(f"{enrolment.vin} {certificate} {keys} {state}")
