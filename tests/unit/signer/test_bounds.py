"""What the signer bounds by what it signed moments ago."""

from __future__ import annotations

from services.signer.adapters import bounds
from services.signer.adapters.bounds import FIRST_AT_MOST, LEAP, CounterBound, RequestBound

VIN = "KMHSH81C7LU123456"
OTHER = "KMHSH81C7LU654321"
EPOCH = bytes(16)


def test_no_order_uses_up_an_epochs_counters() -> None:
    bound = CounterBound()
    assert not bound.admits(VIN, EPOCH, "door", 2**48 - 1)
    assert bound.admits(VIN, EPOCH, "door", FIRST_AT_MOST)
    bound.signed(VIN, EPOCH, "door", 7)
    assert bound.admits(VIN, EPOCH, "door", 7 + LEAP)
    assert not bound.admits(VIN, EPOCH, "door", 8 + LEAP)
    assert bound.admits(VIN, EPOCH, "door", 6)  # a replica that is behind: the vehicle refuses it
    assert bound.admits(VIN, EPOCH, "cancel", 8 + LEAP)
    assert bound.admits(OTHER, EPOCH, "door", 8 + LEAP)


def test_an_earlier_counter_widens_nothing() -> None:
    bound = CounterBound()
    bound.signed(VIN, EPOCH, "door", 1_000)
    bound.signed(VIN, EPOCH, "door", 1)
    assert bound.admits(VIN, EPOCH, "door", 1_000 + LEAP)


def test_it_remembers_no_more_than_it_has_room_for() -> None:
    bound = CounterBound()
    for n in range(bounds._MOST_REMEMBERED + 1):
        bound.signed(VIN, n.to_bytes(16, "big"), "door", 1)
    assert len(bound._highest) == bounds._MOST_REMEMBERED


def test_one_vehicle_is_asked_for_its_session_only_so_often() -> None:
    bound = RequestBound()
    taken = [bound.takes(VIN, 100.0) for _ in range(bounds.REQUESTS_PER_VEHICLE + 1)]
    assert taken == [True] * bounds.REQUESTS_PER_VEHICLE + [False]
    assert bound.takes(OTHER, 109.9)
    assert bound.takes(VIN, 110.0)


def test_and_all_together_only_so_often() -> None:
    bound = RequestBound()
    most = int(bounds.REQUESTS_IN_ALL * bounds.REQUEST_WINDOW_SECONDS)
    assert all(bound.takes(f"vin-{n}", 0.0) for n in range(most))
    assert not bound.takes("one-more", 9.9)
    assert bound.takes("one-more", 10.0)
