"""The Python package as an integrator has it: the built wheel in an environment of its own, at the running mesh."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from mesh.tokens import ONE_FACTOR
from tests.support.app import SAMPLE, App, Car, eventually
from tests.system.documents import ROOT, blocks, paste
from tools.contract_version import contract_version
from tools.packages import PACKAGES, build_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

README = "packages/python/README.md"
SETTINGS = ("autoLockDelay", "unlockMode")


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which nothing is but the wheel, with its extras, and what they need."""
    folder = tmp_path_factory.mktemp("integrator")
    (ours,) = (package for package in PACKAGES if package.name == "ecarus-doors")
    build_packages(folder / "out/packages", [ours])
    (line,) = re.findall(r"^pip install '(.+)'$", (ROOT / README).read_text(), re.MULTILINE)
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run(
        [uv, "venv", "--quiet", "--offline", f"--python={sys.executable}", folder / "venv"], check=True
    )
    install = [uv, "pip", "install", "--quiet", f"--python={folder / 'venv'}", line]
    # The versions that `make tools` has fetched: where they are in the cache nothing is asked of a registry.
    pinned = [f"--constraint={ROOT / 'requirements/test.txt'}"]
    offline = subprocess.run(
        [*install, *pinned, "--offline"], cwd=folder, capture_output=True, text=True, check=False
    )
    if offline.returncode:
        subprocess.run([*install, *pinned], cwd=folder, check=True)
    return folder / "venv" / "bin"


