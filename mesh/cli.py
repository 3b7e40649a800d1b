"""`python -m mesh run | token | pki | revoke | rotate-issuer-key | broker-config`; nothing else reads the environment.

DOORS_PORT_BASE (default 8000) moves every port, DOORS_DATA_DIR (default .doors) the data.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from doorctl.ceremony import CeremonyError
from mesh.broker_cluster import read_cluster, write_configurations
from mesh.broker_secrets import BrokerSecrets
from mesh.component import ComponentFailedError
from mesh.edge_config import ROOT
from mesh.environment import ignored
from mesh.files import private_folder
from mesh.fork_server import ForkServer, is_possible
from mesh.housekeeping import housekeeping, low_space_bytes, say, write
from mesh.issuer_seed import issuer_url
from mesh.pki import Pki
from mesh.plan import PROFILE, Planner
from mesh.ports import PortInUseError, Ports
from mesh.python_components import python_environment, python_modules
from mesh.sandbox import Sandbox
from mesh.signing_keys import rotate_signing_key
from mesh.supervisor import Supervisor, hung_seconds
from mesh.tokens import AGENTS, CLIENTS, MAX_NAME, ONE_FACTOR, TWO_FACTORS, Bearer, issue_token
from mesh.welcome import welcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class AlreadyRunningError(Exception):
    """Another mesh uses the data folder."""


LONGEST_AGE_SECONDS = 31_536_000

_REFUSALS = (
    ValueError,
    CeremonyError,
    PortInUseError,
    AlreadyRunningError,
    ComponentFailedError,
)


def main(words: list[str], environment: Mapping[str, str]) -> int:
    """Do what the command line asks; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mesh", description="The product on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="start everything and keep it running until Ctrl-C")
    commands.add_parser("pki", help="only make the keys, certificates and seeds")
    revoke = commands.add_parser(
        "revoke", help="revoke a workload's certificate; the next start makes it a new one"
    )
    revoke.add_argument("name", help="its file below pki/, without .crt: team-demo")
    commands.add_parser(
        "rotate-issuer-key", help="let the running issuer sign with a new key; the one before stays published"
    )
    token = commands.add_parser("token", help="print an access token of the development issuer")
    token.add_argument("--user", required=True, type=_name, help="whose token: user-123")
    token.add_argument("--act", type=_name, help="the agent who acts for the user: agent-7")
    token.add_argument("--vin", help="restrict it to this vehicle; an agent's needs one")
    token.add_argument(
        "--case", default="case-1", help="the number of the case because of which an agent acts"
    )
    token.add_argument(
        "--client",
        choices=CLIENTS,
        help=f"signed in through this client ({CLIENTS[0]}; for an agent {AGENTS})",
    )
    token.add_argument(
        "--mfa",
        choices=("0", "1"),
        default="1",
        help="1: signed in with two factors, which unlocking needs; 0: with a password only",
    )
    token.add_argument(
        "--age",
        type=_age,
        default=0,
        help="signed in so many seconds ago (RFC 9470's max_age is counted from it)",
    )
    token.add_argument("--scope", help="narrow it to this: 'security.watch security.act' of an employee")
    token.add_argument("--jkt", help="bind it to the key of this thumbprint (RFC 9449)")
    broker = commands.add_parser(
        "broker-config", help="write the configuration of each node of a broker of several"
    )
    broker.add_argument("description", type=Path, help="the nodes, a JSON file (docs/deployment.md)")
    broker.add_argument("--out", type=Path, required=True, help="the folder for NAME.conf of each node")
    broker.add_argument(
        "--secrets", type=Path, required=True, help="the folder of passwords; what is missing is made"
    )
    arguments = parser.parse_args(words)

    sandbox = Sandbox(Path(environment.get("DOORS_DATA_DIR") or ROOT / ".doors"))
    os.umask(0o077)  # also for what the components write: databases, logs, the vehicles' journals
    try:
        if arguments.command == "token":
            bearer = Bearer(
                arguments.user,
                arguments.act,
                arguments.vin,
                arguments.client,
                acr=TWO_FACTORS if arguments.mfa == "1" else ONE_FACTOR,
                age_seconds=arguments.age,
                case=arguments.case,
                jkt=arguments.jkt,
                scope=arguments.scope,
            )
            print(issue_token(sandbox.issuer_key, _issuer(sandbox, environment), bearer, datetime.now(UTC)))
        elif arguments.command != "run":
            _change_files(arguments, sandbox)
        else:
            for sentence in ignored(environment):
                print(f"mesh: {sentence}", file=sys.stderr)
            _only_the_sandbox(environment.get("DOORS_PROFILE"))
            ports = _ports(environment.get("DOORS_PORT_BASE"))
            with _only_one(sandbox.folder):
                return asyncio.run(_run(ports, sandbox, environment))
    except OSError as error:
        print(f"mesh: {_next_step(error, sandbox.folder, arguments.command)}", file=sys.stderr)
    except _REFUSALS as refused:
        print(f"mesh: {refused}", file=sys.stderr)
    else:
        return 0
    return 1


