"""`python -m bench.compare TREE`: what a command and a read cost here, beside what they cost in another checkout.

The same tree measured twice an hour apart differs by tens of percent, because the machine does. Here both meshes run
at once, each from its own checkout, and short rounds go to the one and to the other in turn: what the machine does to
a pair of rounds it does to both, and the median of the pairs' ratios is the answer. The other mesh runs in this
checkout's environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.compared_mesh import KINDS
from bench.http_client import BenchFailedError
from mesh.edge_config import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

_START_SECONDS = 120.0
_ROUND_SECONDS = 60.0
_END_SECONDS = 30.0
_LINE_BYTES = 1 << 20
DEFAULT_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of request: microseconds of the mesh's CPU each, by round, there and here."""

    kind: str
    before: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: 1.05 is 5 % dearer here."""
        return statistics.median(now / before for before, now in zip(self.before, self.now, strict=True))

    def __str__(self) -> str:
        """One line of the table."""
        ratios = sorted(now / before for before, now in zip(self.before, self.now, strict=True))
        return (
            f"{self.kind:<18}{statistics.median(self.before):>10,.0f} us{statistics.median(self.now):>10,.0f} us"
            f"{self.ratio:>9.3f}   ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


class ComparedMesh:
    """One of the two meshes, in a process of its own."""

    def __init__(self, asked: asyncio.StreamWriter, told: asyncio.StreamReader, tree: Path) -> None:
        self._asked = asked
        self._told = told
        self._tree = tree

    async def answer(self, seconds: float) -> dict[str, Any]:
        """Return its next line. Raises BenchFailedError when it has ended or takes longer."""
        try:
            async with asyncio.timeout(seconds):
                line = await self._told.readline()
        except TimeoutError:
            raise BenchFailedError(f"the mesh of {self._tree} did not answer in {seconds:.0f} s") from None
        if not line:
            raise BenchFailedError(f"the mesh of {self._tree} has ended")
        told: dict[str, Any] = json.loads(line)
        return told

    async def round(self, kind: str) -> float:
        """Return the microseconds of CPU for each request of one round."""
        self._asked.write(kind.encode() + b"\n")
        await self._asked.drain()
        return float((await self.answer(_ROUND_SECONDS))["us"])


@asynccontextmanager
async def compared_mesh(tree: Path, environment: Mapping[str, str]) -> AsyncIterator[ComparedMesh]:
    """Run the mesh of a checkout; it is ready inside. Raises BenchFailedError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(ROOT / "bench" / "compared_mesh.py"), cwd=tree, limit=_LINE_BYTES,
        env={**environment, "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'gen'}"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stdin is None or process.stdout is None:
        raise BenchFailedError("a process without pipes")
    mesh = ComparedMesh(process.stdin, process.stdout, tree)
    try:
        await mesh.answer(_START_SECONDS)
        yield mesh
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def compare(before: Path, now: Path, rounds: int, environment: Mapping[str, str]) -> list[Comparison]:
    """Return the comparison of each kind of request. Raises BenchFailedError."""
    taken: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in KINDS}
    async with compared_mesh(before, environment) as there, compared_mesh(now, environment) as here:
        for kind, (theirs, ours) in taken.items():
            for number in range(rounds + 1):
                order = ((there, theirs), (here, ours))
                # Who goes first takes turns: the second finds the processor as the first left it.
                for mesh, costs in order if number % 2 else reversed(order):
                    cost = await mesh.round(kind)
                    if number:  # the first one fills caches
                        costs.append(cost)
    return [Comparison(kind, tuple(theirs), tuple(ours)) for kind, (theirs, ours) in taken.items()]


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.splitlines()[0])
    parser.add_argument("tree", type=Path, help="another checkout of this project")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    asked = parser.parse_args(arguments)
    os.umask(0o077)
    try:
        told = asyncio.run(compare(asked.tree.resolve(), ROOT, max(1, asked.rounds), environment))
    except (BenchFailedError, OSError) as broken:
        sys.stderr.write(f"compare: {broken}\n")
        return 1
    sys.stdout.write(f"{'CPU of the mesh':<18}{'before':>13}{'now':>13}{'ratio':>9}\n")
    for one in told:
        sys.stdout.write(f"{one}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
