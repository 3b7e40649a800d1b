"""What is kept of accounts, for operators who look: their locks, grants and API keys side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, union

from services.access.adapters.store.abnormal import account_of
from services.access.adapters.store.accounts import keys_of
from services.access.adapters.store.grants import grants_of, not_over
from services.access.adapters.store.tables import grants, keys, principals
from services.access.domain.accounts import Account
from services.access.domain.overviews import AccountOverview, AccountSummary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select, Table


def overview(connection: Connection, principal: str, at: datetime) -> AccountOverview:
    """Return what is kept of this account; nothing of most."""
    row = connection.execute(select(principals).where(principals.c.principal == principal)).first()
    account = Account(principal) if row is None else account_of(row)
    every, api_keys = grants_of(connection, principal), keys_of(connection, principal)
    live = [grant for grant in every if grant.is_live(at)]
    return AccountOverview(account, live, api_keys, known=row is not None or bool(every or api_keys))


def summaries(
    connection: Connection, at: datetime, *, after: str, limit: int, locked_only: bool
) -> list[AccountSummary]:
    """Return the first `limit` accounts whose principals come after this one, in order."""
    names = connection.execute(_locked(after, limit) if locked_only else _named(after, limit)).scalars().all()
    if not names:
        return []
    locks = {
        row.principal: row
        for row in connection.execute(select(principals).where(principals.c.principal.in_(names)))
    }
    of_grants = _live(connection, grants, names, not_over(at))
    of_keys = _live(connection, keys, names, or_(keys.c.expires_at.is_(None), keys.c.expires_at > at))
    return [
        AccountSummary(
            account_of(locks[name]) if name in locks else Account(name),
            of_grants.get(name, 0),
            of_keys.get(name, 0),
        )
        for name in names
    ]


def _locked(after: str, limit: int) -> Select[Any]:
    return (
        select(principals.c.principal)
        .where(principals.c.principal > after, principals.c.locked_at.is_not(None))
        .order_by(principals.c.principal)
        .limit(limit)
    )


def _named(after: str, limit: int) -> Select[Any]:
    # Each table gives the first of its own, in order, so that no page reads more than a page of each.
    firsts = [
        select(table.c.principal)
        .where(table.c.principal > after)
        .distinct()
        .order_by(table.c.principal)
        .limit(limit)
        .subquery()
        for table in (principals, grants, keys)
    ]
    every = union(*(select(first.c.principal) for first in firsts)).subquery()
    return select(every.c.principal).order_by(every.c.principal).limit(limit)


def _live(
    connection: Connection, table: Table, names: Sequence[str], not_expired: ColumnElement[bool]
) -> dict[str, int]:
    query = (
        select(table.c.principal, func.count().label("live"))
        .where(table.c.principal.in_(names), table.c.revoked_at.is_(None), not_expired)
        .group_by(table.c.principal)
    )
    return {row.principal: row.live for row in connection.execute(query)}
