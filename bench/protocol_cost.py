"""What the vehicle protocol costs the cloud for one command and for one report, beside the same as plain messages.

Measured in this process, on CPU time, without a network: a round does each step many times, and the median of the
rounds counts.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from ecarus.remotecontrol.vehicle.v1 import command_pb2, report_pb2, session_pb2
from sqlalchemy import MetaData, create_engine

from bench.report import Figure
from bench.speakers import SpeakerKeys, speaking_side, status_report
from doorctl.ceremony import PublicCloudKeys, next_manifest
from protocol.cloud_side import AnswerReader, ReplayGuard
from protocol.domains import Domain
from protocol.keys import KeySigner, OpenKeys, VehicleKeys
from protocol.manifest import Trust
from protocol.order import request_hash
from protocol.reports import ReportOpener, ReportSession
from protocol.seal import Direction, seal
from protocol.signing import sign_order
from services.telematics.sessions import VehicleSessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.cloud_side import SessionSlot

MOST_COMMAND_US = 500
MOST_REPORT_US = 20
_VIN = "BENCHCAR000000000"
_ROUNDS = 7
_TIMES = 300
_VALID_MILLIS = 30_000


@dataclass(frozen=True, slots=True)
class ProtocolCost:
    """Microseconds of CPU. `steps` of one command by name; `plain_command` and `plain_report`: the same messages
    packed and parsed as plain protobuf.
    """

    steps: dict[str, float]
    plain_command: float
    open_report: float
    plain_report: float

    @property
    def command(self) -> float:
        """All steps of one command."""
        return sum(self.steps.values())


def measure_protocol() -> ProtocolCost:
    """Take a second or two."""
    rig = _Rig()
    times = _ROUNDS * _TIMES
    orders = [rig.order(f"cmd-{number}") for number in range(times)]
    places = [
        rig.replay_guard.reserve_slot(_VIN, Domain.COMMAND, _VALID_MILLIS)
    ] * times  # where it stands costs the same
    signed = [rig.signed(order, slot) for order, slot in zip(orders, places, strict=True)]
    envelopes = [sign_order(rig.signer, message) for message in signed]
    received = [report_pb2.CommandReceived(command_id=order.command_id) for order in orders]
    results = [rig.result(order.command_id) for order in orders]
    hashes = [request_hash(envelope) for envelope in envelopes]
    answers = [
        [
            rig.vehicle.seal_answer(one.command_id, each, one).data,
            rig.vehicle.seal_answer("r", each, two).data,
        ]
        for each, one, two in zip(hashes, received, results, strict=True)
    ]
    reports = [rig.vehicle.seal_report(rig.report(number)).data for number in range(times)]
    plain_answers = [
        (one.SerializeToString(), two.SerializeToString()) for one, two in zip(received, results, strict=True)
    ]
    plain_reports = [rig.report(number).SerializeToString() for number in range(times)]

    def place_and_issue(number: int) -> None:
        slot = rig.replay_guard.reserve_slot(_VIN, Domain.COMMAND, _VALID_MILLIS)
        rig.replay_guard.issue(_VIN, orders[number], slot, envelopes[number])

    opened = [
        [
            (domain, rig.reader.answer(_VIN, domain, data))
            for domain, data in zip((Domain.RECEIVED, Domain.RESULT), both, strict=True)
        ]
        for both in answers
    ]

    def plain(number: int) -> None:
        orders[number].SerializeToString()
        one, two = plain_answers[number]
        report_pb2.CommandReceived.FromString(one)
        report_pb2.CommandResult.FromString(two)
        report_pb2.CommandResult.FromString(two)

    def open_answer(domain: Domain, which: int) -> float:
        return _median(lambda number: rig.reader.answer(_VIN, domain, answers[number][which]))

    return ProtocolCost(
        {
            "sign": _median(lambda number: sign_order(rig.signer, signed[number])),
            "seal": _median(lambda number: rig.seal(envelopes[number])),
            "open received": open_answer(Domain.RECEIVED, 0),
            "open result, in two services": 2 * open_answer(Domain.RESULT, 1),
            "place and issue": _median(place_and_issue),
            "admit two answers": _median(
                lambda number: [rig.replay_guard.admit(domain, one) for domain, one in opened[number]]
            ),
        },
        _median(plain),
        _median(lambda number: rig.opener.open(_VIN, Domain.STATUS, reports[number])),
        _median(lambda number: report_pb2.StatusReport.FromString(plain_reports[number])),
    )


class _Rig:
    """A vehicle and the cloud's services in one process, after its hello; the sessions in SQLite in memory."""

    def __init__(self) -> None:
        root, self.signer = _new_signer(), _new_signer()
        seal_key, report_key = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        cloud = PublicCloudKeys([self.signer.public_bytes], [_public(seal_key)], [_public(report_key)])
        endorsed = next_manifest(None, cloud, root, datetime.now(UTC), timedelta(days=1))
        keys = SpeakerKeys.generate()
        verify_key, opening_key = keys.public
        self._keys = VehicleKeys.of(verify_key.public_bytes_raw(), opening_key.public_bytes_raw())
        self.vehicle = speaking_side(_VIN, keys, Trust.restore(root.public_bytes, endorsed.data))
        self.reader = AnswerReader(OpenKeys(seal_key), self)
        metadata = MetaData()
        tables = VehicleSessions(metadata, issues_orders=True)
        connection = create_engine("sqlite://").connect()
        metadata.create_all(connection)
        self.replay_guard = ReplayGuard(tables.store(connection), lambda: time.time_ns() // 1_000_000)
        self._info = self.reader.hello(
            _VIN, self.vehicle.seal_hello(report_pb2.Hello(boot_id="bench"), "hello")
        )
        self.replay_guard.learn(self._info)
        self.opener = ReportOpener(OpenKeys(report_key), self, most_kept=1)

    def find(self, _vin: str) -> VehicleKeys:
        """Return its keys; None when it is not enrolled, or not any more."""
        return self._keys

    def load(self, _vin: str, _epoch: bytes) -> ReportSession:
        """Return the session of this epoch; None when no session information of it was seen, when a later epoch
        followed it, and when the vehicle is not enrolled any more. Asked when an epoch is not the one whose keys are
        kept.
        """
        return ReportSession(self._info.report_public_key, self._info.report_key_id)

    def order(self, command_id: str) -> command_pb2.DoorCommand:
        """As the command service asks for it."""
        order = command_pb2.DoorCommand(
            command_id=command_id,
            correlation_id=command_id,
            action=command_pb2.DOOR_ACTION_UNLOCK,
            all_doors=True,
            mode=command_pb2.DOOR_ACTION_MODE_NORMAL,
            subject="bench",
            actor="bench",
        )
        order.expires_at.FromDatetime(datetime.now(UTC) + timedelta(milliseconds=_VALID_MILLIS))
        return order

    def signed(self, order: command_pb2.DoorCommand, slot: SessionSlot) -> session_pb2.SignedOrder:
        """As the signer service fills it in."""
        return session_pb2.SignedOrder(
            vin=_VIN,
            epoch=slot.epoch,
            counter=slot.counter,
            expires_at_millis=slot.expires_at_millis,
            manifest_version=1,
            role=session_pb2.ROLE_OWNER,
            door=order,
        )

    def seal(self, envelope: bytes) -> bytes:
        """As the command service does."""
        return seal(envelope, self._keys.seal_key, Direction.TO_VEHICLE, _VIN)

    def result(self, command_id: str) -> report_pb2.CommandResult:
        """Return five doors, and how the vehicle stands."""
        status = self.report(1)
        result = report_pb2.CommandResult(
            command_id=command_id, outcome=report_pb2.COMMAND_OUTCOME_SUCCEEDED, status=status
        )
        for door in status.doors[:-1]:
            result.doors.add(door=door.door, succeeded=True, locked=False)
        result.started_at.CopyFrom(status.observed_at)
        result.finished_at.CopyFrom(status.observed_at)
        return result

    def report(self, number: int) -> report_pb2.StatusReport:
        """Return six doors."""
        return status_report("bench", number, datetime.now(UTC))


def _new_signer() -> KeySigner:
    return KeySigner(Ed25519PrivateKey.generate())


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def figures_of(cost: ProtocolCost) -> list[Figure]:
    """Return one line for a command, one for a report."""
    steps = ", ".join(f"{name} {microseconds:.0f}" for name, microseconds in cost.steps.items())
    added = cost.command - cost.plain_command
    return [
        Figure(
            "protocol, CPU per command",
            f"{added:.0f} us",
            f"in the cloud, us: {steps}; the same messages as plain protobuf: {cost.plain_command:.0f}; the call of "
            "the signer comes on top",
            f"<= {MOST_COMMAND_US} us",
            added <= MOST_COMMAND_US,
        ),
        Figure(
            "protocol, CPU per report",
            f"{cost.open_report:.1f} us",
            f"to open it, its key being at hand; to parse what is in it: {cost.plain_report:.1f} us, with or without",
            f"<= {MOST_REPORT_US} us",
            cost.open_report <= MOST_REPORT_US,
        ),
    ]


def _median(step: Callable[[int], object]) -> float:
    rounds = []
    for begin in range(0, _ROUNDS * _TIMES, _TIMES):
        cpu = time.process_time()
        for number in range(begin, begin + _TIMES):
            step(number)
        rounds.append((time.process_time() - cpu) / _TIMES * 1e6)
    return statistics.median(rounds)
