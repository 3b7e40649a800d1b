"""`make test` on a small project of its own: all is run, of every level and also what must be alone; what failed is
played once more, and only a failure there is one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = ROOT / "Makefile"
LEVELS = sorted({found.relative_to(ROOT / "tests").parts[0] for found in (ROOT / "tests").rglob("test_*.py")})
OF_THIS_RUN = ("COVERAGE", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")
PROJECT = """
[tool.pytest.ini_options]
testpaths = ["tests"]
markers = ["alone: by itself"]
addopts = ["--import-mode=importlib"]

[tool.coverage.run]
source = ["."]

[tool.coverage.report]
fail_under = FLOOR
"""
PLUGINS = "xdist.plugin,pytest_cov.plugin"
"""All that is needed here; whatever else is installed would take most of the time."""
OF_A_LEVEL = """
from pathlib import Path

import pytest


def test_passes():
    Path("ran-{level}").touch()


@pytest.mark.alone
def test_passes_alone():
    Path("ran-alone-{level}").touch()
"""
TESTS = """
from pathlib import Path

import pytest


def fails(name, times):
    with Path(name).open("a") as runs:
        runs.write("x")
    return len(Path(name).read_text()) <= times


@pytest.mark.parametrize("number", range({number}))
def test_beside_others(number):
    assert not fails(f"beside-{{number}}", {beside})


def test_good():
    assert not fails("good", 0)


@pytest.mark.alone
def test_alone():
    assert not fails("alone", {alone})
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("workers", "number", "beside", "alone", "asked", "passes"),
    [(1, 2, 1, 1, ["COVERAGE=1"], True), (0, 1, 2, 0, [], False)],
    ids=["accidents", "twice"],
)
def test_what_failed_is_played_once_more(
    tmp_path: Path, workers: int, number: int, beside: int, alone: int, asked: list[str], passes: bool
) -> None:
    done = play(tmp_path, workers, *asked, number=number, beside=beside, alone=alone)
    assert (done.returncode == 0) is passes, done.stdout + done.stderr
    assert "are played once more by themselves" in done.stdout
    assert (tmp_path / ".coverage").exists() is bool(asked), "it is counted where that is asked for"
    assert (tmp_path / "good").read_text() == "x", "what had passed was played again"
    assert (tmp_path / "alone").read_text() == "x" * (1 + (alone > 0))
    ran = {found.name for found in tmp_path.glob("ran-*")}
    assert ran == {f"ran-{how}{level}" for level in LEVELS for how in ("", "alone-")}, "some are never run"


@pytest.mark.timeout(300)
def test_coverage_has_a_floor_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text("def never_called():\n    return 1\n")
    done = play(
        tmp_path, 1, "COVERAGE=1", config=PROJECT.replace("FLOOR", "100"), number=0, beside=0, alone=0
    )
    assert done.returncode != 0, done.stdout + done.stderr
    assert "less than fail-under=100" in done.stdout


def play(
    folder: Path, workers: int, *more: str, config: str = PROJECT.replace("FLOOR", "0"), **failures: int
) -> subprocess.CompletedProcess[str]:
    """`make test` of the project's own Makefile."""
    for level in LEVELS:
        (folder / "tests" / level).mkdir(parents=True)
        made = folder / "tests" / level / f"test_{level}_passes.py"
        made.write_text(textwrap.dedent(OF_A_LEVEL).format(level=level))
    (folder / "pyproject.toml").write_text(config)
    (folder / "tests" / "system" / "test_accidents.py").write_text(textwrap.dedent(TESTS).format(**failures))
    # The environment of this run is ready.
    environment, requirements = folder / ".venv", folder / "requirements"
    for made in (environment, requirements):
        made.mkdir()
    (environment / "bin").symlink_to(Path(sys.executable).parent)
    for name in ("bootstrap", "run", "test"):
        (requirements / f"{name}.txt").touch()
    for name in (".bootstrapped", ".run-ready", ".test-ready"):
        (environment / name).touch()
    # What an earlier run left.
    junk = folder / ".pytest_cache" / "v" / "cache" / "lastfailed"
    junk.parent.mkdir(parents=True)
    junk.write_text('{"tests/system/test_accidents.py::test_good": true, "tests/gone.py::test_gone": true}')
    # It has no documentation.
    words = ["make", "-f", str(MAKEFILE), "--old-file=docs", "test", f"WORKERS={workers}", *more]
    # What this run was asked for is not asked of it.
    ours = {name: value for name, value in os.environ.items() if name not in OF_THIS_RUN}
    ours |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGINS}
    return subprocess.run(
        words, cwd=folder, env=ours, capture_output=True, text=True, check=False, timeout=280
    )
