"""Ports of tests that are run beside each other."""

from __future__ import annotations

import itertools
import socket

import pytest

from mesh.ports import Ports
from tests.support.ports import BLOCKS, SINGLE, free_port, free_port_base, is_free, share


@pytest.mark.parametrize("whole", [SINGLE, BLOCKS])
@pytest.mark.parametrize("workers", [1, 3, 12])
def test_no_two_workers_share_a_port(whole: tuple[int, int], workers: int) -> None:
    shares = [share(whole, worker, workers) for worker in range(workers)]
    assert all(one.stop <= other.start for one, other in itertools.pairwise(shares))
    assert whole[0] == shares[0].start
    assert shares[-1].stop <= whole[1]


def test_blocks_and_single_ports_are_apart() -> None:
    assert SINGLE[1] <= BLOCKS[0]


def test_no_port_is_given_twice_in_a_row() -> None:
    given = [free_port() for _ in range(100)]
    assert len(set(given)) == len(given)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)


def test_a_block_is_free_to_its_last_port() -> None:
    Ports(free_port_base()).require_free()
