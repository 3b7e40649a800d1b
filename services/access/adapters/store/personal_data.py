"""What people asked for about their data, and what is done to their rights when they are erased."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select, update

from services.access.adapters.store.accounts import is_stopped, keys_of, lock_account, revoke_key
from services.access.adapters.store.grant_rows import grant_of
from services.access.adapters.store.notices import lock_vehicle, owners_of
from services.access.adapters.store.person_rows import data_exports, erasures
from services.access.adapters.store.sharing import end_all
from services.access.adapters.store.tables import abnormal_cases, add_if_new, grants, principals, write_audit
from services.access.domain.personal_data import (
    ACCOUNT_STOPPED,
    AFTER_A_STOP,
    CAN_BE_TAKEN_BACK,
    ERASED_LOCK,
    MOST_DOWNLOADS,
    OPEN_CASE,
    ErasureStage,
    PersonalExport,
    PersonErasure,
)
from services.platform.subject_data import pseudonym_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from services.access.adapters.store.notices import ChangeMessages
    from services.platform.database import Database
    from services.platform.outbox import OutgoingMessage
    from services.platform.subject_data import SubjectData

_DUE_AT_ONCE = 20
_e, _x = erasures.c, data_exports.c
_OPEN = [ErasureStage.WAITING.value, ErasureStage.DEFERRED.value, ErasureStage.ERASING.value]


class _NotBegunError(Exception):
    """It was taken back, or somebody has locked or restricted the account."""


class SqlPersonalData:
    """usecases.personal_data.PersonalDataRecord on a database. `pepper` keys the hash by which an erased person is
    still known; `sent` hears of messages after their commit.
    """

    def __init__(
        self,
        database: Database,
        pepper: bytes,
        change_messages: ChangeMessages,
        sent: Callable[[Sequence[OutgoingMessage]], None],
        subject_data: SubjectData,
    ) -> None:
        self._database = database
        self._pepper = pepper
        self._change_messages = change_messages
        self._sent = sent
        self._subject_data = subject_data

    async def export(self, new: PersonalExport) -> PersonalExport:
        """See the port."""

        def work(connection: Connection) -> PersonalExport:
            if not add_if_new(connection, data_exports, _export_row(new)):
                row = select(data_exports).where(_x.principal == new.person).with_for_update()
                known = _export_of(connection.execute(row).one())
                if known.is_ready(new.requested_at):
                    return known
                anew = update(data_exports).where(_x.principal == new.person)
                connection.execute(anew.values(_export_row(new)))
            _audit(connection, "DATA_EXPORT_REQUESTED", new.person, new.export_id, new.requested_at)
            return new

        return await self._database.write(work)

    async def find_export(self, person: str, export_id: str) -> PersonalExport | None:
        """See the port."""
        query = select(data_exports).where(_x.principal == person, _x.export_id == export_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else _export_of(row)

    async def count_download(self, person: str, export_id: str, *, at: datetime) -> bool:
        """See the port."""
        counted = (
            update(data_exports)
            .where(
                _x.principal == person,
                _x.export_id == export_id,
                _x.expires_at > at,
                _x.downloads < MOST_DOWNLOADS,
            )
            .values(downloads=_x.downloads + 1)
        )

        def work(connection: Connection) -> bool:
            done = connection.execute(counted).rowcount == 1
            if done:
                _audit(connection, "DATA_EXPORTED", person, export_id, at)
            return done

        return await self._database.write(work)

    async def ask_erasure(self, new: PersonErasure) -> PersonErasure:
        """See the port."""

        def work(connection: Connection) -> PersonErasure:
            if add_if_new(connection, erasures, self._erasure_row(new)):
                _audit(connection, "ERASURE_REQUESTED", new.person, new.erasure_id, new.requested_at)
                return new
            known = select(erasures).where(_e.principal == new.person)
            return _erasure_of(connection.execute(known).one())

        return await self._database.write(work)

    async def find_erasure(self, person: str, erasure_id: str) -> PersonErasure | None:
        """See the port."""
        return await self._database.read(lambda connection: self._find(connection, person, erasure_id))

    async def take_back(self, person: str, erasure_id: str, *, at: datetime) -> PersonErasure | None:
        """See the port."""

        def work(connection: Connection) -> PersonErasure | None:
            known = self._find(connection, person, erasure_id, lock=True)
            if known is None:
                return None
            after = known.taken_back(at)
            if after != known:
                kept = update(erasures).where(_e.erasure_id == erasure_id)
                connection.execute(
                    kept.values(principal=None, state=after.stage.value, in_the_way="", ended_at=at)
                )
                _audit(connection, "ERASURE_CANCELLED", person, erasure_id, at)
            return after

        return await self._database.write(work)

    async def due(self, *, at: datetime) -> list[PersonErasure]:
        """See the port."""
        query = (
            select(erasures)
            .where(_e.state.in_(_OPEN), _e.due_at <= at)
            # Those that were looked at longest ago first: one that waits keeps no other from its turn.
            .order_by(_e.looked_at.is_not(None), _e.looked_at, _e.due_at)
            .limit(_DUE_AT_ONCE)
        )
        return await self._database.read(lambda c: [_erasure_of(row) for row in c.execute(query)])

    async def defer(self, erasure: PersonErasure, why: str, *, at: datetime) -> None:
        """See the port."""
        waits = update(erasures).where(_e.erasure_id == erasure.erasure_id, _e.state.in_(_OPEN))
        state = case((_e.state == ErasureStage.ERASING.value, _e.state), else_=ErasureStage.DEFERRED.value)
        changed = waits.values(state=state, in_the_way=why[:64], looked_at=at)
        await self._database.write(lambda connection: connection.execute(changed) and None)

    async def look(self, person: str) -> str:
        """See the port."""
        found = select(abnormal_cases.c.case_id).where(
            abnormal_cases.c.principal == person, abnormal_cases.c.acknowledged_at.is_(None)
        )

        def work(connection: Connection) -> str:
            if is_stopped(connection, person):
                return ACCOUNT_STOPPED
            return "" if connection.execute(found.limit(1)).first() is None else OPEN_CASE

        return await self._database.read(work) or await self._subject_data.look(person)

    async def begin(self, erasure: PersonErasure, *, at: datetime) -> bool:
        """See the port."""
        try:
            messages = await self._database.write(lambda connection: self._begin(connection, erasure, at))
        except _NotBegunError:
            return False
        self._sent(messages)
        return True

    async def unsent(self, person: str) -> str:
        """See the port."""
        return await self._subject_data.unsent(person)

    async def finish(self, erasure: PersonErasure) -> str:
        """See the port."""
        done = await self._subject_data.erase(erasure.person, erasure.erasure_id)
        return done.in_the_way

    def _begin(self, connection: Connection, erasure: PersonErasure, at: datetime) -> list[OutgoingMessage]:
        """Lock the account and end rights and keys. Raises _NotBegunError, which takes all of it back."""
        person, by = erasure.person, pseudonym_of(erasure.erasure_id)
        # The lock before anything else: an operator who stops the account now waits, or was first.
        _, told = lock_account(connection, person, ERASED_LOCK, by, at, self._change_messages.ended)
        open_still = [stage.value for stage in CAN_BE_TAKEN_BACK]
        begun = update(erasures).where(_e.erasure_id == erasure.erasure_id, _e.state.in_(open_still))
        values = {"state": ErasureStage.ERASING.value, "in_the_way": "", "looked_at": at}
        if not told or _is_restricted(connection, person):
            raise _NotBegunError
        if connection.execute(begun.values(values)).rowcount != 1:
            raise _NotBegunError
        messages: list[OutgoingMessage] = []
        theirs = select(grants.c.vin).where(grants.c.principal == person, grants.c.revoked_at.is_(None))
        for vin in sorted(set(connection.execute(theirs).scalars())):
            messages += self._end_rights(connection, vin, person, by, at)
        for key in keys_of(connection, person):
            if key.revoked_at is None:
                messages += revoke_key(connection, key.key_id, by, at, self._change_messages.ended)[1]
        return messages + told

    def _end_rights(
        self, connection: Connection, vin: str, person: str, by: str, at: datetime
    ) -> list[OutgoingMessage]:
        """End what a person may do with a vehicle; where nobody else owns it, what anybody may: nobody is left who
        could look after it.
        """
        lock_vehicle(connection, vin)
        alone = owners_of(connection, vin, at) == {person}
        query = (
            select(grants)
            .where(grants.c.vin == vin, grants.c.revoked_at.is_(None))
            .order_by(grants.c.grant_id)
            .with_for_update()
        )
        unrevoked = [grant_of(row) for row in connection.execute(query)]
        ended = [grant for grant in unrevoked if alone or grant.asked.principal == person]
        left = [grant for grant in unrevoked if grant not in ended]
        return end_all(connection, ended, left, by, at, self._change_messages)

    def _find(
        self, connection: Connection, person: str, erasure_id: str, *, lock: bool = False
    ) -> PersonErasure | None:
        query = select(erasures).where(_e.erasure_id == erasure_id, _e.person_digest == self._digest(person))
        row = connection.execute(query.with_for_update() if lock else query).first()
        return None if row is None else _erasure_of(row)

    def _digest(self, person: str) -> bytes:
        return hmac.digest(self._pepper, b"erased person " + person.encode(), "sha256")

    def _erasure_row(self, erasure: PersonErasure) -> dict[str, Any]:
        return {
            "erasure_id": erasure.erasure_id,
            "principal": erasure.person,
            "person_digest": self._digest(erasure.person),
            "requested_at": erasure.requested_at,
            "due_at": erasure.due_at,
            "state": erasure.stage.value,
            "in_the_way": "",
        }


def postpone_erasure(connection: Connection, person: str, at: datetime) -> None:
    """Give a person who has their account again time to take back what somebody may have asked for meanwhile."""
    soonest = at + AFTER_A_STOP
    waits = update(erasures).where(
        _e.principal == person,
        _e.state.in_([stage.value for stage in CAN_BE_TAKEN_BACK]),
        _e.due_at < soonest,
    )
    connection.execute(waits.values(due_at=soonest, state=ErasureStage.WAITING.value, in_the_way=""))


def _is_restricted(connection: Connection, person: str) -> bool:
    named = select(principals.c.principal).where(principals.c.principal == person)
    return connection.execute(named.where(principals.c.restricted_at.is_not(None))).first() is not None


def erased(connection: Connection, person: str, at: datetime) -> None:
    """Say of a person's erasure that it is done, and let go of their name: in the commit that erases the rest."""
    done = {"principal": None, "state": ErasureStage.DONE.value, "in_the_way": ""}
    theirs = update(erasures).where(_e.principal == person).returning(_e.erasure_id)
    ended = connection.execute(theirs.values({**done, "looked_at": at, "ended_at": at})).scalars().all()
    for erasure_id in ended:
        pseudonym = pseudonym_of(erasure_id)
        write_audit(connection, "DATA_ERASED", by=pseudonym, at=at, principal=pseudonym, named=erasure_id)


def _audit(connection: Connection, act: str, person: str, named: str, at: datetime) -> None:
    write_audit(connection, act, by=person, at=at, principal=person, named=named)


def _export_row(export: PersonalExport) -> dict[str, Any]:
    return {
        "principal": export.person,
        "export_id": export.export_id,
        "requested_at": export.requested_at,
        "expires_at": export.expires_at,
        "downloads": export.downloads,
    }


def _export_of(row: Row[Any]) -> PersonalExport:
    return PersonalExport(row.export_id, row.principal, row.requested_at, row.expires_at, row.downloads)


def _erasure_of(row: Row[Any]) -> PersonErasure:
    return PersonErasure(
        row.erasure_id,
        row.principal or "",
        row.requested_at,
        row.due_at,
        ErasureStage(row.state),
        row.in_the_way,
        row.ended_at,
    )
