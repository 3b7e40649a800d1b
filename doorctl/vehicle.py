"""`doorctl vehicle`: which certificate is which car."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated, Any, NoReturn

import typer
import uvloop

from doorctl.broker import Failed, Operator

commands = typer.Typer(no_args_is_help=True, help="Which certificate is which car.")

Vin = Annotated[str, typer.Argument(help="the vehicle's VIN")]


@commands.command()
def enrol(
    vin: Vin,
    certificate: Annotated[
        Path, typer.Option(help="its certificate (PEM), with spiffe://ecarus/vehicle/VIN")
    ],
) -> None:
    """Let a car in with this certificate, and no other."""
    try:
        pem = certificate.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        _fail(f"{certificate}: {error}")
    (enrolment,) = _ask("enrol", vin=vin, certificate=pem)["enrolments"]
    typer.echo(f"enrolled {_line(enrolment)}")


@commands.command()
def revoke(vin: Vin) -> None:
    """Let a car in no more, and cut its connections."""
    told = _ask("revoke", vin=vin)
    typer.echo(f"revoked {_line(told['enrolments'][0])}, {told['connectionsCut']} connections cut")


@commands.command("list")
def list_all() -> None:
    """Every car, its certificate's fingerprint, and whether it is let in."""
    for enrolment in _ask("list")["enrolments"]:
        typer.echo(_line(enrolment))


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
    return f"{enrolment['vin']} {enrolment['fingerprint'][:16]} {state}"