def _change_files(arguments: argparse.Namespace, sandbox: Sandbox) -> None:
    """Do what needs nothing that runs, and say what was done."""
    if arguments.command == "pki":
        sandbox.prepare(datetime.now(UTC))
        print(f"keys and certificates are in {sandbox.folder}")
    elif arguments.command == "rotate-issuer-key":
        print(f"signs with {rotate_signing_key(sandbox.issuer_key, sandbox.issuer_jwks)}")
    elif arguments.command == "revoke":
        pki = Pki(sandbox.pki, datetime.now(UTC))
        pki.revoke(pki.pair(arguments.name).cert)
        print(f"revoked {arguments.name}: in force in a few seconds")
    else:
        cluster = read_cluster(arguments.description)
        for path in write_configurations(cluster, BrokerSecrets(arguments.secrets), arguments.out):
            print(path)


def _issuer(sandbox: Sandbox, environment: Mapping[str, str]) -> str:
    """Return who the issuer is: that of the last start, or of the next one."""
    if sandbox.issuer_file.is_file():
        return sandbox.issuer
    return issuer_url(_ports(environment.get("DOORS_PORT_BASE")))


def _name(word: str) -> str:
    """Return a user's or an agent's name. Raises ArgumentTypeError."""
    if not (0 < len(word) <= MAX_NAME and word.isprintable() and word.strip() == word):
        raise argparse.ArgumentTypeError(f"a name has 1 to {MAX_NAME} printable characters")
    return word


def _age(word: str) -> int:
    """Return how long ago somebody signed in, in seconds. Raises ArgumentTypeError."""
    if not (word.isascii() and word.isdigit() and int(word) <= LONGEST_AGE_SECONDS):
        raise argparse.ArgumentTypeError(f"an age is 0 to {LONGEST_AGE_SECONDS} seconds")
    return int(word)


def _next_step(error: OSError, folder: Path, command: str) -> str:
    """Return what could not be read or written, and what to do about it."""
    where = f"{error.filename}: " if error.filename else ""
    said = f"{where}{error.strerror or error}"
    if isinstance(error, FileNotFoundError) and command == "token":
        return f"{said}; start the sandbox first: make run"
    if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(folder):
        return f"{said}; mend it, or choose another folder with DOORS_DATA_DIR"
    return f"{said}; make setup installs what is missing"


def _only_the_sandbox(profile: str | None) -> None:
    """Raise ValueError where somebody expects more of this command than it is."""
    if profile and profile != PROFILE:
        raise ValueError(
            f"DOORS_PROFILE={profile}: make run starts the {PROFILE} and nothing else; "
            "docs/deployment.md says how to run it for real"
        )


def _ports(base: str | None) -> Ports:
    """Return the ports at this base, or at the usual one. Raises ValueError, naming the key."""
    if not base:
        return Ports()
    if not base.isascii() or not base.isdecimal():
        raise ValueError(f"DOORS_PORT_BASE must be a number, not {base!r}")
    return Ports(int(base))


async def _run(ports: Ports, sandbox: Sandbox, environment: Mapping[str, str]) -> int:
    ports.require_free()
    fork_server = None
    if is_possible():
        # Nothing of the user's environment that is not given to it is any component's business.
        os.environ.clear()
        os.environ.update(python_environment(sandbox, environment))
        fork_server = ForkServer(python_modules(sandbox))
        fork_server.begin()  # it imports while the keys and files are made
    sandbox.prepare(datetime.now(UTC))
    sandbox.write_operator_file(ports)
    sandbox.write_issuer_file(ports)
    low_bytes = low_space_bytes(environment.get("DOORS_LOW_SPACE_BYTES"))
    plan = Planner(ports, sandbox, environment).plan()
    supervisor = Supervisor(
        plan,
        sandbox.envoy_admin,
        say=say,
        welcome=lambda: write(welcome(ports, sandbox, has_pages=plan.has_pages)),
        hung_seconds=hung_seconds(environment.get("DOORS_HUNG_SECONDS")),
        fork_server=fork_server,
    )
    stop = asyncio.Event()

    def asked_to_stop() -> None:
        if stop.is_set():  # asked twice: somebody is in a hurry
            supervisor.kill_all()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop)
    async with housekeeping(sandbox, low_bytes):
        await supervisor.run(stop)
    return 0


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder. The lock ends with the process, however that ends."""
    private_folder(folder)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            raise AlreadyRunningError(
                f"another mesh is running on {folder}; stop it or set DOORS_DATA_DIR"
            ) from held
        yield
