"""`.ci/run` tries to install what some tests are skipped without, for a bounded time, and runs all the rest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / ".ci" / "run"
NEEDED = ("bash", "dirname", "id", "timeout", "env", "sleep", "cat")
OPTIONAL = ("chromium", "npm", "go")
SUDO = '[ "$1" = -n ] && shift; exec "$@"'
INSTALLS = 'echo "apt-get $*" >>"$HOME/said"'


def programs(folder: Path, **made: str) -> Path:
    """A folder of programs, with nothing of this machine but what a shell needs."""
    found = folder / "bin"
    found.mkdir()
    for name in NEEDED:
        path = shutil.which(name)
        assert path is not None
        (found / name).symlink_to(path)
    for name, text in {
        "make": 'echo "make $*${COVERAGE:+ with coverage}" >>"$HOME/said"',
        "sudo": SUDO,
        **made,
    }.items():
        program = found / name.replace("_", "-")
        program.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        program.chmod(0o755)
    return found


def play(folder: Path, found: Path, seconds: int = 60) -> tuple[str, list[str]]:
    """What it said, and what was called."""
    (folder / ".ci").mkdir()
    shutil.copy(SCRIPT, folder / ".ci" / "run")
    done = subprocess.run(
        [str(found / "bash"), str(folder / ".ci" / "run")],
        env={"PATH": str(found), "HOME": str(folder), "CI_OPTIONAL_SECONDS": str(seconds)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = folder / "said"
    return done.stdout, said.read_text().splitlines() if said.exists() else []


def test_what_is_there_is_not_installed(tmp_path: Path) -> None:
    found = programs(tmp_path, apt_get=INSTALLS, **dict.fromkeys(OPTIONAL, ""))
    assert play(tmp_path, found) == ("", ["make check", "make test with coverage"])


def test_what_is_missing_is_installed_and_the_lists_are_read_once(tmp_path: Path) -> None:
    stdout, called = play(tmp_path, programs(tmp_path, apt_get=INSTALLS, npm=""))
    install = "apt-get install -qq -y --no-install-recommends"
    assert called == [
        "apt-get update -qq",
        f"{install} chromium",
        f"{install} golang-go golang-golang-x-mod-dev",
        "make check",
        "make test with coverage",
    ]
    assert "not installed" not in stdout


@pytest.mark.parametrize(
    "apt_get",
    [None, "exit 100", "sleep 60", '[ "$1" = update ] || exit 100'],
    ids=["none", "fails", "hangs", "late"],
)
def test_where_nothing_can_be_installed_all_the_rest_is_run(tmp_path: Path, apt_get: str | None) -> None:
    made = {} if apt_get is None else {"apt_get": apt_get}
    stdout, called = play(tmp_path, programs(tmp_path, **made), seconds=1)
    assert called == ["make check", "make test with coverage"]
    for name in OPTIONAL:
        assert f"tests that need {name} are skipped" in stdout


def test_a_change_that_fails_fails(tmp_path: Path) -> None:
    found = programs(tmp_path, make="exit 2", **dict.fromkeys(OPTIONAL, ""))
    with pytest.raises(AssertionError):
        play(tmp_path, found)
