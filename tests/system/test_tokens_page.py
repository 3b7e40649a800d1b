"""docs/tokens.md, pasted: an unlock is challenged, and satisfied with a code from the command line, by curl alone."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.app import App, Car
from tests.system.documents import ROOT, blocks, paste

if TYPE_CHECKING:
    import subprocess

    from tests.support.running_mesh import Mesh

pytestmark = pytest.mark.system

STEP_SECONDS = 30
TRIES = 3


def pasted(mesh: Mesh, lines: str) -> subprocess.CompletedProcess[str]:
    """The page's lines, with the ports and the folder of this mesh."""
    there = lines.replace("127.0.0.1:8080", f"127.0.0.1:{mesh.ports.http}")
    there = there.replace("localhost:8700", f"localhost:{mesh.ports.issuer}").replace(
        ".doors/", f"{mesh.data}/"
    )
    return paste(there, ROOT, DOORS_DATA_DIR=str(mesh.data))


def test_the_pages_lines_are_challenged_and_satisfied_by_curl(mesh: Mesh) -> None:
    Car(mesh).meet()
    App(mesh).order("lock")
    (lines,) = blocks("docs/tokens.md", "### With curl")
    for _ in range(TRIES):
        done = pasted(mesh, lines)
        if "202 Accepted" in done.stdout:
            break
        # A code that somebody has used already is refused: the app shows the next one.
        time.sleep(STEP_SECONDS - time.time() % STEP_SECONDS)
    answers = re.findall(r"^HTTP/1.1 (\d{3})", done.stdout, re.MULTILINE)
    assert answers == ["401", "202"], done.stdout + done.stderr
    assert 'error="insufficient_user_authentication"' in done.stdout
    command_id = re.findall(r"cmd-[0-9a-f-]+", done.stdout)[-1]
    assert App(mesh).end_of(command_id)["status"] == "SUCCESS"
