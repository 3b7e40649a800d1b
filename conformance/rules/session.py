"""What the unit says of itself: hellos, and answers to session requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecarus.remotecontrol.vehicle.v1 import session_pb2

from conformance.cloud import new_id
from conformance.finding import Group, NotApplicableError, RuleSkippedError, require
from conformance.forge import stranger
from conformance.orders import cancel_command
from protocol.domains import Domain
from protocol.subjects import EventKind

if TYPE_CHECKING:
    from conformance.unit import Unit

GROUP = Group("session")
HELLO = "hello-on-connect"
_BETWEEN_CHECKS_SECONDS = 10.0
"""A unit may let so much time pass between two checks."""


@GROUP.rule
async def hello_on_connect(unit: Unit) -> None:
    """It publishes SessionInfo on evt.hello on every connect, signed and sealed, with all that is
    required.
    """
    # It was accepted, so its signature, its seal, its VIN and the size of every part are right.
    first = unit.hellos()[0]
    keys = unit.cloud.keys
    require(not first.challenge, "a hello that nobody asked for holds a challenge")
    require(first.hello.boot_id, "the hello names no boot")
    require(
        1 <= first.manifest_version <= keys.version,
        f"it says manifest {first.manifest_version}; the newest is {keys.version}",
    )
    known = {key.key_id for key in keys.all("report")}
    require(first.report_key_id in known, "its report key is agreed with a key that is not the cloud's")
    require(any(first.report_public_key), "its report key is empty")


@GROUP.rule
async def session_request_is_answered(unit: Unit) -> None:
    """It publishes SessionInfo when a SessionRequest asks, with its 16-byte challenge in it."""
    before = unit.hellos()[-1]
    info = await unit.asked()
    require(info.epoch == before.epoch, "a session request made it begin another epoch")
    require(info.clock_millis >= before.clock_millis, "its clock went back")
    require(info.message_id != before.message_id, "two hellos have one message id")


@GROUP.rule
async def told_of_refused_reports(unit: Unit) -> None:
    """A session request that tells of refused reports is answered like any other."""
    before = await unit.asked()
    told = [
        session_pb2.RefusedReport(
            domain=domain, reason="MALFORMED: as the kit says", accepted=accepted, count=3
        )
        for domain in ("evt.status", "evt.diagnostics", "evt.result", "evt.hello")
        for accepted in (True, False)
    ]
    info = await unit.asked(told)
    require(info.epoch == before.epoch, "what it was told made it begin another epoch")


@GROUP.rule
async def self_check_on_request(unit: Unit) -> None:
    """A session request that asks for a self-check is answered like any other, and a DiagnosticsReport follows."""

    def checks() -> int:
        return sum(one.event is EventKind.DIAGNOSTICS for one in unit.cloud.received)

    if not checks():
        raise NotApplicableError("it reports no diagnostics")
    before = checks()
    await unit.asked(self_check=True)
    limit = unit.patience.answer + _BETWEEN_CHECKS_SECONDS
    await unit.until(lambda: checks() > before, "the self-check that was asked for", limit)


@GROUP.rule
async def forged_session_request_is_silent(unit: Unit) -> None:
    """A session request is signed: what is not is not answered."""
    await unit.afford(2)
    # Counted, not read: no cloud accepts the answer to a challenge that is not its last.
    greeted = unit.cloud.said.count(EventKind.HELLO)
    _, forged = unit.cloud.challenge(by=stranger())
    await unit.send_bytes(Domain.CHALLENGE, forged)
    _, good = unit.cloud.challenge()
    await unit.send_bytes(Domain.CHALLENGE, good[:-1] + bytes([good[-1] ^ 1]))
    await unit.fence()
    require(unit.cloud.said.count(EventKind.HELLO) == greeted, "a forged session request was answered")


@GROUP.rule
async def hello_tells_counters(unit: Unit) -> None:
    """Session information has the highest counter accepted in each domain of orders."""
    await unit.result(await unit.order(cancel_command(new_id())))
    await unit.fence()
    counters = {one.domain: one.counter for one in (await unit.asked()).counters}
    for domain in (Domain.COMMAND, Domain.CANCEL):
        last, told = unit.cloud.session.current.issued[domain], counters.get(domain.value)
        require(told == last, f"it accepted counter {last} in {domain.value}, and says {told}")


@GROUP.rule
async def hello_on_reconnect(unit: Unit) -> None:
    """When the connection breaks it comes back and says hello, in the same epoch."""
    if unit.broker is None:
        raise RuleSkippedError("needs the kit's own broker")
    await unit.fence()
    accepted = unit.cloud.session.current.issued[Domain.COMMAND]
    before = unit.hellos()[-1]
    count = len(unit.hellos())
    unit.broker.kill()
    await unit.broker.start()
    info = await unit.next_hello(count, "a hello after the broker came back")
    require(info.epoch == before.epoch, "a new connection began another epoch: only a boot does")
    require(info.clock_millis >= before.clock_millis, "its clock went back")
    require(not info.challenge, "a hello that nobody asked for holds a challenge")
    told = {one.domain: one.counter for one in info.counters}.get(Domain.COMMAND.value, 0)
    require(
        told == accepted, f"it accepted counter {accepted} in cmd.door, and after a reconnect says {told}"
    )
    await unit.fence()


@GROUP.rule
async def events_have_qos_1(unit: Unit) -> None:
    """Over MQTT events are published with QoS 1."""
    if not unit.over_mqtt:
        raise NotApplicableError("over MQTT only")
    await unit.fence()
    bare = sorted(unit.qos_missing)
    require(not bare, f"not published with QoS 1: {', '.join(bare)}")


@GROUP.rule
async def nothing_is_retained(unit: Unit) -> None:
    """Over MQTT nothing is published to be retained: who comes later must not take it for news."""
    if not unit.over_mqtt:
        raise NotApplicableError("over MQTT only")
    await unit.fence()
    retained = await unit.link.retained()
    require(not retained, f"{retained} messages were published to be retained")
