"""`pip install .` installs the services and doorctl: the wheel is built as pip builds it, and what is in it runs."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
IN_NO_WHEEL = shutil.ignore_patterns(
    "__pycache__", ".*", "tests", "bench", "mesh", "docs", "out", "third_party", "build"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=IN_NO_WHEEL)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def read(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(ending)]
        return archive.read(name).decode()


def test_the_command_is_doorctl(wheel: Path) -> None:
    scripts = ConfigParser()
    scripts.read_string(read(wheel, "/entry_points.txt"))
    assert dict(scripts["console_scripts"]) == {"doorctl": "doorctl.__main__:app"}


def test_it_asks_for_what_running_needs(wheel: Path) -> None:
    asked = email.message_from_string(read(wheel, "/METADATA")).get_all("Requires-Dist") or []
    lines = (ROOT / "requirements" / "run.in").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert len(asked) == len(wanted)
    assert [
        line
        for line in wanted
        if not any(each.startswith(line.split("=")[0].split(">")[0]) for each in asked)
    ] == []


def test_it_holds_every_revision_and_what_is_read_at_run_time(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    folders = [ROOT / name for name in ("services", "protocol", "conformance", "doorctl", "vehicle")]
    needed = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in {".py", ".json", ".mako"} and "__pycache__" not in path.parts
    }
    assert sorted(needed - held) == []


def test_what_is_installed_runs(wheel: Path, tmp_path: Path) -> None:
    """In an empty folder, from the wheel's own files alone: nothing of the clone is found."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "COLUMNS": "120"}
    (tmp_path / "empty").mkdir()
    script = "from doorctl.__main__ import app; app(prog_name='doorctl')"
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        cwd=tmp_path / "empty",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for group in ("vehicle", "account", "key", "keys", "deadletter"):
        assert group in done.stdout
