"""Accounts, API keys and the issuer's keys: what is written of them, and who may do nothing any more."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, or_, select, update

from services.access.adapters.store.tables import (
    add_if_new,
    issuer_keys,
    keys,
    outbox,
    principals,
    write_audit,
)
from services.access.domain import key_scopes
from services.access.domain.accounts import (
    KEY_ID_PREFIX,
    Account,
    ApiKey,
    ApiKeyUnknownError,
    Caller,
    Source,
    key_id_of,
)
from services.access.domain.ended_rights import EndedKind, EndedRight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row, Select

    from services.access.domain.accounts import NewApiKey
    from services.access.usecases.grants import GrantQuery
    from services.platform.outbox import OutgoingMessage

    RightEndedMessage = Callable[[EndedRight], OutgoingMessage]

_KEYS_AT_ONCE = 32
_STATES_AMONG = select(principals.c.principal, principals.c.locked_at).where(
    principals.c.principal.in_(bindparam("named", expanding=True)),
    or_(principals.c.locked_at.is_not(None), principals.c.restricted_at.is_not(None)),
)
_KEY = select(keys.c.principal, keys.c.source, keys.c.expires_at, keys.c.scopes, keys.c.vins).where(
    keys.c.key_hash == bindparam("key_hash"), keys.c.revoked_at.is_(None)
)


def find_key(connection: Connection, key_hash: bytes, at: datetime) -> Caller | None:
    """Return whose live key this is."""
    row = connection.execute(_KEY, {"key_hash": key_hash}).first()
    if row is None or (row.expires_at is not None and row.expires_at <= at):
        return None
    words = words_in(row.scopes) or key_scopes.UNLESS_NAMED
    found = Caller(
        row.principal,
        row.principal,
        Source(row.source),
        credential=key_id_of(key_hash),
        only_vins=frozenset(words_in(row.vins)) or None,
        scope=key_scopes.actions_of(words),
        carries=key_scopes.carried_by(words),
    )
    return found if row.expires_at is None else found.ending(row.expires_at.timestamp())


def add_key(
    connection: Connection,
    key_hash: bytes,
    principal: str,
    source: Source,
    at: datetime,
    expires_at: datetime | None = None,
    *,
    name: str | None = None,
    scopes: Sequence[str] = (),
    vins: Sequence[str] = (),
) -> None:
    """Keep a key, unless it was kept before: one that was revoked stays so."""
    row = {
        "key_hash": key_hash,
        "principal": principal,
        "source": source.value,
        "created_at": at,
        "expires_at": expires_at,
        "name": name,
        "scopes": " ".join(scopes) or None,
        "vins": " ".join(vins) or None,
    }
    add_if_new(connection, keys, row)


def issue_key(connection: Connection, new: NewApiKey, by: str, at: datetime) -> ApiKey:
    """Keep a key that nobody had before, with its audit row; its time begins now."""
    expires_at = at + timedelta(seconds=new.valid_seconds)
    add_key(
        connection,
        new.key_hash,
        new.principal,
        new.source,
        at,
        expires_at,
        name=new.name,
        scopes=new.scopes,
        vins=new.vins,
    )
    write_audit(connection, "API_KEY_ISSUED", by=by, at=at, principal=new.principal, named=new.key_id)
    return ApiKey(new.key_id, new.principal, at, expires_at, None, new.name, new.source, new.scopes, new.vins)


def name_scope(connection: Connection, key_hash: bytes, scopes: Sequence[str]) -> None:
    """Give a key its scope that was kept before there were any."""
    connection.execute(
        update(keys)
        .where(keys.c.key_hash == key_hash, keys.c.scopes.is_(None))
        .values(scopes=" ".join(scopes))
    )


def words_in(text: str | None) -> tuple[str, ...]:
    """Return the words of a column that holds some, with a space between."""
    return tuple((text or "").split())


def key_by_id(connection: Connection, key_id: str) -> ApiKey:
    """Return the key of this id. Raises ApiKeyUnknownError."""
    row = connection.execute(select(keys).where(_has_id(key_id))).first()
    if row is None:
        raise ApiKeyUnknownError(key_id)
    return _key_of(row)


def keys_of(connection: Connection, principal: str) -> list[ApiKey]:
    """Return all of an account's keys, oldest first."""
    query = select(keys).where(keys.c.principal == principal).order_by(keys.c.created_at, keys.c.key_hash)
    return [_key_of(row) for row in connection.execute(query)]


