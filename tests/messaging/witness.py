"""What an attack must not change: every stream and consumer, what each service hears, and another car."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mesh.broker_accounts import AUTH_QUESTIONS
from protocol.stream_config import command_queue
from protocol.streams import STREAMS, VEHICLE_COMMANDS, VEHICLE_EVENTS
from protocol.subjects import CommandKind, EventKind, command_subject
from services import registry
from tests.messaging.broker_harness import OTHER, WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from tests.messaging.broker_harness import BrokerHarness

SERVICES = registry.ON_THE_BROKER


_QUIET_SECONDS = 0.1


class Witness:
    """Looks and listens before an attack, and says afterwards that nothing came of it."""

    def __init__(self, harness: BrokerHarness, attackers_events: str = VEHICLE_EVENTS) -> None:
        self._gate = harness
        self.received: list[tuple[str, str]] = []
        """Service, and subject of everything that it heard."""
        self._before: dict[str, Any] = {}
        self._clients: list[Client] = []
        self._attackers_events = attackers_events
        self.other = harness.link("nats", vin=OTHER)
        self.other_over_mqtt = harness.link("mqtt", vin=OTHER)

    async def begin(self) -> None:
        """Look at everything, and listen."""
        await self._open_queue()
        await self.other.open()
        await self._gate.jetstream.publish(command_subject(OTHER, CommandKind.DOOR), b"waits")
        await self.other_over_mqtt.open()
        for service in SERVICES:
            client = await self._gate.client(service, service)
            self._clients.append(client)
            for subject in self._gate.subscribes(service):
                if subject != AUTH_QUESTIONS:  # the attacker's own connecting is asked about there
                    await self._listen(client, service, subject)
        self._before = await self.look()

    async def settle(self) -> None:
        """Hear out what the broker has sent by now."""
        for client in self._clients:
            await client.flush()
        await asyncio.sleep(_QUIET_SECONDS)

    async def _listen(self, client: Client, who: str, subject: str) -> None:
        async def note(message: Msg) -> None:
            if not _is_the_broker_s_answer(who, message):
                self.received.append((who, message.subject))

        await client.subscribe(subject, cb=note)
        await client.flush()

    async def look(self) -> dict[str, Any]:
        """Each stream: when it was made, what it holds, and its consumers."""
        found: dict[str, Any] = {}
        for name in STREAMS:
            streams = await self._gate.observe(name)
            info = await streams.stream_info(name, subjects_filter=">")
            consumers = await streams.consumers_info(name) if info.state.consumer_count else []
            found[name] = (
                info.created,
                info.state.last_seq,
                dict(info.state.subjects or {}),
                sorted((one.name, str(one.created), str(one.config), one.paused) for one in consumers),
            )
        return found

    async def assert_nothing_came_of_it(
        self, *, allowed: dict[str, int] | None = None, other_streams: Collection[str] = ()
    ) -> None:
        """`allowed`: how many messages under which stored subjects the attacker may add, as his own. Of
        `other_streams`, which are the attacker's, it only matters that they were not made anew.
        """
        await self._assert_other_is_served()
        after = await self.look()
        for name, (created, _last, subjects, consumers) in self._before.items():
            assert after[name][0] == created, f"{name} was made anew"
            if name in other_streams:
                continue
            assert after[name][3] == consumers, f"consumers of {name}: {after[name][3]}"
            expected = dict(subjects)
            for subject, count in (allowed or {}).items():
                if self._is_in(name, subject):
                    expected[subject] = expected.get(subject, 0) + count
            if name == VEHICLE_EVENTS:
                hello = f"vehicle.{OTHER}.evt.hello"
                expected[hello] = expected.get(hello, 0) + 1
            if name == VEHICLE_COMMANDS:
                expected.pop(command_subject(OTHER, CommandKind.DOOR))
            assert after[name][2] == expected, f"{name} has {after[name][2]}, not {expected}"

    async def _assert_other_is_served(self) -> None:
        """It gets what waited for it, and what it says is stored."""
        async with asyncio.timeout(WAIT_SECONDS):
            (delivery,) = await self.other.receive()
            assert delivery.data == b"waits"
            await delivery.acknowledge()
            await self.other.publish(EventKind.HELLO, "other", b"it is me")
            commands = await self._gate.observe(VEHICLE_COMMANDS)
            of_other = command_subject(OTHER, CommandKind.DOOR)
            while (await commands.stream_info(VEHICLE_COMMANDS, subjects_filter=of_other)).state.subjects:  # noqa: ASYNC110 - the broker tells nobody that a message is gone
                await asyncio.sleep(0.02)
        await self.other.close()
        assert self.other_over_mqtt.is_open
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.other_over_mqtt.receive(), _QUIET_SECONDS)
        await self.other_over_mqtt.close()

    def _is_in(self, stream: str, subject: str) -> bool:
        if subject.startswith("vehicle_status."):
            return stream == f"VEHICLE_STATUS_{subject.split('.')[1]}"
        return stream == self._attackers_events and ".evt." in subject

    async def _open_queue(self) -> None:
        await self._gate.jetstream.add_consumer(VEHICLE_COMMANDS, command_queue(OTHER))


def _is_the_broker_s_answer(who: str, message: Msg) -> bool:
    """Of the system account, to the enrolment service, which asks for the connections of who comes often."""
    return (
        who == "enrolment"
        and message.subject.startswith("_INBOX.enrolment.")
        and message.data.startswith(b'{"server":{')
    )
