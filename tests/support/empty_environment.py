"""An empty virtual environment with one built wheel in it, as an integrator has it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

UV = Path(sys.executable).with_name("uv")
INSTALL_SECONDS = 100


def environment_with(wheel: Path, folder: Path, extras: Sequence[str] = ()) -> Path:
    """Return the Python of a new environment that has the wheel with these extras and what it needs, in the versions
    that the tests have, so that an installer's cache has them, too. Skip the test where they can be had from nowhere.
    """
    constraints = folder / "constraints.txt"
    here = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(here.items())))
    python = folder / "environment" / "bin" / "python"
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, python.parents[1]],
        check=True,
        timeout=INSTALL_SECONDS,
    )
    wanted = f"{wheel}[{','.join(extras)}]" if extras else wheel
    words = [UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, wanted]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip("no index of packages answers")
    if "client error (Connect)" in done.stderr or "dns error" in done.stderr:
        pytest.skip("no index of packages can be reached")
    assert done.returncode == 0, done.stderr
    return python