def revoke_key(
    connection: Connection, key_id: str, by: str, at: datetime, message_of: RightEndedMessage
) -> tuple[ApiKey, list[OutgoingMessage]]:
    """End the key with its audit row and its message. No message when it had ended before. Raises
    ApiKeyUnknownError.
    """
    ended = connection.execute(
        update(keys).where(_has_id(key_id), keys.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    key = key_by_id(connection, key_id)
    if ended.rowcount == 0:
        return key, []
    write_audit(connection, "API_KEY_REVOKED", by=by, at=at, principal=key.principal, named=key_id)
    messages = [message_of(EndedRight(EndedKind.CREDENTIAL, at, principal=key.principal, credential=key_id))]
    outbox.add(connection, messages)
    return key, messages


def expire_key(
    connection: Connection, key_id: str, ends: datetime, by: str, at: datetime, message_of: RightEndedMessage
) -> tuple[ApiKey, list[OutgoingMessage]]:
    """Move the key's end forward to `ends`, with its audit row; nothing when it has ended or ends before that.

    What was opened with it knows the end that it had: the message ends that. Raises ApiKeyUnknownError.
    """
    later = or_(keys.c.expires_at.is_(None), keys.c.expires_at > ends)
    moved = connection.execute(
        update(keys).where(_has_id(key_id), keys.c.revoked_at.is_(None), later).values(expires_at=ends)
    )
    key = key_by_id(connection, key_id)
    if moved.rowcount == 0:
        return key, []
    write_audit(connection, "API_KEY_SHORTENED", by=by, at=at, principal=key.principal, named=key_id)
    messages = [message_of(EndedRight(EndedKind.CREDENTIAL, at, principal=key.principal, credential=key_id))]
    outbox.add(connection, messages)
    return key, messages


def note_key_uses(connection: Connection, uses: Mapping[str, datetime]) -> None:
    """Keep when keys were used last, by their ids; what another replica saw later stays."""
    used_at = bindparam("used_at", type_=keys.c.last_used_at.type)
    statement = (
        update(keys)
        .where(
            keys.c.key_hash.between(bindparam("low"), bindparam("high")),
            or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < used_at),
        )
        .values(last_used_at=used_at)
    )
    for key_id, at in sorted(
        uses.items()
    ):  # in one order, so that replicas wait for each other and do not deadlock
        low, high = _hashes_of(key_id)
        connection.execute(statement, {"low": low, "high": high, "used_at": at})


def lock_account(
    connection: Connection, principal: str, reason: str, by: str, at: datetime, message_of: RightEndedMessage
) -> tuple[Account, list[OutgoingMessage]]:
    """Lock it with its audit row and its message. Of one that is locked the new reason is kept with an audit row, and
    nothing when it says nothing new.
    """
    # What was asked of what was there before does not lift this.
    why = {"reason": reason, "restore_requested_by": None, "restore_requested_at": None}
    locked = {"locked_at": at, **why}
    if not add_if_new(connection, principals, {"principal": principal, **locked}):
        changed = connection.execute(
            update(principals)
            .where(principals.c.principal == principal, principals.c.locked_at.is_(None))
            .values(locked)
        )
        if changed.rowcount == 0:
            columns = principals.c
            is_new = or_(columns.reason.is_distinct_from(reason), columns.restore_requested_by.is_not(None))
            again = update(principals).where(columns.principal == principal, is_new).values(why)
            if connection.execute(again).rowcount:
                write_audit(connection, "ACCOUNT_LOCKED", by=by, at=at, principal=principal)
            row = connection.execute(select(principals).where(columns.principal == principal)).one()
            return Account(principal, row.locked_at, row.reason or ""), []
    write_audit(connection, "ACCOUNT_LOCKED", by=by, at=at, principal=principal)
    messages = [message_of(EndedRight(EndedKind.ACCOUNT, at, principal=principal))]
    outbox.add(connection, messages)
    return Account(principal, at, reason), messages


def is_stopped(connection: Connection, principal: str) -> bool:
    """Return whether the account is locked or restricted."""
    return connection.execute(_STATES_AMONG, {"named": [principal]}).first() is not None


def note_issuer_keys(
    connection: Connection, trusted: Iterable[str], at: datetime, message_of: RightEndedMessage
) -> list[OutgoingMessage]:
    """Keep which keys of the issuer are trusted; of those that are not any more the end is told, once."""
    trusted = set(trusted)
    known = set(connection.execute(select(issuer_keys.c.credential)).scalars())
    messages = []
    for credential in sorted(known - trusted):
        gone = connection.execute(delete(issuer_keys).where(issuer_keys.c.credential == credential))
        if gone.rowcount:
            messages.append(message_of(EndedRight(EndedKind.CREDENTIAL, at, credential=credential)))
    for credential in sorted(trusted - known):
        add_if_new(connection, issuer_keys, {"credential": credential, "seen_at": at})
    outbox.add(connection, messages)
    return messages


def barred(
    connection: Connection, questions: Sequence[GrantQuery], at: datetime
) -> tuple[set[str], set[str], Mapping[str, ApiKey]]:
    """Return the actors whose accounts are locked, and the API keys that are not good any more, of those that
    are named; the actors whose accounts are restricted; and the keys that are good, by their ids.

    No query for questions of people who ask for themselves with a token.
    """
    found: set[str] = set()
    restricted: set[str] = set()
    good: dict[str, ApiKey] = {}
    actors = {q.actor for q in questions if q.actor and q.actor != q.subject}
    if actors:
        for row in connection.execute(_STATES_AMONG, {"named": sorted(actors)}):
            (restricted if row.locked_at is None else found).add(row.principal)
    asked_with = sorted({q.credential for q in questions if q.credential.startswith(KEY_ID_PREFIX)})
    for begin in range(0, len(asked_with), _KEYS_AT_ONCE):
        some = asked_with[begin : begin + _KEYS_AT_ONCE]
        statement, bounds = _keys_with(len(some)), {}
        for number, key_id in enumerate(some):
            bounds[f"low{number}"], bounds[f"high{number}"] = _hashes_of(key_id)
        live = (key for key in map(_key_of, connection.execute(statement, bounds)) if key.is_live(at))
        good.update((key.key_id, key) for key in live)
        found.update(set(some) - good.keys())
    return found, restricted, good


def _has_id(key_id: str) -> ColumnElement[bool]:
    return has_key_id(keys.c.key_hash, key_id)


def has_key_id(key_hash: ColumnElement[bytes], key_id: str) -> ColumnElement[bool]:
    """Return whether a key's hash is of this id: the primary key finds it."""
    return key_hash.between(*_hashes_of(key_id))


def _hashes_of(key_id: str) -> tuple[bytes, bytes]:
    """Return the lowest and the highest hash with this id, which is the first half of it."""
    half = bytes.fromhex(key_id.removeprefix(KEY_ID_PREFIX))
    return half + bytes(len(half)), half + b"\xff" * len(half)


@cache
def _keys_with(count: int) -> Select[Any]:
    """Return the keys with one of so many ids. Made once: it is asked for every order that is signed."""
    among = (keys.c.key_hash.between(bindparam(f"low{n}"), bindparam(f"high{n}")) for n in range(count))
    return select(keys).where(or_(*among))


def _key_of(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id_of(bytes(row.key_hash)),
        row.principal,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.name or "",
        Source(row.source),
        words_in(row.scopes),
        words_in(row.vins),
        row.last_used_at,
    )
