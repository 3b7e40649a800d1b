"""`python -m mesh` and `make token` as a person mistypes them: one line that names the next step, and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

ROOT = Path(__file__).resolve().parents[2]


def clean(data: Path, **environment: str) -> dict[str, str]:
    """An environment as a new shell has it: no path to this repository's packages."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("DOORS_", "PYTHONPATH"))
    }
    return {**kept, "DOORS_DATA_DIR": str(data), **environment}


def mesh(data: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mesh", *words],
        cwd=ROOT,
        env=clean(data, **environment),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_tokens_of_users_and_of_agents(tmp_path: Path) -> None:
    assert mesh(tmp_path / "doors", "pki").returncode == 0
    agents = ("token", "--user", "user-123", "--act", "agent-7")
    done = mesh(tmp_path / "doors", *agents, "--vin", "KMHSH81C7LU123456")
    assert done.returncode == 0, done.stderr
    claims = jwt.decode(done.stdout.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["act"]) == ("user-123", {"sub": "agent-7"})
    assert claims["iss"] == "http://localhost:8700"  # where the next start will have the issuer
    done = mesh(tmp_path / "doors", *agents)
    assert (done.returncode, "say which with VIN=" in done.stderr) == (1, True)


@pytest.mark.parametrize("user", ["", " ", "two\nlines", "x" * 129])
def test_a_token_is_nobodys_without_a_name(tmp_path: Path, user: str) -> None:
    done = mesh(tmp_path, "token", "--user", user)
    assert done.returncode == 2
    assert "a name has 1 to 128 printable characters" in done.stderr


def test_make_token_says_that_a_user_is_missing() -> None:
    done = subprocess.run(["make", "token", "USER="], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "say whose: make token USER=user-123" in done.stderr


def test_a_token_without_a_sandbox_says_what_to_start(tmp_path: Path) -> None:
    done = mesh(tmp_path / "doors", "token", "--user", "user-123")
    assert done.returncode == 1
    assert "start the sandbox first: make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file_names_it_and_the_setting(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    done = mesh(taken, "run")
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == f"mesh: {taken}: File exists; mend it, or choose another folder with DOORS_DATA_DIR"
    )


def test_a_production_profile_is_not_taken_for_the_sandbox(tmp_path: Path) -> None:
    done = mesh(tmp_path, "run", DOORS_PROFILE="production")
    assert done.returncode == 1
    assert "docs/deployment.md" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_setting_that_nothing_reads_is_said(tmp_path: Path) -> None:
    done = mesh(tmp_path, "run", DOORS_READS_PER_MINUT="5", DOORS_SIGNING_KEY="x", DOORS_PROFILE="production")
    assert (
        "DOORS_READS_PER_MINUT is no setting of the sandbox and is ignored; did you mean DOORS_READS_PER_MINUTE?"
        in (done.stderr)
    )
    assert "DOORS_SIGNING_KEY is no setting of the sandbox and is ignored" in done.stderr
    assert "DOORS_PROFILE is no setting" not in done.stderr


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.8])
def test_ctrl_c_in_the_first_seconds_has_no_traceback(tmp_path: Path, seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mesh", "run"],
        cwd=ROOT,
        env=clean(tmp_path, DOORS_PORT_BASE="nowhere"),  # nothing is to start, however late the signal comes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    # Before the program's first line the signal is the interpreter's, and so is what it says of it.
    assert "Traceback" not in said or str(ROOT) not in said
