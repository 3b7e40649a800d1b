"""What is done to configs: changes, and what vehicles say of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from protocol.faults import MessageRefusedError
from services.config.adapters.store import rows
from services.config.adapters.store.tables import answers, audit, inbox, outbox
from services.config.domain.config import (
    KEEP_ANSWERS,
    ConfigCorrelationIdReusedError,
    DoorConfig,
    ReadOnlyChangedError,
    RequestEvidence,
    WeakeningNotAllowedError,
    after_message,
    changed,
    push,
)
from services.platform.audited_database import AuditedAct, note_act

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.config.domain.config import ChangeRequest, Push
    from services.config.domain.settings import DoorSettings
    from services.config.usecases import VerifiedConfigMessage
    from services.platform.database import Database
    from services.platform.outbox import OutboxRelay, OutgoingMessage

_UPDATE = "UpdateDoorConfig"


class ConfigStore:
    """This service's record. `outgoing` makes the message of a push, and `stamp` the stamp under its order; `relay`
    learns of it after the commit. `weakened` names the settings in which the second is less secure than the first.
    """

    def __init__(
        self,
        database: Database,
        relay: OutboxRelay,
        outgoing: Callable[[Push, datetime], OutgoingMessage],
        stamp: Callable[[Push], bytes],
        weakened: Callable[[DoorSettings, DoorSettings], list[str]],
    ) -> None:
        self._weakened = weakened
        self._database = database
        self._relay = relay
        self._outgoing = outgoing
        self._stamp = stamp

    async def find(self, vin: str) -> DoorConfig | None:
        """Return the vehicle's config; None before the first sight of it."""
        found = await self._database.read(lambda connection: rows.find(connection, vin))
        return None if found is None else _unproven(found)

    async def first_sight(self, vin: str, at: datetime) -> DoorConfig:
        """Return the vehicle's config, begun now with the factory's settings if there is none."""
        return _unproven(await self._database.write(lambda connection: rows.locked(connection, vin, at)))

    async def change(self, request: ChangeRequest, at: datetime) -> DoorConfig:
        """Keep the change, its proof, its audit entry and the message to the vehicle in one commit.

        A repeat gets the first answer. Raises CorrelationIdReusedError when the repeat wants something else,
        ReadOnlyChangedError, and WeakeningNotAllowedError, of which nothing is kept.
        """

        def work(connection: Connection) -> tuple[DoorConfig, list[OutgoingMessage]]:
            return _change(connection, request, at, self._outgoing, self._stamp, self._weakened)

        config, messages = await self._database.write(work)
        self._relay.hand_over(messages)
        return config

    async def ingest(
        self, received: Sequence[VerifiedConfigMessage], at: datetime
    ) -> list[MessageRefusedError | None]:
        """Keep what vehicles said, in order, each message once, and what is to be sent in return: in one
        commit with their sessions. For each, why it was refused, if it was.
        """

        def work(connection: Connection) -> tuple[list[MessageRefusedError | None], list[OutgoingMessage]]:
            return _ingest(connection, received, at, self._outgoing)

        refusals, messages = await self._database.write(work)
        self._relay.hand_over(messages)
        return refusals


def _unproven(config: DoorConfig) -> DoorConfig:
    """Without its proof, which is for the signer only."""
    return replace(config, proof=None)


