"""A service's database and log in a process of its own, for a disk that a test fills.

Reads one word a line from standard input and answers each with one line: `write` with `kept` or the
exception's name, `count` with the number of rows. Ends with standard input.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import structlog
from sqlalchemy import Column, Connection, MetaData, String, Table, func, insert, select

from services.platform import logs
from services.platform.database import open_database
from services.platform.storage import StorageUnavailableError

METADATA = MetaData()
ROWS = Table("row", METADATA, Column("name", String(40), primary_key=True), Column("text", String))


def add(connection: Connection) -> None:
    connection.execute(insert(ROWS).values(name=str(uuid.uuid4()), text="x" * 20_000))


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(ROWS)).scalar_one())


async def main(url: str) -> None:
    database = await open_database(url)
    await database.write(METADATA.create_all)
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        try:
            async with asyncio.timeout(60):
                if word == "count":
                    answer = str(await database.read(count))
                else:
                    # Beside each other, as requests are: they share a commit, and its failure.
                    together = [database.write(add) for _ in range(4)]
                    ends = await asyncio.gather(*together, return_exceptions=True)
                    names = {"kept" if end is None else type(end).__name__ for end in ends}
                    answer = " ".join(sorted(names))
        except (StorageUnavailableError, TimeoutError) as error:
            answer = type(error).__name__
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    await database.close()
    structlog.get_logger().info("room_ends")


if __name__ == "__main__":
    logs.configure("INFO", "full-disk")
    asyncio.run(main(sys.argv[1]))
