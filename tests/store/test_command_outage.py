"""What is asked of the command service while nothing can leave for vehicles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from services.command.adapters.refusals import refusal_of
from services.command.adapters.store.tables import command, history, outbox
from services.command.domain.commands import CancelRequest, Status
from services.command.domain.refusals import CannotDeliverError, CorrelationIdReusedError
from services.command.usecases import requests as usecases
from tests.support.command_store_harness import LOCK, OWNER, UNLOCK, VIN, open_room

if TYPE_CHECKING:
    from services.command.usecases.ports import CommandDependencies
    from tests.support.command_store_harness import CommandStoreHarness


def cut_off(service: CommandStoreHarness) -> CommandDependencies:
    return replace(service.deps, can_deliver=lambda: False)


async def test_a_new_command_is_refused_and_leaves_nothing_behind(database_url: str) -> None:
    async with open_room(database_url) as service:
        with pytest.raises(CannotDeliverError) as raised:
            await usecases.request_doors(cut_off(service), OWNER, VIN, UNLOCK, "c-1")
        for table in (command, history, outbox.table):
            assert await service.count(table) == 0
        refusal = refusal_of(raised.value)
        assert refusal is not None
        assert (refusal.reason.code, refusal.reason.http_status) == ("DEPENDENCY_UNAVAILABLE", 503)
        assert refusal.reason.retryable
        assert refusal.may_have_succeeded is False
        assert (await service.request("c-1")).status is Status.PENDING  # the same one, once it can leave


async def test_a_repeated_command_gets_its_first_answer_and_what_has_not_left_is_withdrawn(
    database_url: str,
) -> None:
    async with open_room(database_url) as service:
        accepted = await service.request("c-1")
        again = await usecases.request_doors(cut_off(service), OWNER, VIN, UNLOCK, "c-1")
        assert again.command_id == accepted.command_id
        with pytest.raises(CorrelationIdReusedError):
            await usecases.request_doors(
                cut_off(service), OWNER, VIN, replace(UNLOCK, target_doors=("x",)), "c-1"
            )
        with pytest.raises(CannotDeliverError):
            await usecases.request_doors(cut_off(service), OWNER, VIN, LOCK, "c-2")
        cancelled = await usecases.cancel(
            cut_off(service), OWNER, VIN, CancelRequest("c-1", "User cancellation", force=False), "x-1"
        )
        assert cancelled.status is Status.CANCELLED
