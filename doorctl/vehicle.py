"""`doorctl vehicle`: which certificate and which keys are which car."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated, Any, NoReturn

import typer
import uvloop

from doorctl.broker import Failed, Operator
from doorctl.conformance import conformance

commands = typer.Typer(no_args_is_help=True, help="Which certificate and which keys are which car.")
commands.command()(conformance)

Vin = Annotated[str, typer.Argument(help="the vehicle's VIN")]


@commands.command()
def enrol(
    vin: Vin,
    certificate: Annotated[
        Path, typer.Option(help="its certificate (PEM), with spiffe://ecarus/vehicle/VIN")
    ],
    keys: Annotated[Path, typer.Option(help="its public keys (PEM): one Ed25519, one X25519")],
) -> None:
    """Let a car in with this certificate, believe it under these keys, and no others."""
    public = _read(keys)
    if "PRIVATE KEY" in public:  # it must not even reach the broker
        _fail(f"{keys} holds a private key: enrol the public ones")
    (enrolment,) = _ask("enrol", vin=vin, certificate=_read(certificate), keys=public)["enrolments"]
    typer.echo(f"enrolled {_line(enrolment)}")


@commands.command()
def revoke(vin: Vin) -> None:
    """Let a car in no more, forget its keys, and cut its connections."""
    told = _ask("revoke", vin=vin)
    typer.echo(f"revoked {_line(told['enrolments'][0])}, {told['connectionsCut']} connections cut")


@commands.command("list")
def list_all() -> None:
    """Every car, its certificate's fingerprint, the ids of its keys, and whether it is let in."""
    for enrolment in _ask("list")["enrolments"]:
        typer.echo(_line(enrolment))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        _fail(f"{path}: {error}")


def _ask(deed: str, **request: str) -> dict[str, Any]:
    try:
        operator = Operator.from_environment(os.environ)
        return uvloop.run(operator.ask(f"operator.vehicle.{deed}", request))
    except Failed as failed:
        _fail(str(failed))


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"doorctl: {sentence}", err=True)
    raise typer.Exit(1)


def _line(enrolment: dict[str, Any]) -> str:
    state = f"revoked {enrolment['revokedAt']}" if enrolment["revokedAt"] else "admitted"
    certificate = (enrolment["fingerprint"] or "no certificate")[:16]
    ids = (enrolment["verifyKeyId"], enrolment["sealKeyId"])
    keys = "keys " + " ".join(ids) if all(ids) else "no keys"
    return f"{enrolment['vin']} {certificate} {keys} {state}"
