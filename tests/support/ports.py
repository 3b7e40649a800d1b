"""Ports for servers of tests: each of the processes that run tests beside each other has a share of its own.

All lie below those that the system gives to outgoing connections (from 32768 on with Linux): a port that was found
free there may be somebody's a moment later.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from typing import TYPE_CHECKING

from mesh.ports import PortInUseError, Ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SINGLE = (10_000, 16_000)
"""Ports that are asked for one by one."""
BLOCKS = (16_000, 32_000)
"""Those of whole meshes and edges."""
_BLOCK_SPAN = 884
"""From the base of a mesh to its last port."""
_TRIES = 200


def share(whole: tuple[int, int], worker: int, workers: int) -> range:
    """The part of `whole` that is this worker's, counted from 0."""
    low, high = whole
    each = (high - low) // workers
    return range(low + worker * each, low + (worker + 1) * each)


def worker_number() -> int:
    """Which worker this process is, counted from 0. pytest-xdist calls them gw0, gw1, ..."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def _mine(whole: tuple[int, int]) -> range:
    """The share of the process that asks."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return share(whole, worker_number() % workers, workers)


def _from_anywhere(ports: range) -> Iterator[int]:
    """All of them again and again, begun somewhere: another run on this machine begins elsewhere."""
    start = random.randrange(len(ports))  # noqa: S311  # not a secret
    return itertools.cycle([*ports[start:], *ports[:start]])


_single = _from_anywhere(_mine(SINGLE))


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else before all others were."""
    for port in itertools.islice(_single, _TRIES):
        if is_free(port):
            return port
    raise RuntimeError("no free port")


def free_port_base() -> int:
    """The base of a block (mesh.ports) whose every port is free."""
    mine = _mine(BLOCKS)
    for _ in range(_TRIES):
        ports = Ports(random.randrange(mine.start, max(mine.start + 1, mine.stop - _BLOCK_SPAN)))  # noqa: S311  # see above
        try:
            ports.require_free()
        except PortInUseError:
            continue
        if is_free(ports.nats_monitor):
            return ports.base
    raise RuntimeError("no free block of ports")


def is_free(port: int) -> bool:
    """Whether nobody listens there. One in TIME_WAIT is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
