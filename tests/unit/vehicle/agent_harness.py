"""A whole agent between a fake broker and a real car, with its clock in the test's hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2

from protocol.subjects import CommandKind, EventKind
from tests.support.signed_cloud import SignedCloud, VerifiedUnitMessage, unlock
from tests.unit.vehicle.fakes import FakeDelivery, FakeLink
from vehicle.agent import Agent
from vehicle.messages.journal import Journal
from vehicle.messages.manifest_file import ManifestStore
from vehicle.reporting_intervals import ReportingIntervals
from vehicle.simulator.unreliable_link import UnreliableLink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.vehicle.conftest import FakeClock
    from vehicle.doors.car import Car

KINDS = {
    command_pb2.DoorCommand: CommandKind.DOOR,
    command_pb2.CancelCommand: CommandKind.CANCEL,
    command_pb2.ApplyConfig: CommandKind.CONFIG,
}


class AgentHarness:
    """`await start()` first. What the car said is in `cloud`, what it moved in `car.log`."""

    def __init__(self, car: Car, clock: FakeClock, folder: Path) -> None:
        self.car = car
        self.clock = clock
        self.folder = folder
        self.cloud = SignedCloud(lambda: round(clock.now().timestamp() * 1000))
        self.link = FakeLink(self.cloud)
        self.tricks = UnreliableLink(self.link)
        self.boot()

    def boot(self) -> None:
        self.journal = Journal(self.folder / "journal.jsonl", self.clock.now())
        credentials = self.cloud.credentials
        manifests = ManifestStore(self.folder / "adopted.manifest", credentials.factory_trust)
        self.agent = Agent(
            self.car, self.tricks, self.journal, credentials, manifests, self.clock, ReportingIntervals()
        )

    async def start(self) -> None:
        """The agent lives, and has said hello and how the car stands."""
        self.agent.start(awake=True)
        await self.agent.reported.wait()

    async def reboot(self) -> None:
        await self.agent.crash()
        self.boot()
        await self.start()

    def order(self, order: Any, **how: Any) -> FakeDelivery:
        return FakeDelivery(KINDS[type(order)], self.cloud.sign(order, **how))

    def command(self, command_id: str = "c1", **how: Any) -> FakeDelivery:
        return self.order(unlock(command_id), **how)

    def cancel(self, cancel_id: str = "x1", command_id: str = "c1", *, force: bool = False) -> FakeDelivery:
        return self.order(command_pb2.CancelCommand(cancel_id=cancel_id, command_id=command_id, force=force))

    def take(self, *deliveries: FakeDelivery) -> None:
        """They arrive together, now."""
        self.agent._inbox.take(list(deliveries))

    async def settled(self) -> None:
        """Waits until nothing is under way."""
        await self.until(lambda: not self.agent.is_busy and not self.agent.outbox._tasks)

    async def finished(self, command_id: str) -> None:
        """Waits until the command has its result, sent or not."""
        await self.until(lambda: self.journal.result_of(command_id) is not None)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - files and tasks tell nobody
                await asyncio.sleep(0)

    @property
    def hellos(self) -> list[Any]:
        """What session information was heard."""
        return [one.info for one in self.cloud.received if one.info]

    @property
    def results(self) -> list[VerifiedUnitMessage]:
        return [one for one in self.cloud.received if isinstance(one.payload, report_pb2.CommandResult)]

    @property
    def result(self) -> Any:
        """The one result there is, however often it was said."""
        (_message_id,) = {one.message_id for one in self.results}
        return self.results[0].payload

    @property
    def moved(self) -> int:
        """How many doors did, by the ground truth."""
        return sum(line["outcome"] == "moved" for line in self.car.log.read())

    @property
    def cancels(self) -> list[int]:
        return [one.outcome for one in self.cloud.said(EventKind.CANCEL)]
