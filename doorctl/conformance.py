"""`doorctl vehicle conformance`: whether a unit keeps docs/vehicle-protocol.md. See docs/conformance.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
import uvloop

from conformance import report
from conformance.bench import BenchTakenError
from conformance.certification import Assignment, certify
from conformance.hands import StartError
from conformance.keys import read_unit_keys
from conformance.link import BrokerLogin
from conformance.rules import RULES
from conformance.throwaway_broker import LOOPBACK, BrokerError
from conformance.unit import DEFAULT_PACE_SECONDS, LONGEST_COMEBACK_SECONDS, UnitTimeouts
from key_files.pem import KeyFileError
from protocol.subjects import is_vin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conformance.finding import Rule, RuleFinding


_STATUSES = {
    report.CertificationStatus.CERTIFIED: 0,
    report.CertificationStatus.VIOLATED: 1,
    report.CertificationStatus.INCOMPLETE: 3,
}


class LinkName(StrEnum):
    """How the unit is reached."""

    NATS = "nats"
    MQTT = "mqtt"


def conformance(  # noqa: PLR0917  # typer calls it by name
    link: Annotated[LinkName | None, typer.Option(help="how the unit is reached")] = None,
    vin: Annotated[str, typer.Option(help="the unit's VIN")] = "",
    keys: Annotated[Path | None, typer.Option(help="its public keys (PEM): one Ed25519, one X25519")] = None,
    work: Annotated[Path | None, typer.Option(help="folder for the kit's keys; keep it between runs")] = None,
    start: Annotated[str | None, typer.Option(help="command that starts the unit")] = None,
    reboot: Annotated[
        str | None, typer.Option(help="command that reboots it; else a person is asked")
    ] = None,
    control: Annotated[str | None, typer.Option(help="http://127.0.0.1:PORT of the reference agent")] = None,
    private_keys: Annotated[
        Path | None, typer.Option(help="where the reference agent has its keys, for its vehicles.json")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=1, help="seconds to wait for the hello; and after a reboot, at most 120")
    ] = 60,
    pace: Annotated[
        float, typer.Option(min=0.1, help="seconds between what costs the unit's budget of faults")
    ] = DEFAULT_PACE_SECONDS,
    listen: Annotated[str, typer.Option(help="address of the kit's own broker")] = LOOPBACK,
    broker: Annotated[str | None, typer.Option(help="URL of a NATS server to use instead of an own")] = None,
    user: Annotated[str | None, typer.Option(help="who may make streams there")] = None,
    password_file: Annotated[Path | None, typer.Option(help="that user's password")] = None,
    ca: Annotated[Path | None, typer.Option(help="the CA of that server's certificate (PEM)")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="play this rule; may be given more than once")
    ] = None,
    list_rules: Annotated[bool, typer.Option("--list", help="list the rules, and play none")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the report there, too")] = None,
) -> None:
    """Play the vehicle protocol's rules on a unit. Status 0: certified; 1: a rule was violated; 2: none could be
    played; 3: incomplete, not every one was.
    """
    rules = _chosen(only or [])
    if list_rules:
        for rule in rules:
            typer.echo(report.listed(rule))
        return
    if link is None or keys is None or work is None:
        _fail("--link, --vin, --keys and --work are needed (or --list)")
    if not is_vin(vin):
        _fail("--vin is not a VIN")
    assignment = Assignment(
        vin=vin,
        link=link.value,
        unit_keys=keys,
        work=work,
        rules=rules,
        account=_account(broker, user, password_file, ca),
        host=listen,
        start=start,
        reboot=reboot,
        control=control,
        private_keys=private_keys,
        wait_seconds=wait,
        patience=UnitTimeouts(comeback=min(wait, LONGEST_COMEBACK_SECONDS), pace=pace),
    )
    began_at = datetime.now(UTC)
    try:
        findings = uvloop.run(_certify(assignment))
        key_id = read_unit_keys(keys).verify_key_id
        typer.echo(report.summary(findings, RULES))
        if json_file is not None:
            told = report.as_json(findings, RULES, vin=vin, link=link.value, key_id=key_id, began_at=began_at)
            json_file.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except (KeyFileError, BrokerError, StartError, BenchTakenError) as failed:
        _fail(str(failed))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")
    raise typer.Exit(_STATUSES[report.certification_status(findings, RULES)])


async def _certify(assignment: Assignment) -> list[RuleFinding]:
    findings = []
    async for finding in certify(assignment, lambda said: typer.echo(said, err=True)):
        typer.echo(report.line(finding))
        findings.append(finding)
    return findings


def _chosen(only: Sequence[str]) -> list[Rule]:
    unknown = set(only) - {rule.rule_id for rule in RULES}
    if unknown:
        _fail(f"no rule is called {min(unknown)}: see --list")
    return [rule for rule in RULES if not only or rule.rule_id in only]


def _account(
    broker: str | None, user: str | None, password_file: Path | None, ca: Path | None
) -> BrokerLogin | None:
    if broker is None:
        if user or password_file or ca:
            _fail("--user, --password-file and --ca belong to --broker")
        return None
    if user is None or password_file is None:
        _fail("--broker needs --user and --password-file")
    try:
        password = password_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        _fail(f"{password_file}: {error.strerror}")
    return BrokerLogin(broker, user, password, ca)


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"doorctl: {sentence}", err=True)
    raise typer.Exit(2)
