"""How many calls may be with one host, and with those that hang."""

from __future__ import annotations

from services.notification.usecases.host_places import MOST_REMEMBERED, HostPlaces


def fill(places: HostPlaces, host: str) -> int:
    """How many calls of it are begun when there is no room for more."""
    begun = 0
    while places.left_with(host):
        places.begin(host)
        begun += 1
    return begun


def test_a_host_has_its_share() -> None:
    places = HostPlaces(16, 4)
    assert [fill(places, host) for host in "abcde"] == [4, 4, 4, 4, 0]
    assert places.left == 0
    assert places.end("a")
    assert places.left_with("e") == 1
    assert set(places.full) >= {"b", "c", "d"}


def test_many_hosts_that_hang_leave_half_of_the_places() -> None:
    places = HostPlaces(16, 4)
    slow = [f"slow-{number}" for number in range(30)]
    for host in slow:
        places.note(host, hung=True)
    assert sum(fill(places, host) for host in slow) == 8
    assert max(places._under_way.values()) == 1
    assert fill(places, "quick") == 4
    assert places.left_with("slow-29") == 0
    places.note("slow-29", hung=False)  # it answers again
    assert places.left_with("slow-29") == 4


def test_it_remembers_so_many_and_no_more() -> None:
    places = HostPlaces(16, 4)
    for number in range(MOST_REMEMBERED + 5):
        places.note(f"slow-{number}", hung=True)
    assert places.left_with("slow-0") == 4
    assert places.left_with(f"slow-{MOST_REMEMBERED}") == 1


def test_a_plan_counts_what_it_has_taken() -> None:
    places = HostPlaces(16, 4)
    for number in range(12):
        places.note(f"slow-{number}", hung=True)
    take = places.planner()
    assert sum(take(f"slow-{number}") for number in range(12)) == 8
    assert [take("a") for _ in range(5)] == [True] * 4 + [False]
    assert places.left == 16
