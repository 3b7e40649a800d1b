"""The commands of `doors`."""

from __future__ import annotations

import contextlib
import os
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ecarus_doors import AuthenticationError, DoorsError, DoorsSync
from ecarus_doors._core.calls import new_correlation_id
from ecarus_doors._version import VERSION
from ecarus_doors.cli.credentials import (
    Credentials,
    CredentialsError,
    find_credentials,
    forget,
    of_secret,
    store,
)
from ecarus_doors.cli.output import REFUSED, SUCCESS, TIMEOUT, USAGE, Output, plain
from ecarus_doors.cli.settings import changes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecarus_doors import CommandResult, Event
    from ecarus_doors.models import DoorConfig, DoorState, DoorStatus

INTERRUPTED = 130
app = typer.Typer(
    no_args_is_help=True,
    help="Lock, unlock and watch vehicles.",
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)
config_app = typer.Typer(no_args_is_help=True, help="Door settings.")
app.add_typer(config_app, name="config")

Vin = Annotated[str, typer.Argument(help="The vehicle.", show_default=False)]
Url = Annotated[str | None, typer.Option("--url", help="Base URL of the API. [DOORS_URL, or of doors login]")]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with an access token. [DOORS_TOKEN_FILE]", dir_okay=False),
]
Ca = Annotated[Path | None, typer.Option("--ca", help="File of a CA of your own. [DOORS_CA]", dir_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, and nothing else.")]
DoorNames = Annotated[
    list[str] | None,
    typer.Option(
        "--door", help="driver, passenger, rearLeft, rearRight, trunk; again for more. All by default."
    ),
]
Wait = Annotated[float, typer.Option(min=0, max=60, help="Seconds to wait for the end; 0: do not.")]
CorrelationId = Annotated[
    str | None, typer.Option(help="The command's name: the same again is the same command, for a day.")
]


@app.callback(invoke_without_command=True)
def doors(
    version: Annotated[bool, typer.Option("--version", help="Say the version.")] = False,
) -> None:
    """Lock, unlock and watch vehicles."""
    if version:
        sys.stdout.write(f"doors {VERSION}\n")
        raise typer.Exit


@contextlib.contextmanager
def _client(
    output: Output, url: str | None, token_file: Path | None, ca: Path | None, command: str | None = None
) -> Iterator[DoorsSync]:
    """Yield a client, and turn what goes wrong into words and an exit status. `command`: its correlation id."""
    try:
        with _opened(find_credentials(url, token_file), ca) as client:
            yield client
    except DoorsError as error:
        raise typer.Exit(output.error(error)) from error
    except BrokenPipeError as error:
        # Whoever read it has seen enough; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from error
    except (CredentialsError, ValueError, OSError) as error:
        output.aside.print(f"doors: {error}", markup=False)
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt as error:
        if command is not None:
            output.aside.print(
                f"doors: interrupted; the vehicle may act all the same. correlation id {command}"
            )
        raise typer.Exit(INTERRUPTED) from error


def _opened(credentials: Credentials, ca: Path | None) -> DoorsSync:
    trusted = ca or os.environ.get("DOORS_CA") or True
    return DoorsSync(
        credentials.url,
        token=credentials.token,
        api_key=credentials.api_key,
        verify=trusted,
        user_agent=f"doors/{VERSION}",
    )


@app.command()
def unlock(
    vin: Vin,
    *,
    door: DoorNames = None,
    mode: Annotated[Literal["NORMAL", "EMERGENCY"] | None, typer.Option(help="How.")] = None,
    wait: Wait = 30,
    correlation_id: CorrelationId = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Unlock doors, and wait for the end."""
    output = Output(is_json=json)
    name = correlation_id or new_correlation_id()
    with _client(output, url, token_file, ca, name) as client, output.waiting("Waiting for the vehicle"):
        result = client.unlock(vin, _doors(door), mode=mode, wait=wait or None, correlation_id=name)
    _end(output, result, waited=wait > 0)


@app.command()
def lock(
    vin: Vin,
    *,
    door: DoorNames = None,
    mode: Annotated[Literal["NORMAL", "SECURE"] | None, typer.Option(help="How.")] = None,
    wait: Wait = 30,
    correlation_id: CorrelationId = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Lock doors, and wait for the end."""
    output = Output(is_json=json)
    name = correlation_id or new_correlation_id()
    with _client(output, url, token_file, ca, name) as client, output.waiting("Waiting for the vehicle"):
        result = client.lock(vin, _doors(door), mode=mode, wait=wait or None, correlation_id=name)
    _end(output, result, waited=wait > 0)


@app.command()
def cancel(
    vin: Vin,
    correlation_id: Annotated[
        str, typer.Argument(help="Under which the command was asked for.", show_default=False)
    ],
    force: Annotated[bool, typer.Option("--force", help="Stop an unlock between doors.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Withdraw a command that was asked for."""
    output = Output(is_json=json)
    with _client(output, url, token_file, ca) as client:
        command = client.cancel(vin, correlation_id, force=force or None)
    if json:
        output.json(command.to_json())
    else:
        output.line(command.status.value, command.message)


@app.command()
def status(
    vin: Vin, url: Url = None, token_file: TokenFile = None, ca: Ca = None, json: Json = False
) -> None:
    """Show how the doors stand."""
    output = Output(is_json=json)
    with _client(output, url, token_file, ca) as client:
        found = client.status(vin)
    if json:
        output.json(found.to_json())
    else:
        _show_status(output, found)


@app.command()
def vehicles(url: Url = None, token_file: TokenFile = None, ca: Ca = None, json: Json = False) -> None:
    """List the vehicles that you have a right on."""
    output = Output(is_json=json)
    with _client(output, url, token_file, ca) as client:
        found = client.vehicles()
    if json:
        for each in found:
            output.json(each.to_json())
    else:
        output.table(["VIN", "ROLE"], [(each.vin, each.role.value) for each in found])


@app.command()
def history(
    vin: Vin,
    *,
    period: Annotated[Literal["1h", "24h", "7d", "30d"], typer.Option(help="How far back.")] = "24h",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Entries at most.")] = 50,
    action: Annotated[
        Literal["UNLOCK", "LOCK", "CANCEL", "STATUS_CHECK"] | None, typer.Option(help="Of this kind only.")
    ] = None,
    ending: Annotated[
        Literal["SUCCESS", "FAILED", "TIMEOUT", "CANCELLED"] | None,
        typer.Option("--status", help="That ended so."),
    ] = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Show what was asked of a vehicle, newest first."""
    output, found = Output(is_json=json), []
    with _client(output, url, token_file, ca) as client:
        entries = client.history_entries(
            vin, period=period, action=action, status=ending, page_size=min(limit, 200)
        )
        for entry in islice(entries, limit):
            if json:
                output.json(entry.to_json())
            else:
                found.append(entry)
    if not json:
        rows = [
            (
                e.timestamp.astimezone().isoformat(" ", "seconds") if e.timestamp else "",
                e.action.value,
                ", ".join(e.target_doors),
                e.status.value,
                e.failure_reason or "",
                e.user_id,
                e.source.value if e.source else "",
            )
            for e in found
        ]
        output.table(["WHEN", "ACTION", "DOORS", "STATUS", "REASON", "WHO", "SOURCE"], rows)


@app.command()
def watch(
    vin: Vin,
    last_event_id: Annotated[str | None, typer.Option(help="Begin after this one.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Show live updates, until the right to them ends or you do (Ctrl-C)."""
    output, seen = Output(is_json=json), 0

    def reconnects(error: DoorsError | None, pause: float) -> None:
        why = f"{error.code}: {error.detail}" if error else "the stream ended"
        output.aside.print(f"doors: {plain(why)}; trying again in {pause:.1f} s", markup=False)

    with (
        _client(output, url, token_file, ca) as client,
        client.watch(vin, last_event_id=last_event_id, on_reconnect=reconnects) as stream,
    ):
        output.note(f"watching {vin}")
        for event in stream:
            _show_event(output, event)
            seen += 1
            if seen == count:
                return
        if stream.ended is not None:
            output.aside.print(f"doors: {stream.ended.code}: {stream.ended.detail}", markup=False)
    raise typer.Exit(REFUSED)


@config_app.command("get")
def config_get(
    vin: Vin, url: Url = None, token_file: TokenFile = None, ca: Ca = None, json: Json = False
) -> None:
    """Show all settings, and whether the vehicle has applied them."""
    output = Output(is_json=json)
    with _client(output, url, token_file, ca) as client:
        _show_config(output, client.config(vin))


@config_app.command("set")
def config_set(
    vin: Vin,
    changes: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE...", help="autoLockDelay=30 unlockMode=ALL ...")
    ],
    url: Url = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Change the named settings; the others stay."""
    output = Output(is_json=json)
    with _client(output, url, token_file, ca) as client:
        _show_config(output, client.update_config(vin, **changes_of(changes)))


@app.command()
def login(
    url: Url = None,
    ca: Ca = None,
) -> None:
    """Keep a token or an API key for later: asked for, or read from stdin. It is tried first."""
    output = Output(is_json=False)
    try:
        base = find_credentials(url, None, no_secret=True).url
        secret = (
            typer.prompt("Token or API key", hide_input=True)
            if sys.stdin.isatty()
            else sys.stdin.read(65_536)
        )
        secret = secret.strip()
        with _opened(of_secret(base, secret), ca) as client:
            _try(client)
        path = store(base, secret)
    except AuthenticationError as error:
        raise typer.Exit(output.error(error)) from error
    except DoorsError as error:
        raise typer.Exit(output.error(error)) from error
    except (CredentialsError, ValueError, OSError) as error:
        output.aside.print(f"doors: {error}", markup=False)
        raise typer.Exit(USAGE) from error
    output.line(f"kept in {path}")


@app.command()
def logout() -> None:
    """Forget what doors login kept."""
    Output(is_json=False).line("forgotten" if forget() else "nothing was kept")


def _try(client: DoorsSync) -> None:
    """Raise AuthenticationError where nobody is signed in by this. What else is refused is another matter."""
    try:
        client.vehicles()
    except DoorsError as error:
        if isinstance(error, AuthenticationError) or error.status is None:
            raise


def _doors(names: list[str] | None) -> Any:
    return names or "all"


def _end(output: Output, result: CommandResult, *, waited: bool) -> None:
    ended = output.result(result)
    raise typer.Exit(TIMEOUT if waited and not result.finished and ended == SUCCESS else ended)


def _show_status(output: Output, found: DoorStatus) -> None:
    about = [found.connectivity.value if found.connectivity else "", "stale" if found.stale else ""]
    observed = found.timestamp.astimezone().isoformat(" ", "seconds") if found.timestamp else ""
    output.line(found.vin, observed, *(word for word in about if word))
    named = ("driver", "passenger", "rear_left", "rear_right", "trunk", "hood")
    states: list[tuple[str, DoorState | None]] = [(name, getattr(found.doors, name, None)) for name in named]
    words = {
        "LOCK": ("locked", {True: "locked", False: "unlocked"}),
        "DOOR": ("open", {True: "open", False: "closed"}),
        "WINDOW": ("window_open", {True: "open", False: "closed"}),
        "CHILD LOCK": ("child_lock", {True: "on", False: "off"}),
    }
    rows = [
        (name.replace("_", " "), *(said.get(getattr(state, member), "") for member, said in words.values()))
        for name, state in states
        if state is not None
    ]
    output.table(["", *words], rows)


def _show_event(output: Output, event: Event) -> None:
    if output.is_json:
        output.json(event.to_json())
    else:
        told = ", ".join(
            f"{name} {value}" for name, value in event.data.items() if not isinstance(value, dict | list)
        )
        output.line(event.timestamp, event.type, told)


def _show_config(output: Output, config: DoorConfig) -> None:
    if output.is_json:
        output.json(config.to_json())
        return
    shown = config.to_json()
    application = shown.pop("application", {})
    output.table(["SETTING", "VALUE"], [(name, _word(value)) for name, value in shown.items()])
    if application:
        output.line("vehicle:", *(f"{name} {value}" for name, value in application.items()))


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