def _change(
    connection: Connection,
    request: ChangeRequest,
    at: datetime,
    outgoing: Callable[[Push, datetime], OutgoingMessage],
    stamp: Callable[[Push], bytes],
    weakened: Callable[[DoorSettings, DoorSettings], list[str]],
) -> tuple[DoorConfig, list[OutgoingMessage]]:
    # The lock comes first: of two equal requests at once, the second must see the first's answer.
    before = rows.locked(connection, request.vin, at)
    answered = _first_answer(connection, request, at)
    if answered is not None:
        return answered, []
    member = request.read_back.differing(before)
    if member is not None:
        raise ReadOnlyChangedError(member)
    weaker = weakened(before.settings, request.change.applied_to(before.settings))
    if weaker and not request.may_weaken:
        raise WeakeningNotAllowedError(weaker)
    proof = RequestEvidence(request.capability, asked_at=at)
    after = changed(before, request.change, proof)
    messages: list[OutgoingMessage] = []
    if after != before:
        cause = f"change:{request.correlation_id}"
        proof = replace(proof, mac=stamp(push(after, proof, cause)))
        after = replace(after, proof=proof)
        rows.save(connection, after)
        messages.append(outgoing(push(after, proof, cause), at))
        outbox.add(connection, messages)
    after = _unproven(after)
    _remember(connection, request, after, at)
    connection.execute(
        insert(audit).values(
            vin=request.vin,
            changed_at=at,
            subject=request.subject,
            actor=request.actor,
            source=request.source,
            correlation_id=request.correlation_id,
            desired_version=after.desired_version,
            before=json.dumps(asdict(before.settings)),
            after=json.dumps(asdict(after.settings)),
        )
    )
    if after.desired_version != before.desired_version:
        note_act(connection, _act(request, before.settings, after.settings, at))
    return after, messages


def _act(request: ChangeRequest, before: DoorSettings, after: DoorSettings, at: datetime) -> AuditedAct:
    """Return what the audit ledger is told of a change: the settings that are others now, as they are now."""
    was, now = asdict(before), asdict(after)
    detail = {name: str(value) for name, value in now.items() if value != was[name]}
    return AuditedAct("CONFIG_CHANGED", at, request.actor, request.subject, request.vin, detail=detail)


def _key(request: ChangeRequest) -> dict[str, str]:
    return {
        # The customer, in the column's old name: two agents who act for one customer make one request.
        "actor": request.subject,
        "vin": request.vin,
        "operation": _UPDATE,
        "correlation_id": request.correlation_id,
    }


def _first_answer(connection: Connection, request: ChangeRequest, at: datetime) -> DoorConfig | None:
    row = connection.execute(select(answers).filter_by(**_key(request))).first()
    if row is None or row.answered_at <= at - KEEP_ANSWERS:
        return None
    if row.fingerprint != request.change.fingerprint():
        raise ConfigCorrelationIdReusedError
    return _from_json(row.answer)


def _remember(connection: Connection, request: ChangeRequest, answer: DoorConfig, at: datetime) -> None:
    connection.execute(delete(answers).filter_by(**_key(request)))  # one that was kept for long enough
    connection.execute(
        insert(answers).values(
            **_key(request),
            fingerprint=request.change.fingerprint(),
            answer=_to_json(answer),
            answered_at=at,
        )
    )


def _ingest(
    connection: Connection,
    received: Sequence[VerifiedConfigMessage],
    at: datetime,
    outgoing: Callable[[Push, datetime], OutgoingMessage],
) -> tuple[list[MessageRefusedError | None], list[OutgoingMessage]]:
    replay_guard = rows.replay_guard_of(connection, at)
    refusals: list[MessageRefusedError | None] = [None] * len(received)
    messages: list[OutgoingMessage] = []
    # By VIN, so that replicas that lock several vehicles wait for each other and do not deadlock.
    for index, each in sorted(enumerate(received), key=lambda item: item[1].vin):
        before = rows.locked(connection, each.vin, at)
        try:
            news = each.admit(replay_guard)
        except MessageRefusedError as refusal:
            refusals[index] = refusal
            continue
        if not inbox.first_time(connection, f"{each.vin}:{each.message_id}", at):
            continue
        after, wanted = after_message(before, news)
        if after != before:
            rows.save(connection, after)
        if wanted is not None:
            messages.append(outgoing(wanted, at))
    outbox.add(connection, messages)
    return refusals, messages


def _to_json(config: DoorConfig) -> str:
    return json.dumps(rows.public_values(config), default=datetime.isoformat)


def _from_json(text: str) -> DoorConfig:
    values = json.loads(text)
    for name in ("updated_at", "applied_at"):
        if values[name] is not None:
            values[name] = datetime.fromisoformat(values[name])
    return rows.assembled(values)