class Integrator:
    """Somebody with the package and a token."""

    def __init__(self, mesh: Mesh, programs: Path, home: Path) -> None:
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "DOORS_URL": mesh.base_url,
            "DOORS_TOKEN": mesh.token("user-123"),
            "DOORS_WEAK_TOKEN": mesh.token("user-123", acr=ONE_FACTOR),
            "NO_COLOR": "1",
        }
        self._programs, self._home = programs, home

    def script(self, code: str, **environment: str) -> str:
        """What a script prints, which nothing but the wheel can be imported in."""
        file = self._home / "script.py"
        file.write_text(code)
        return self._run(str(self._programs / "python"), "-I", str(file), **environment).stdout

    def doors(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self._run(str(self._programs / "doors"), *words, check=False, **environment)

    def said(self, *words: str) -> dict[str, Any]:
        """The one object that `doors --json` writes, and nothing else."""
        done = self.doors(*words, "--json")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
        (line,) = done.stdout.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    def _run(self, *words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            env=self.environment | environment,
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done


@pytest.fixture
def integrator(mesh: Mesh, bin_folder: Path, tmp_path: Path) -> Iterator[Integrator]:
    Car(mesh).meet()
    Car(mesh).do("door-time", seconds=0)
    app = App(mesh, bearer=mesh.token("user-123"))
    before = app.get("config").json()
    yield Integrator(mesh, bin_folder, tmp_path)
    changed = app.send("PUT", "config", {name: before[name] for name in SETTINGS})
    assert changed.status_code == 200, changed.text


PYTHON = re.findall(r"^```python\n(.*?)^```$", (ROOT / README).read_text(), re.MULTILINE | re.DOTALL)
SHELL = blocks(README, "## The command line")


def test_ten_lines_do_what_the_curl_lines_do(integrator: Integrator) -> None:
    lines = integrator.script(PYTHON[0]).splitlines()
    assert lines[:2] == ["SUCCESS", "SUCCESS"]
    assert "DoorState(locked=True" in lines[2]
    assert "('LOCK', 'SUCCESS')" in lines[3]
    assert lines[4] == f"{SAMPLE} DRIVER_ONLY"
    assert lines[5] == "NORMAL"
    assert lines[6] in {"DOOR_STATUS_UPDATE", "COMMAND_STATUS_UPDATE"}
    assert len(PYTHON[0].split("\n\n")[1].splitlines()) == 1 + 10


@pytest.mark.parametrize("number", range(1, len(PYTHON)))
def test_each_example_of_the_readme_runs(integrator: Integrator, number: int) -> None:
    shown = integrator.script(PYTHON[number])
    expected = {
        1: "SUCCESS True",
        2: "VEHICLE_NOT_FOUND",
        3: "resume with True",
        4: f"{SAMPLE} COMMAND_STATUS_UPDATE",
        5: "True",
    }
    assert shown.splitlines()[-1].replace("CommandStatus.", "") == expected[number]
    if number == 5:
        assert shown.startswith("sign in with urn:ecarus:acr:2fa at most 3600 seconds ago")


def test_the_commands_of_the_readme_run(integrator: Integrator, tmp_path: Path) -> None:
    done = paste(SHELL[0], tmp_path, **integrator.environment)
    assert done.returncode == 0, done.stderr
    for shown in ("driver", "SUCCESS", '"status":"SUCCESS"', "LOCK", "autoLockDelay", "DRIVER_ONLY"):
        assert shown in done.stdout


def test_the_installed_package_says_its_version(integrator: Integrator) -> None:
    assert integrator.doors("--version").stdout == f"doors {contract_version()}\n"
    assert (
        integrator.script("import ecarus_doors; print(ecarus_doors.__version__)") == f"{contract_version()}\n"
    )


def test_each_command_writes_one_object_with_json(integrator: Integrator) -> None:
    unlocked = integrator.said("unlock", SAMPLE, "--door", "trunk")
    assert (unlocked["status"], unlocked["finished"], unlocked["doorResults"][0]["doorId"]) == (
        "SUCCESS",
        True,
        "trunk",
    )
    assert integrator.said("lock", SAMPLE)["status"] == "SUCCESS"
    assert integrator.said("status", SAMPLE)["doors"]["trunk"]["locked"] is True
    assert integrator.said("config", "get", SAMPLE)["vin"] == SAMPLE
    assert integrator.said("config", "set", SAMPLE, "autoLockDelay=45")["autoLockDelay"] == 45
    entry = integrator.said("history", SAMPLE, "--limit", "1", "--action", "LOCK")
    assert (entry["action"], entry["status"]) == ("LOCK", "SUCCESS")
    assert {
        json.loads(line)["vin"] for line in integrator.doors("vehicles", "--json").stdout.splitlines()
    } >= {SAMPLE}


def test_refusals_have_their_exit_status(integrator: Integrator) -> None:
    foreign = integrator.doors("status", "KMHSH81C7LU999999", "--json")
    assert (foreign.returncode, json.loads(foreign.stdout)["error"]) == (4, "VEHICLE_NOT_FOUND")
    weak = integrator.doors("unlock", SAMPLE, DOORS_TOKEN=integrator.environment["DOORS_WEAK_TOKEN"])
    assert (weak.returncode, "Sign in with urn:ecarus:acr:2fa" in weak.stderr) == (4, True)
    away = integrator.doors("status", SAMPLE, "--json", DOORS_URL="http://127.0.0.1:9")
    assert (away.returncode, json.loads(away.stdout)["mayHaveSucceeded"]) == (5, False)
    assert integrator.doors("status", SAMPLE, DOORS_TOKEN="").returncode == 2


def test_a_login_is_kept_and_used(integrator: Integrator, mesh: Mesh) -> None:
    ours = str(Path(integrator.environment["PATH"].split(":")[0]) / "doors")
    rest = {
        name: value
        for name, value in integrator.environment.items()
        if name not in {"DOORS_TOKEN", "DOORS_URL"}
    }

    def doors(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ours, *words], input=typed, env=rest, capture_output=True, text=True, timeout=110, check=False
        )

    kept = doors("login", "--url", mesh.base_url, typed=mesh.token("user-123") + "\n")
    assert kept.returncode == 0, kept.stderr
    assert doors("status", SAMPLE).returncode == 0
    assert doors("logout").stdout == "forgotten\n"
    assert doors("status", SAMPLE).returncode == 2


class Line:
    """A connection to the edge that can be cut, and stays cut until it is mended."""

    def __init__(self, port: int) -> None:
        self._to, self.seen, self._is_cut = port, b"", False
        self._to_lose, self.lost = 0, 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def lose_answers(self, count: int) -> None:
        """Cut the connection instead of passing on so many of the next answers."""
        self._to_lose = count

    def cut(self) -> None:
        self._is_cut = True
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def mend(self) -> None:
        self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            self._open += [near, far]
            for source, sink, is_answer in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._pass_on, args=(source, sink, is_answer), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if is_answer and self._to_lose:
                    self._to_lose, self.lost = self._to_lose - 1, self.lost + 1
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                self.seen += piece if is_answer else b""
                sink.sendall(piece)


def test_an_answer_that_is_lost_makes_no_second_command(integrator: Integrator, mesh: Mesh) -> None:
    app = App(mesh, bearer=mesh.token("user-123"))
    assert app.end_of(app.order("lock", ["trunk"]).json()["commandId"])["status"] == "SUCCESS"
    before = app.history(action="UNLOCK", limit=1)["total"]
    with Line(mesh.ports.http) as line:
        line.lose_answers(2)
        shown = integrator.script(
            "import os\n"
            "from ecarus_doors import DoorsSync\n"
            "with DoorsSync(os.environ['DOORS_URL'], token=os.environ['DOORS_TOKEN']) as doors:\n"
            f"    result = doors.unlock({SAMPLE!r}, ['trunk'], wait=30)\n"
            "    print(result.command_id, result.status)\n",
            DOORS_URL=line.url,
        )
    command_id, status = shown.split()
    assert (status, line.lost) == ("SUCCESS", 2)
    assert app.history(action="UNLOCK", limit=1)["total"] == before + 1
    assert [each["phase"] for each in Car(mesh).actuations(command_id)] == ["BEFORE", "AFTER"]


def test_watching_survives_a_cut_connection_and_misses_nothing(integrator: Integrator, mesh: Mesh) -> None:
    app, lines = App(mesh, bearer=mesh.token("user-123")), list[str]()

    def ends_of(command_id: str) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in list(lines)]
        return [
            e
            for e in told
            if e["data"].get("commandId") == command_id and e["data"].get("status") == "SUCCESS"
        ]

    with Line(mesh.ports.http) as line:
        watching = subprocess.Popen(
            [str(Path(integrator.environment["PATH"].split(":")[0]) / "doors"), "watch", SAMPLE, "--json"],
            env=integrator.environment | {"DOORS_URL": line.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        reader = threading.Thread(
            target=lambda: lines.extend(iter(watching.stdout.readline, "")), daemon=True
        )
        reader.start()
        try:
            eventually(lambda: b"STREAM_OPENED" in line.seen)
            first = app.order("lock", ["trunk"]).json()["commandId"]
            eventually(lambda: ends_of(first))
            line.cut()
            second = app.order("unlock", ["trunk"]).json()["commandId"]
            assert app.end_of(second)["status"] == "SUCCESS"
            assert not ends_of(second)
            line.mend()
            eventually(lambda: ends_of(second))
            third = app.order("lock", ["trunk"]).json()["commandId"]
            eventually(lambda: ends_of(third))
        finally:
            watching.terminate()
            watching.communicate(timeout=30)
            reader.join(30)
    ids = [json.loads(each)["id"] for each in lines]
    assert len(ids) == len(set(ids))
    assert all(len(ends_of(each)) == 1 for each in (first, second, third))


def test_a_token_that_is_bound_to_a_key_goes_with_its_proofs(integrator: Integrator, mesh: Mesh) -> None:
    made = integrator.script(
        "from ecarus_doors import DpopKey\n"
        "from cryptography.hazmat.primitives import serialization as s\n"
        "key = DpopKey()\n"
        "print(key.thumbprint)\n"
        "print(key._private.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode())\n"
    )
    thumbprint, pem = made.split("\n", 1)
    token = mesh.token("user-123", jkt=thumbprint)
    shown = integrator.script(
        "import os\n"
        "from cryptography.hazmat.primitives.serialization import load_pem_private_key\n"
        "from ecarus_doors import AuthenticationError, DoorsSync, DpopKey\n"
        f"key, token = DpopKey(load_pem_private_key({pem!r}.encode(), None)), {token!r}\n"
        "with DoorsSync(os.environ['DOORS_URL'], token=token, dpop=key) as doors:\n"
        f"    print(doors.status({SAMPLE!r}).vin, doors.config({SAMPLE!r}).vin)\n"
        "with DoorsSync(os.environ['DOORS_URL'], token=token) as doors:\n"
        "    try:\n"
        f"        doors.status({SAMPLE!r})\n"
        "    except AuthenticationError as error:\n"
        "        print(error.code)\n"
    )
    assert re.sub(r"\s+", " ", shown).strip() == f"{SAMPLE} {SAMPLE} TOKEN_INVALID"
