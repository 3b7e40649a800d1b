"""`python -m bench.bare_server PORT DATABASE`: the least that a durable answer costs.

One gRPC handler that does nothing but one SQLite commit of its own, synced to the disk, for each request.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from typing import Any

import grpc
import grpc.aio
import uvloop
from ecarus.remotecontrol.door.v1.door_command_pb2 import DoorCommand
from ecarus.remotecontrol.door.v1.door_command_service_pb2 import UnlockDoorsRequest

_SERVICE = "ecarus.remotecontrol.door.v1.DoorCommandService"


async def serve(port: int, database: str) -> None:
    """Serve until SIGTERM."""
    connection = sqlite3.connect(database, isolation_level=None)  # every statement commits itself
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE request (body BLOB)",
    ):
        connection.execute(statement)

    async def unlock(request: UnlockDoorsRequest, _context: Any) -> DoorCommand:
        connection.execute("INSERT INTO request (body) VALUES (?)", (request.SerializeToString(),))
        return DoorCommand()

    handler = grpc.unary_unary_rpc_method_handler(
        unlock,
        request_deserializer=UnlockDoorsRequest.FromString,
        response_serializer=DoorCommand.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE, {"UnlockDoors": handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(None)
    connection.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
