"""The packages of gRPC stubs, built and in empty environments, over mutual TLS: every example of their READMEs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.app import App, Car, owner_of_a_locked_car
from tests.support.empty_environment import environment_with
from tests.support.node import built_package, development_modules, install
from tests.system.documents import ROOT
from tools import packages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system


def examples(package: str, language: str) -> list[str]:
    page = (ROOT / "packages" / package / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def app(mesh: Mesh) -> App:
    return owner_of_a_locked_car(mesh, mesh.token("user-123"))


def surroundings(app: App, **more: str) -> dict[str, str]:
    return {
        "DOORS_GRPC": f"localhost:{app.mesh.ports.mtls}",
        "DOORS_PKI": str(app.mesh.data / "pki"),
        "DOORS_TOKEN": app.bearer,
        "PATH": os.environ["PATH"],
    } | more


def run(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an empty environment with the wheel."""
    folder = tmp_path_factory.mktemp("team")
    (package,) = (each for each in packages.PACKAGES if each.name == "ecarus-doors-grpc")
    made = packages.build_packages(folder, [package])
    return environment_with(next(path for path in made if path.suffix == ".whl"), folder, ["types"])


def test_a_python_team_unlocks(python: Path, app: App, tmp_path: Path) -> None:
    (tmp_path / "unlock.py").write_text(examples("grpc-python", "python")[0])
    said = run([str(python), "unlock.py"], tmp_path, surroundings(app))
    assert re.fullmatch(r"cmd-[0-9a-f-]+ SUCCESS\n", said)
    assert not Car(app.mesh).state_locked()


def test_a_python_team_is_told_why_not(python: Path, app: App, tmp_path: Path) -> None:
    (tmp_path / "unlock.py").write_text(examples("grpc-python", "python")[0])
    said = run(
        [str(python), "unlock.py"], tmp_path, surroundings(app, DOORS_TOKEN=app.mesh.token("user-456"))
    )
    assert said.startswith("VEHICLE_NOT_FOUND false")


def test_a_python_team_watches(python: Path, app: App, tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(examples("grpc-python", "python")[1])
    with subprocess.Popen(
        [python, "watch.py"],
        cwd=tmp_path,
        env=surroundings(app),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline() == "driver locked: True\n"
            assert watching.stdout.readline().startswith("watching from ")
            app.order("unlock")
            assert re.match(r"\S+ [A-Z]+_[A-Z_]+\n", watching.stdout.readline())
            assert watching.wait(60) == 0
        finally:
            watching.kill()


def test_the_python_examples_are_right_by_their_types(python: Path, tmp_path: Path) -> None:
    for place, code in enumerate(examples("grpc-python", "python")):
        (tmp_path / f"example{place}.py").write_text(code)
    words = [
        "-m",
        "mypy",
        "--strict",
        f"--python-executable={python}",
        f"--cache-dir={tmp_path / 'cache'}",
        ".",
    ]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    # What Google publishes has no types; what is ours has.
    assert [line for line in errors if 'Skipping analyzing "google.rpc"' not in line] == []


def test_a_typescript_team_reads_watches_and_unlocks(app: App, tmp_path: Path) -> None:
    named = [
        f"@connectrpc/{name}@{version_of(f'@connectrpc/{name}')}" for name in ("connect", "connect-node")
    ]
    install(tmp_path, [built_package("@ecarus/doors-grpc"), *named])
    (tmp_path / "team.mjs").write_text(examples("grpc-typescript", "js")[0])
    said = run(["node", "team.mjs"], tmp_path, surroundings(app, NODE_NO_WARNINGS="1"))
    assert said.startswith("driver locked: true\n")
    assert "unlock SUCCESS" in said
    assert re.search(r"^\S+ doorStatus$", said, re.MULTILINE)
    assert not Car(app.mesh).state_locked()


def version_of(package: str) -> str:
    said = (development_modules("grpc-typescript") / package / "package.json").read_text()
    found = re.search(r'"version": "([\d.]+)"', said)
    assert found is not None
    return found[1]
