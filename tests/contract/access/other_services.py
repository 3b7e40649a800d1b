"""The services beside access, played by a test: what they keep about people, and what stands in the way."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from sqlalchemy import delete, select, update

from services.access.adapters.store.person_rows import erasures
from services.access.adapters.store.tables import audit_outbox, outbox
from services.access.domain.personal_data import SERVICE_AWAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path


@dataclass
class OtherServices:
    """usecases.personal_data.OtherServices and usecases.holds.ToldServices: one service, `command`."""

    names: tuple[str, ...] = ("command",)
    stands: str = ""
    stands_later: str = ""
    """From the moment that the erasure has begun."""
    is_away: bool = False
    kept: list[dict[str, Any]] = field(default_factory=list)
    erased: list[tuple[str, str]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    erasures: Any = None
    database: Any = None
    before_answer: Callable[[], Awaitable[Any]] | None = None
    """What happens while it is asked whether something is in the way."""
    path: Path | None = None

    @property
    def sources(self) -> dict[str, Callable[[str], AsyncIterator[tuple[str, str]]]]:
        return {"command": self.rows}

    async def rows(self, person: str) -> AsyncIterator[tuple[str, str]]:
        if self.is_away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
        for row in self.kept:
            if row["user_id"] == person:
                yield "history", json.dumps(row)

    async def look(self, _name: str, _person: str, _erasure_id: str) -> str:
        if self.before_answer is not None:
            await self.before_answer()
        return SERVICE_AWAY if self.is_away else self.stands

    async def erase(self, _name: str, person: str, erasure_id: str) -> str:
        if self.is_away or self.stands_later:
            return self.stands_later or SERVICE_AWAY
        self.erased.append((person, erasure_id))
        return ""

    async def tell_holds(self, holds: Sequence[Any]) -> list[str]:
        if self.is_away:
            return ["command"]
        self.held = [each.asked.hold_id for each in holds]
        return []

    async def all_sent(self) -> None:
        """As if the relays had brought everything to the broker and to the audit ledger."""
        for statement in (
            update(outbox.table).values(sent_at=datetime.now(UTC)),
            delete(audit_outbox.table),
        ):
            await self.database.write(lambda c, statement=statement: c.execute(statement) and None)

    async def erasures_now(self) -> Sequence[Any]:
        """The rows of erasures."""
        return list(await self.database.read(lambda c: c.execute(select(erasures)).all()))

    async def step(self) -> None:
        """Bring erasures as far as they go, once everything that waited has left."""
        await self.all_sent()
        await self.erasures.look()

    def remains_of(self, words: str) -> list[str]:
        """The files of access's database that hold these words."""
        assert self.path is not None
        files = [each for each in self.path.parent.iterdir() if each.name.startswith(self.path.name)]
        return [each.name for each in files if words.encode() in each.read_bytes()]
