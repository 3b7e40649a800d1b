"""Programs that are not ours verify the log: Go's golang.org/x/mod/sumdb, and PyPI's aics-tlog, where they are there.

`apt-get install golang-go golang-golang-x-mod-dev` (or GOROOT and GOPATH that have them) is what the first needs, and
`pip install aics-tlog` under Python 3.12, with its command on the PATH, the other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.audit_log import ORIGIN, VKEY, opened_log
from tests.support.log_copies import export_to
from tlog.tiles import leaves_of

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).with_name("verify.go")
PACKAGES = ("/usr/share/gocode",)
LEAVES, SAVED = 300, 260


@pytest.fixture
async def copy(tmp_path: Path) -> Path:
    """A folder with a `copy` and a `saved` checkpoint."""
    async with opened_log(f"sqlite:///{tmp_path}/ledger.sqlite3", tmp_path) as log:
        await log.grow(0, SAVED)
        await log.sequencer.step()
        shutil.copy(tmp_path / "second" / "checkpoint", tmp_path / "saved")
        await log.grow(SAVED, LEAVES)
        await log.sequencer.step()
        await export_to(log.database, tmp_path / "copy")
    return tmp_path


@pytest.fixture
def verify(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Go's program, built; skipped, saying so, where there is no Go or not these packages."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not there: apt-get install golang-go golang-golang-x-mod-dev")
    paths = [each for each in (os.environ.get("GOPATH", ""), *PACKAGES) if each]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GOPATH": os.pathsep.join(paths),
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOCACHE": str(tmp_path / "gocache"),
        **{name: os.environ[name] for name in ("GOROOT",) if name in os.environ},
    }
    if not any((Path(each) / "src/golang.org/x/mod/sumdb/tlog").is_dir() for each in paths):
        pytest.skip("Go's golang.org/x/mod is not there: apt-get install golang-golang-x-mod-dev")
    program = tmp_path / "verify"
    subprocess.run([go, "build", "-o", program, PROGRAM], env=environment, check=True, timeout=600)

    def run(folder: Path, saved: Path, vkey: str = VKEY) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, folder, vkey, saved], capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.mark.timeout(700)
def test_gos_packages_accept_the_log_and_what_was_changed_in_it_they_do_not(
    copy: Path, verify: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = verify(copy / "copy", copy / "saved")
    assert (done.returncode, done.stdout) == (0, f"{LEAVES} leaves\n"), done.stderr
    for name in ("checkpoint", "tile/0/000", "tile/entries/000", f"tile/entries/001.p/{LEAVES - 256}"):
        path = copy / "copy" / name
        data = path.read_bytes()
        path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
        assert verify(copy / "copy", copy / "saved").returncode == 1, name
        path.write_bytes(data)
    assert verify(copy / "copy", copy / "saved").returncode == 0


def test_aics_tlog_accepts_the_log_and_what_was_changed_in_it_it_does_not(copy: Path) -> None:
    program = shutil.which("aics-tlog")
    if program is None:
        pytest.skip("aics-tlog is not there: pip install aics-tlog, under Python 3.12")
    folder, saved = copy / "copy", copy / "saved"

    def run(command: str, *words: object) -> int:
        line = [program, command, "--tiles", folder, "--log-key", VKEY, "--origin", ORIGIN, *map(str, words)]
        return subprocess.run(line, capture_output=True, timeout=60, check=False).returncode

    assert run("verify-checkpoint") == 0
    assert run("verify-consistency", "--old-checkpoint", saved) == 0
    leaf = copy / "leaf"
    for index in (0, 255, 256, LEAVES - 1):
        bundle = folder / ("tile/entries/000" if index < 256 else f"tile/entries/001.p/{LEAVES - 256}")
        leaf.write_bytes(leaves_of(bundle.read_bytes())[index % 256])
        assert run("verify-inclusion", "--leaf", leaf, "--index", index) == 0
        leaf.write_bytes(leaf.read_bytes() + b" ")
        assert run("verify-inclusion", "--leaf", leaf, "--index", index) != 0
    tile = folder / "tile/0/000"
    tile.write_bytes(tile.read_bytes()[::-1])
    assert run("verify-consistency", "--old-checkpoint", saved) != 0
