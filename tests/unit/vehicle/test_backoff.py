"""Waiting grows to its limit, never to the same moment for all, and begins anew when it worked."""

from __future__ import annotations

from vehicle.link.backoff import CONNECT_LONGEST_SECONDS, CONNECT_START_SECONDS, Backoff


def test_it_doubles_up_to_its_limit() -> None:
    backoff = Backoff(start_seconds=1.0, longest_seconds=6.0)
    for size in (1.0, 2.0, 4.0, 6.0, 6.0):
        assert size / 2 <= backoff.next_seconds() <= size
    backoff.reset()
    assert backoff.next_seconds() <= 1.0


def test_cars_that_lost_their_broker_together_come_back_apart() -> None:
    first = [Backoff.to_connect().next_seconds() for _ in range(50)]
    assert len(set(first)) > 40
    assert min(first) >= CONNECT_START_SECONDS / 2
    late = Backoff.to_connect()
    assert max(late.next_seconds() for _ in range(20)) > CONNECT_LONGEST_SECONDS / 2
