"""Faults of epochs, clocks, hellos and session requests."""

from __future__ import annotations

import itertools
import secrets
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol.domains import Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.session import VehicleSession
from protocol.vehicle_side import VehicleSide
from tests.mutants.mutant import Swap, mutant, to
from vehicle.agent import Agent
from vehicle.clock import SystemClock
from vehicle.messages import channel, inbox
from vehicle.messages.channel import Channel
from vehicle.messages.inbox import AgentInbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecarus.remotecontrol.vehicle.v1 import report_pb2

UPTIME = SystemClock.uptime_millis


def epochs(swap: Swap, make: Callable[[int], bytes]) -> None:
    swap(channel, "secrets", to(SimpleNamespace(token_bytes=make, token_hex=secrets.token_hex)))


@mutant("reboot-begins-an-epoch", stays_good=False)
def epoch_is_stored(swap: Swap) -> None:
    """Every boot is in the same epoch."""
    epochs(swap, lambda count: b"\x07" * count)


@mutant("epochs-are-random", besides=("reboot-begins-an-epoch",))
def epochs_count_up(swap: Swap) -> None:
    """Epochs are numbers: anybody can say which comes next."""
    numbers = itertools.count(1)
    epochs(swap, lambda count: next(numbers).to_bytes(count))


@mutant("whole-epoch-is-compared")
def epoch_by_its_beginning(swap: Swap) -> None:
    """As many bytes of the epoch are compared as the order has: none are right, too."""

    def check(self: VehicleSession, epoch: bytes) -> None:
        if not self.epoch.startswith(epoch):
            raise MessageRefusedError(Fault.WRONG_EPOCH, "another epoch")

    swap(VehicleSession, "check_epoch", to(check))


@mutant("wrong-epoch-is-refused", "reboot-begins-an-epoch")
def epoch_unchecked(swap: Swap) -> None:
    """Orders of any epoch act."""
    swap(VehicleSession, "check_epoch", to(lambda _self, _epoch: None))


@mutant("reboot-begins-an-epoch")
def clock_of_the_machine(swap: Swap) -> None:
    """The clock does not begin with the epoch."""

    def begin(was: Any) -> Any:
        return lambda self, epoch, _clock: was(self, epoch, lambda: UPTIME(SystemClock()))

    swap(VehicleSession, "__init__", begin)
    swap(Channel, "deadline_millis", to(lambda _self, accepted: accepted.expires_at_millis))


@mutant("clock-runs-in-sleep")
def clock_stops_in_sleep(swap: Swap) -> None:
    """The clock is one that does not count while the unit sleeps."""
    slept = SimpleNamespace(millis=0, since=None)

    def uptime(self: SystemClock) -> int:
        return (UPTIME(self) if slept.since is None else slept.since) - slept.millis

    def sleep(was: Any) -> Any:
        async def to_sleep(self: Agent) -> None:
            await was(self)
            slept.since = UPTIME(SystemClock())

        return to_sleep

    def wake(was: Any) -> Any:
        def awake(self: Agent) -> None:
            if slept.since is not None:
                slept.millis += UPTIME(SystemClock()) - slept.since
                slept.since = None
            was(self)

        return awake

    swap(SystemClock, "uptime_millis", to(uptime))
    swap(Agent, "sleep", sleep)
    swap(Agent, "wake", wake)


@mutant("clock-runs-evenly")
def clock_runs_too_fast(swap: Swap) -> None:
    """The epoch's clock counts twice as fast as time."""

    def begin(was: Any) -> Any:
        return lambda self, epoch, clock: was(self, epoch, lambda: 2 * clock())

    swap(VehicleSession, "__init__", begin)


@mutant("reboot-begins-an-epoch")
def counters_are_stored(swap: Swap) -> None:
    """The counters of orders go on after a reboot."""
    kept: dict[Domain, int] = {}

    def begin(was: Any) -> Any:
        def begun(self: VehicleSession, *words: Any) -> None:
            was(self, *words)
            self._accepted = kept

        return begun

    swap(VehicleSession, "__init__", begin)


@mutant("reboot-begins-an-epoch", "report-keys-are-new")
def report_key_is_stored(swap: Swap) -> None:
    """The report key outlives the epoch."""
    key = X25519PrivateKey.generate()
    swap(channel, "X25519PrivateKey", to(SimpleNamespace(generate=lambda: key)))


@mutant("hello-on-reconnect", "hello-comes-first", stays_good=False)
def one_hello_a_boot(swap: Swap) -> None:
    """Only the first connection of a boot begins with a hello."""
    greeted: set[int] = set()

    def say(was: Any) -> Any:
        async def once(self: Agent) -> None:
            if id(self) not in greeted:
                greeted.add(id(self))
                await was(self)

        return once

    swap(Agent, "_say_hello", say)


@mutant("hello-comes-first")
def report_before_the_hello(swap: Swap) -> None:
    """The first on a connection is a report."""

    def say(was: Any) -> Any:
        async def after_a_report(self: Agent) -> None:
            await self.outbox.send(lambda: self._channel.seal_report(self._status_now()))
            await was(self)

        return after_a_report

    swap(Agent, "_say_hello", say)


