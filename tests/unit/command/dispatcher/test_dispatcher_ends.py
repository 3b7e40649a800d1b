"""What ends a command on its way out: rights, recalls, and what is away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecarus.remotecontrol.access.v1 import order_signing_service_pb2 as signing

    from services.command.adapters.dispatch import CommandDispatcher
    from services.platform.outbox import OutgoingMessage
from tests.unit.command.dispatcher.conftest import START, DispatcherHarness, accepted, cancellation, command


async def test_an_expired_command_is_dealt_with_and_never_leaves(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.now += timedelta(seconds=30)
    assert await dispatcher.send(harness.take_held()) == [True]
    assert (harness.signed, harness.published) == ([], [])


async def test_a_command_that_expires_while_it_is_signed_does_not_leave(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command()))
    harness.signing_takes = timedelta(seconds=30)
    assert await dispatcher.send(harness.take_held()) == [True]
    assert harness.published == []
    assert dispatcher.surely_unsent("cmd-1")


async def test_a_right_that_ended_ends_the_command_and_no_other(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1, "user-9"), command(2)))
    harness.revoked.add("user-9")
    assert await dispatcher.send(harness.take_held()) == [True, True]
    assert harness.unauthorised == ["cmd-1"]
    assert harness.left() == ["cmd-2"]


async def test_what_is_not_proven_is_not_called_a_right_that_ended(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    """A clock that was put back makes the proof one of the future; nobody's right has ended."""
    harness.revoked, harness.strange = {"guest"}, {"user-123"}
    dispatcher.committed(messages := accepted(command(1), command(2, "guest")))
    assert await dispatcher.send(messages) == [True, True]
    assert (harness.unproven, harness.unauthorised) == (["cmd-1"], ["cmd-2"])
    assert harness.left() == []


async def test_a_right_that_ended_after_a_first_try_ends_nothing(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    harness.revoked.add("user-123")
    assert await dispatcher.send(accepted(command())) == [True]
    assert (harness.unauthorised, harness.published) == ([], [])


async def test_what_is_recalled_stays_here_until_it_is_released(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    dispatcher.committed(accepted(command(1), command(2)))
    await dispatcher.recall(["cmd-1"])
    assert await dispatcher.send(harness.take_held()) == [None, True]
    assert (harness.left(), dispatcher.surely_unsent("cmd-1")) == (["cmd-2"], True)
    dispatcher.release(["cmd-1"])
    assert await dispatcher.send(accepted(command(1))) == [True]
    assert harness.left() == ["cmd-2", "cmd-1"]


async def test_what_is_recalled_while_it_is_signed_does_not_leave(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = harness.sign

    async def recalled_meanwhile(orders: Sequence[signing.OrderToSign]) -> Any:
        await dispatcher.recall(["cmd-1"])
        return await sign(orders)

    monkeypatch.setattr(harness, "sign", recalled_meanwhile)
    dispatcher.committed(accepted(command(1)))
    assert await dispatcher.send(harness.take_held()) == [None]
    assert (harness.published, dispatcher.surely_unsent("cmd-1")) == ([], True)


async def test_a_recall_waits_for_what_is_just_leaving(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, confirmed = asyncio.Event(), asyncio.Event()

    async def publish(messages: Sequence[OutgoingMessage]) -> list[bool]:
        began.set()
        await confirmed.wait()
        return [True] * len(messages)

    monkeypatch.setattr(harness, "publish_all", publish)
    dispatcher.committed(accepted(command(1)))
    sending = asyncio.create_task(dispatcher.send(harness.take_held()))
    await began.wait()
    recalling = asyncio.create_task(dispatcher.recall(["cmd-1"]))
    await asyncio.sleep(0)
    assert not recalling.done()
    confirmed.set()
    await asyncio.gather(sending, recalling)
    assert not dispatcher.surely_unsent("cmd-1")


async def test_while_nobody_signs_all_wait(harness: DispatcherHarness, dispatcher: CommandDispatcher) -> None:
    dispatcher.committed([*accepted(command()), *cancellation()])
    harness.signer_away = True
    assert await dispatcher.send(harness.take_held()) == [False, False]
    assert harness.published == []
    assert dispatcher.surely_unsent("cmd-1")


@pytest.mark.parametrize("own", [True, False])
async def test_while_the_store_is_away_what_needs_it_waits(
    harness: DispatcherHarness, dispatcher: CommandDispatcher, own: bool
) -> None:
    if own:
        dispatcher.committed(accepted(command()))
    harness.store_away = True
    assert await dispatcher.send(accepted(command())) == [False]
    assert harness.published == []


async def test_a_row_that_nobody_here_wrote_stops_no_other(
    harness: DispatcherHarness, dispatcher: CommandDispatcher
) -> None:
    good, *_ = accepted(command(2))
    garbage = [
        type(good)("cmd-x", good.queue, good.subject, b"\xff\xff", START),
        type(good)("cmd-y", good.queue, good.subject.replace("3456", "4321"), good.payload, START),
        type(good)("cmd-z", good.queue, good.subject, b"", START),
    ]
    assert await dispatcher.send([*garbage, good]) == [True] * 4
    assert harness.left() == ["cmd-2"]
