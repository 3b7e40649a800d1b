"""A session: one epoch of a vehicle, its clock, and the counters in it.

The vehicle's half (VehicleSession) lives as long as one run of the agent and is never stored: a reboot
makes a new epoch, and everything signed for the old one is worthless. The cloud's half (CloudSession)
is a value that is loaded, changed and saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from protocol.domains import LONGEST_VALIDITY_MILLIS, MAX_COUNTER, Domain
from protocol.faults import Fault, MessageRefusedError
from protocol.keys import KEY_BYTES, KEY_ID_BYTES
from protocol.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecarus.remotecontrol.vehicle.v1 import session_pb2

EPOCH_BYTES = 16
CHALLENGE_BYTES = 16
CHALLENGE_RECENT_MILLIS = 60_000
"""How long an answer to a challenge, or a refusal of an order, counts as fresh."""

EPOCHS_REMEMBERED = 8
"""How many ended epochs the cloud does not let a replayed hello bring back."""

COUNTER_LEAD = 2**20
"""How far what a vehicle accepted may be ahead of what the cloud remembers having issued. A cloud whose record was
restored from a backup, or begun anew, has forgotten what it issued since; no vehicle takes a million orders in one
epoch. A claim beyond it is false, and would end the counters of the epoch."""

MOST_COUNTERS = 16
"""How many domains session information may list: more than there are, for vehicles newer than this cloud."""


class NotReachableError(RuntimeError):
    """Nothing can be signed for this vehicle now: it said no hello yet, or its epoch has no counters left."""


class VehicleSession:
    """The vehicle's half. `clock_millis` counts from the epoch's beginning and runs in sleep, too
    (CLOCK_BOOTTIME on Linux, less its reading at the start).
    """

    def __init__(self, epoch: bytes, clock_millis: Callable[[], int]) -> None:
        if len(epoch) != EPOCH_BYTES:
            raise ValueError(f"an epoch is {EPOCH_BYTES} bytes")
        self.epoch = epoch
        self._clock_millis = clock_millis
        self._accepted: dict[Domain, int] = {}
        self._sent: dict[Domain, int] = {}

    def check_epoch(self, epoch: bytes) -> None:
        """Raise MessageRefusedError (WRONG_EPOCH)."""
        if epoch != self.epoch:
            raise MessageRefusedError(Fault.WRONG_EPOCH, "signed for another run of this vehicle")

    def check_expiry(self, domain: Domain, expires_at_millis: int) -> None:
        """Raise MessageRefusedError: EXPIRED, VALID_TOO_LONG."""
        left = expires_at_millis - self._clock_millis()
        if left <= 0:
            raise MessageRefusedError(Fault.EXPIRED, f"expired {-left} ms ago")
        if left > LONGEST_VALIDITY_MILLIS[domain]:
            raise MessageRefusedError(Fault.VALID_TOO_LONG, f"valid for {left} ms more")

    def spend(self, domain: Domain, counter: int) -> None:
        """Use up this counter and all below it. Raises MessageRefusedError: COUNTER_NOT_NEW, COUNTER_TOO_LARGE."""
        if counter > MAX_COUNTER:
            raise MessageRefusedError(Fault.COUNTER_TOO_LARGE, "beyond the last counter of an epoch")
        if counter <= self._accepted.get(domain, 0):
            raise MessageRefusedError(Fault.COUNTER_NOT_NEW, "used before, or behind one that was")
        self._accepted[domain] = counter

    def next_counter(self, domain: Domain) -> int:
        """Return the vehicle's own next counter."""
        counter = self._sent.get(domain, 0) + 1
        self._sent[domain] = counter
        return counter

    def describe(self, info: session_pb2.SessionInfo) -> None:
        """Fill in epoch, clock and counters."""
        info.epoch = self.epoch
        info.clock_millis = self._clock_millis()
        for domain, counter in sorted(self._accepted.items()):
            info.counters.add(domain=domain.value, counter=counter)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The counters of one epoch: the last the cloud issued, and which of the vehicle's it saw, by domain.

    `order` puts a vehicle's epochs in order: thousandths of a second since 1970 at which the cloud heard of this one,
    raised where that is needed to be above the one before; 0 in records that were made before this was kept. `boot_id`
    is what the hello of the epoch said.
    """

    epoch: bytes = b""
    order: int = 0
    boot_id: str = ""
    issued: Mapping[Domain, int] = field(default_factory=dict)
    seen: Mapping[Domain, Window] = field(default_factory=dict)

    def with_issued(self, domain: Domain, counter: int) -> EpochRecord:
        """Having issued at least this one."""
        highest = max(counter, self.issued.get(domain, 0))
        return replace(self, issued={**self.issued, domain: highest})

    def with_claimed(self, domain: Domain, counter: int) -> EpochRecord:
        """Having issued at least this one, as the vehicle says. Raises MessageRefusedError (COUNTER_TOO_LARGE) beyond
        COUNTER_LEAD.
        """
        issued = self.issued.get(domain, 0)
        if counter > issued + COUNTER_LEAD:
            detail = (
                f"claims to have accepted counter {counter} of {domain.value}, of which {issued} were issued"
            )
            raise MessageRefusedError(Fault.COUNTER_TOO_LARGE, detail)
        return self.with_issued(domain, counter)

    def with_seen(self, domain: Domain, counter: int) -> EpochRecord:
        """Having seen this one. Raises MessageRefusedError: COUNTER_NOT_NEW, COUNTER_TOO_LARGE."""
        window = self.seen.get(domain, Window())
        window.check(counter)
        return replace(self, seen={**self.seen, domain: window.with_counter(counter)})


@dataclass(frozen=True, slots=True)
class CloudSession:
    """What the cloud knows of one vehicle's session. An empty epoch: nothing yet.

    `clock_lead_millis` is how far the vehicle's clock is ahead of the cloud's. A session information that took
    long makes it too small, never too large: an order then expires too early, never too late.
    """

    current: EpochRecord = EpochRecord()
    ended: tuple[EpochRecord, ...] = ()
    clock_lead_millis: int = 0
    manifest_version: int = 0
    report_public_key: bytes = b""
    report_key_id: bytes = b""
    challenge: bytes = b""
    challenged_at_millis: int = 0

    @property
    def epoch(self) -> bytes:
        """The epoch the vehicle is in, as far as the cloud knows."""
        return self.current.epoch

    def challenged(self, challenge: bytes, now_millis: int) -> CloudSession:
        """Return the session that expects the answer to this challenge, and to no earlier one."""
        return replace(self, challenge=challenge, challenged_at_millis=now_millis)

    def learn(
        self, info: session_pb2.SessionInfo, now_millis: int, *, is_fresh: bool = False
    ) -> CloudSession:
        """With what the vehicle says, signed. `is_fresh`: it answers something the cloud sent moments ago.

        Raises MessageRefusedError: MALFORMED, STALE_SESSION, COUNTER_TOO_LARGE.
        """
        _check(info)
        challenge = self.challenge
        if info.challenge:
            recent = now_millis - self.challenged_at_millis <= CHALLENGE_RECENT_MILLIS
            if info.challenge != challenge or not recent:
                raise MessageRefusedError(Fault.STALE_SESSION, "answers no recent challenge")
            challenge, is_fresh = b"", True
        lead = info.clock_millis - now_millis
        if info.epoch == self.epoch and not is_fresh:
            lead = max(lead, self.clock_lead_millis)
        current, ended = self._entered(info.epoch, now_millis, is_fresh=is_fresh)
        if info.HasField("hello"):
            current = replace(current, boot_id=info.hello.boot_id)
        for one in info.counters:
            if one.domain in LONGEST_VALIDITY_MILLIS:
                current = current.with_claimed(Domain(one.domain), one.counter)
        return CloudSession(
            current=current,
            ended=ended,
            clock_lead_millis=lead,
            manifest_version=info.manifest_version,
            report_public_key=info.report_public_key,
            report_key_id=info.report_key_id,
            challenge=challenge,
            challenged_at_millis=self.challenged_at_millis,
        )

    def issue(self, domain: Domain) -> tuple[CloudSession, int]:
        """Return the next counter of this domain. Raises NotReachableError when the epoch has none left."""
        counter = self.current.issued.get(domain, 0) + 1
        if counter > MAX_COUNTER:
            raise NotReachableError("no counters left in the vehicle's epoch")
        return replace(self, current=self.current.with_issued(domain, counter)), counter

    def knows(self, epoch: bytes) -> bool:
        """Return whether this is the epoch, or one that ended."""
        return any(record.epoch == epoch for record in (self.current, *self.ended))

    def record_of(self, epoch: bytes, boot_id: str) -> EpochRecord:
        """Return the record of the epoch in which a status was made that an answer of `epoch` holds: an answer that is
        sent again after a reboot holds the status of the boot before. A boot that no hello named is that of `epoch`.

        Raise MessageRefusedError (WRONG_EPOCH) for an epoch that is not known.
        """
        records = (self.current, *self.ended)
        of_answer = next((record for record in records if epoch and record.epoch == epoch), None)
        if of_answer is None:
            raise MessageRefusedError(Fault.WRONG_EPOCH, "an epoch that no session information told of")
        if of_answer.boot_id in {"", boot_id}:
            return of_answer
        return next((record for record in self.ended if record.boot_id == boot_id), of_answer)

    def order_of(self, record: EpochRecord) -> int:
        """Return where this epoch stands among the vehicle's: 0 for a current one of unknown order, which is newer
        than all, and -1 for one that ended, which is older.
        """
        return record.order or (0 if record.epoch == self.epoch else -1)

    def with_seen(self, epoch: bytes, domain: Domain, counter: int) -> CloudSession:
        """Having seen this counter of the vehicle.

        Raises MessageRefusedError: WRONG_EPOCH, COUNTER_NOT_NEW, COUNTER_TOO_LARGE.
        """
        if len(epoch) != EPOCH_BYTES or not self.knows(epoch):
            raise MessageRefusedError(Fault.WRONG_EPOCH, "an epoch that no session information told of")
        if epoch == self.epoch:
            return replace(self, current=self.current.with_seen(domain, counter))
        ended = (r.with_seen(domain, counter) if r.epoch == epoch else r for r in self.ended)
        return replace(self, ended=tuple(ended))

    def _entered(
        self, epoch: bytes, now_millis: int, *, is_fresh: bool
    ) -> tuple[EpochRecord, tuple[EpochRecord, ...]]:
        """Return the record of this epoch, and of those that ended, latest first."""
        order = max(now_millis, 1 + max(record.order for record in (self.current, *self.ended)))
        if epoch == self.epoch:
            current = self.current if self.current.order else replace(self.current, order=order)
            return current, self.ended
        entered = EpochRecord(epoch, order)
        for record in self.ended:
            if record.epoch == epoch:
                if not is_fresh:
                    raise MessageRefusedError(Fault.STALE_SESSION, "an epoch that ended")
                entered = replace(record, order=order)
        ended = tuple(r for r in (self.current, *self.ended) if r.epoch not in {b"", epoch})
        return entered, ended[:EPOCHS_REMEMBERED]


def _check(info: session_pb2.SessionInfo) -> None:
    if (
        len(info.epoch) != EPOCH_BYTES
        or len(info.challenge) not in {0, CHALLENGE_BYTES}
        or len(info.report_public_key) != KEY_BYTES
        or len(info.report_key_id) != KEY_ID_BYTES
        or info.clock_millis > MAX_COUNTER
        or len(info.counters) > MOST_COUNTERS
        or len({one.domain for one in info.counters}) != len(info.counters)
        or any(one.counter > MAX_COUNTER for one in info.counters)
    ):
        raise MessageRefusedError(Fault.MALFORMED, "session information with parts of a wrong size")
