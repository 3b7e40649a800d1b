"""`python -m bench`: measure, print one table, also as Markdown, stop everything. Reads the environment like the mesh.
`python -m bench sockets` measures the WebSockets alone.

Status 0 also when a target is missed; another one when something broke.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.bare import bare_limit
from bench.fleet import Fleet
from bench.harness import MeshHarness, free_ports
from bench.http_client import BenchFailedError
from bench.measure import CARS, SLEEPERS, STRANGERS, Measurements, measure_bare
from bench.protocol_cost import figures_of, measure_protocol
from bench.report import Figure, render, render_markdown
from mesh.component import ComponentFailedError
from mesh.edge_config import ROOT
from mesh.files import private_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST_SECONDS = 300.0
OPEN_FILES = 16_384


async def bench(folder: Path, environment: Mapping[str, str], *, sockets_alone: bool = False) -> str:
    """Return the table of one run, and once more as Markdown. Raises BenchFailedError, ComponentFailedError,
    TimeoutError.

    SIGTERM cancels it, so that nothing is left running.
    """
    this = asyncio.current_task()
    if this is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with asyncio.timeout(LONGEST_SECONDS):
        ports = free_ports()
        figures: list[Figure] = []
        bare_per_second = 0.0
        if not sockets_alone:
            async with bare_limit(folder, ports) as bare:
                figures, bare_per_second = await measure_bare(bare)
            figures += figures_of(measure_protocol())
        fleet = Fleet.of(cars=CARS, sleepers=SLEEPERS, strangers=STRANGERS)
        async with MeshHarness(folder / "mesh", ports, fleet, environment) as harness:
            measurements = Measurements(harness, fleet, bare_per_second)
            await (measurements.sockets() if sockets_alone else measurements.take_all())
    cores = f"{os.cpu_count()} cores, shared with the load and the simulated cars"
    figures += measurements.figures
    table = render(f"Measured in one run on {cores}:", figures)
    return f"{table}\n\nThe same to be pasted:\n\n{render_markdown(figures)}"


def allow_files() -> None:
    """Let this process and those it starts open as many files as there are connections, as far as it may."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def main(environment: Mapping[str, str], words: Sequence[str]) -> int:
    """Run it; the exit status. `words` may be one, "sockets"."""
    if list(words) not in ([], ["sockets"]):
        sys.stderr.write("usage: python -m bench [sockets]\n")
        return 2
    os.umask(0o077)
    allow_files()
    # On the disk that the product uses: the temporary folder may be memory, where a sync costs nothing.
    parent = private_folder(Path(environment.get("DOORS_DATA_DIR") or ROOT / ".doors"))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as folder:
        try:
            table = asyncio.run(bench(Path(folder), environment, sockets_alone=bool(words)))
        except (BenchFailedError, ComponentFailedError, TimeoutError) as broken:
            kept = keep_logs(Path(folder) / "mesh" / "logs", parent / "bench-logs")
            sys.stderr.write(f"bench: {str(broken) or 'it took too long'}; logs: {kept}\n")
            return 1
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.stderr.write("bench: stopped\n")
            return 130
    sys.stdout.write(table + "\n")
    return 0


def keep_logs(logs: Path, place: Path) -> Path:
    """Return the last failed run's logs outlive its folder. Where they are."""
    shutil.rmtree(place, ignore_errors=True)
    if logs.is_dir():
        shutil.copytree(logs, place)
    return place


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.argv[1:]))
