"""A stream ends with the right behind it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from services.status.domain.rights import EndingCause, RightEnding, WatchRightEndedError
from services.status.domain.updates import LogPosition
from services.status.usecases.door_status import watch_updates
from tests.unit.status.hub.conftest import OTHER, VIN, FakeLog, watcher

if TYPE_CHECKING:
    from services.status.usecases.hub import Hub


def revoked(principal: str = "user-123", vin: str = VIN, at: float = 1_000.0, **changed: Any) -> RightEnding:
    return RightEnding(
        **{"cause": EndingCause.GRANT, "at": at, "principal": principal, "vin": vin, **changed}
    )


async def test_a_revocation_ends_what_it_carried_and_refuses_older_rights(hub: Hub) -> None:
    with hub.watching(watcher()) as mine, hub.watching(watcher(principal="user-9")) as others:
        hub.right_ended(revoked())
        with pytest.raises(WatchRightEndedError):
            await mine.next()
        hub.publish(VIN, LogPosition("e", 1), b"x")
        assert others.waiting == 1
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(read_at=1_000.0)):
        pass
    with hub.watching(watcher(read_at=1_000.2)):  # a right given after the revocation
        assert hub.watcher_count == 1
    with hub.watching(watcher(OTHER)):
        assert hub.watcher_count == 1


async def test_a_right_that_was_read_before_its_end_was_committed_is_ended_too(hub: Hub) -> None:
    hub.right_ended(revoked(at=997.0))  # told at 1,000: until then the record may have said otherwise
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(read_at=999.9)):
        pass
    hub.right_ended(revoked("user-9", at=900.0))  # told again, long after
    with hub.watching(watcher(principal="user-9", read_at=911.0)):
        assert hub.watcher_count == 1


async def test_a_stream_goes_on_while_another_grant_carries_it(hub: Hub) -> None:
    with hub.watching(watcher(until=5_000.0, ends_with=EndingCause.TOKEN)) as mine:
        hub.right_ended(revoked(remaining_until=math.inf))
        assert not mine.ended
        hub.right_ended(revoked(remaining_until=1_060.0))
        assert (mine.right.until, mine.right.ends_with) == (1_060.0, EndingCause.GRANT)
        hub._monotonic.seconds += 59.9  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        assert not mine.ended
        hub._monotonic.seconds += 0.1  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        with pytest.raises(WatchRightEndedError):
            await mine.next()
    with (
        pytest.raises(WatchRightEndedError),
        hub.watching(watcher(read_at=999.0)),
    ):  # the rest has ended meanwhile
        pass


@pytest.mark.parametrize("cause", [EndingCause.TOKEN, EndingCause.GRANT])
async def test_a_right_that_ends_by_itself_ends_its_stream(hub: Hub, cause: EndingCause) -> None:
    with hub.watching(watcher(until=1_010.0, ends_with=cause)) as mine, hub.watching(watcher()) as endless:
        hub._monotonic.seconds = 1_010.0  # type: ignore[attr-defined]  # the test's clock
        hub.end_overdue()
        with pytest.raises(WatchRightEndedError) as ended:
            await mine.next()
        assert ended.value.cause is cause
        assert not endless.ended
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(until=1_010.0, ends_with=cause)):
        pass


async def test_a_locked_account_ends_what_it_watches_and_what_it_watches_for_others(hub: Hub) -> None:
    as_agent, own, others = watcher(actor="agent-7"), watcher(OTHER, "agent-7"), watcher(principal="user-9")
    with hub.watching(as_agent), hub.watching(own), hub.watching(others):
        hub.right_ended(revoked("agent-7", "", cause=EndingCause.ACCOUNT))
        for each in (as_agent, own):
            with pytest.raises(WatchRightEndedError) as ended:
                await each.next()
            assert ended.value.cause is EndingCause.ACCOUNT
        assert not others.ended
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(actor="agent-7", read_at=999.0)):
        pass


async def test_an_agents_own_grant_carries_no_stream_of_somebody_elses(hub: Hub) -> None:
    with hub.watching(watcher(actor="agent-7")) as mine:
        hub.right_ended(revoked("agent-7"))
        assert not mine.ended


async def test_a_withdrawn_credential_ends_what_was_opened_with_it(hub: Hub) -> None:
    with (
        hub.watching(watcher(credential="key_a")) as mine,
        hub.watching(watcher(credential="iss_b")) as other,
    ):
        hub.right_ended(revoked("user-123", "", cause=EndingCause.CREDENTIAL, credential="key_a"))
        assert (mine.ended, other.ended) == (True, False)
        hub.right_ended(revoked("", "", cause=EndingCause.CREDENTIAL, credential="iss_b"))
        assert other.ended


async def test_a_case_that_is_closed_ends_what_agents_watch_because_of_it(hub: Hub) -> None:
    ending = revoked("user-123", "", cause=EndingCause.CASE, case="case-1")
    with (
        hub.watching(watcher(actor="agent-7", case="case-1")) as mine,
        hub.watching(watcher(actor="agent-8", case="case-2")) as other,
        hub.watching(watcher()) as customers,
    ):
        hub.right_ended(ending)
        assert (mine.ended, other.ended, customers.ended) == (True, False, False)
        with pytest.raises(WatchRightEndedError) as ended:
            await mine.next()
        assert ended.value.cause is EndingCause.CASE
    with pytest.raises(WatchRightEndedError), hub.watching(watcher(actor="agent-7", case="case-1")):
        pass
    with hub.watching(watcher(actor="agent-7", case="case-3")):
        assert hub.watcher_count == 1


async def test_what_a_withdrawn_key_of_the_access_service_signed_ends(hub: Hub) -> None:
    with hub.watching(watcher(signed_by="k1")) as old, hub.watching(watcher(signed_by="k2")) as new:
        hub.trust(frozenset({"k2"}))
        assert (old.ended, new.ended) == (True, False)


async def test_a_reader_that_does_not_read_why_is_cut(hub: Hub) -> None:
    async def read_nothing() -> None:
        with hub.watching(watcher()):
            await asyncio.Event().wait()

    reading = asyncio.create_task(read_nothing())
    await asyncio.sleep(0)
    hub.right_ended(revoked())
    hub.end_overdue()
    assert not reading.cancelling()
    hub._monotonic.seconds += 0.5  # type: ignore[attr-defined]  # the test's clock
    hub.end_overdue()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert hub.watcher_count == 0


async def test_a_right_that_ends_during_the_replay_ends_the_replay(hub: Hub) -> None:
    log = FakeLog(hub)
    for _ in range(3):
        log.publish()
    with hub.watching(watcher()) as reader:
        items = watch_updates(log, reader, LogPosition("e", 1))
        await anext(items)
        hub.right_ended(revoked())
        with pytest.raises(WatchRightEndedError):
            await anext(items)


async def test_revocations_are_remembered_as_long_as_a_capability_lives(hub: Hub) -> None:
    hub.right_ended(revoked("user-1"))
    hub._monotonic.seconds += 71  # type: ignore[attr-defined]  # the test's clock
    hub.right_ended(revoked("user-2"))
    assert len(hub._ended_rights) == 1


async def test_ends_of_readers_that_left_are_not_kept(hub: Hub) -> None:
    for _ in range(1_000):
        with hub.watching(watcher(until=9_000.0)):
            pass
    assert len(hub._ends) <= 65