@mutant("hello-follows-a-manifest")
def no_hello_after_a_manifest(swap: Swap) -> None:
    """The cloud must ask to learn that a manifest was adopted."""

    def take(was: Any) -> Any:
        def silently(self: AgentInbox, delivery: Any) -> None:
            outbox, self._outbox = self._outbox, SimpleNamespace(post=lambda _seal: None)  # type: ignore[assignment]
            try:
                was(self, delivery)
            finally:
                self._outbox = outbox

        return silently

    swap(AgentInbox, "_take_manifest", take)


@mutant("hello-tells-counters", "settings-count")
def counters_of_doors_only(swap: Swap) -> None:
    """Hellos have one domain's counter."""

    def describe(was: Any) -> Any:
        def some(self: VehicleSession, info: Any) -> None:
            was(self, info)
            del info.counters[:]
            info.counters.add(domain=Domain.COMMAND, counter=self._accepted.get(Domain.COMMAND, 0))

        return some

    swap(VehicleSession, "describe", describe)


@mutant("session-request-is-answered")
def challenge_backwards(swap: Swap) -> None:
    """The challenge comes back otherwise than it was sent."""

    def open_request(was: Any) -> Any:
        def reversing(self: VehicleSide, data: bytes) -> Any:
            request = was(self, data)
            request.challenge = bytes(reversed(request.challenge))
            return request

        return reversing

    swap(VehicleSide, "open_session_request", open_request)


@mutant("hello-on-reconnect", "hello-comes-first", besides=("session-request-is-answered",), stays_good=False)
def challenge_for_ever(swap: Swap) -> None:
    """Once asked, every hello holds the challenge."""
    last = SimpleNamespace(challenge=b"")

    def seal(was: Any) -> Any:
        def with_last(self: Channel, hello: report_pb2.Hello, message_id: str, challenge: bytes = b"") -> Any:
            last.challenge = challenge or last.challenge
            return was(self, hello, message_id, last.challenge)

        return with_last

    swap(Channel, "seal_hello", seal)


@mutant("told-of-refused-reports")
def silent_when_told(swap: Swap) -> None:
    """A session request that tells of refused reports is not answered."""

    def note(_self: AgentInbox, reports: Any) -> None:
        if reports:
            raise MessageRefusedError(Fault.MALFORMED, "more in it than a challenge")

    swap(AgentInbox, "_note_refused", to(note))


@mutant("self-check-on-request")
def checks_at_its_own_time(swap: Swap) -> None:
    """A session request that asks for a self-check is answered, and no check follows."""
    swap(Agent, "_check_now", to(lambda _self: None))


@mutant("forged-session-request-is-silent")
def session_requests_of_anybody(swap: Swap) -> None:
    """Nobody looks at who signed a session request."""

    def verify(was: Any) -> Any:
        def but_requests(self: VehicleSide, signed: Any, domain: Domain) -> None:
            if domain is not Domain.CHALLENGE:
                was(self, signed, domain)

        return but_requests

    swap(VehicleSide, "_verify", verify)


@mutant("signer-is-rotated", "adopted-manifest-is-kept")
def manifest_version_of_the_factory(swap: Swap) -> None:
    """Hellos name the first manifest, whichever is in use."""

    def info(was: Any) -> Any:
        def told(self: VehicleSide, message_id: str) -> Any:
            made = was(self, message_id)
            made.manifest_version = 1
            return made

        return told

    swap(VehicleSide, "_session_info", info)


@mutant("settings-apply")
def settings_version_untold(swap: Swap) -> None:
    """Hellos do not say which settings are in force."""

    def hello(was: Any) -> Any:
        def told(self: Agent) -> report_pb2.Hello:
            made: report_pb2.Hello = was(self)
            made.config_version = 0
            return made

        return told

    swap(Agent, "_hello_now", hello)


@mutant("hello-tells-counters", stays_good=False)
def own_counters_stand_still(swap: Swap) -> None:
    """Every answer has the same counter, and a cloud takes the first."""
    swap(VehicleSession, "next_counter", to(lambda _self, _domain: 1))


@mutant("hello-on-connect", stays_good=False)
def agreed_with_nobody(swap: Swap) -> None:
    """The hello names a report key that the cloud does not have."""

    def info(was: Any) -> Any:
        def told(self: VehicleSide, message_id: str) -> Any:
            made = was(self, message_id)
            made.report_key_id = bytes(8)
            return made

        return told

    swap(VehicleSide, "_session_info", info)


def on_connect(swap: Swap, deed: Callable[[Agent], None]) -> None:
    """At each connection of a boot but the first."""
    connected: set[int] = set()

    def say(was: Any) -> Any:
        async def afresh(self: Agent) -> None:
            if id(self) in connected:
                deed(self)
            connected.add(id(self))
            await was(self)

        return afresh

    swap(Agent, "_say_hello", say)


@mutant("hello-on-reconnect")
def counters_of_the_connection(swap: Swap) -> None:
    """Who breaks the connection may replay every order."""
    on_connect(swap, lambda agent: agent._channel._side._session._accepted.clear())


@mutant("hello-on-reconnect")
def epoch_of_the_connection(swap: Swap) -> None:
    """Every connection begins an epoch."""
    on_connect(swap, lambda agent: agent._channel.begin_epoch())


@mutant("message-ids-are-unique", besides=("session-request-is-answered", "hello-tells-counters"))
def one_message_id_for_hellos(swap: Swap) -> None:
    """All hellos that were asked for have one message id."""
    swap(inbox, "new_message_id", to(lambda: "hello"))
