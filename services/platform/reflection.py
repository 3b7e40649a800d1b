"""What server reflection tells: the services that are called through the edge, and what their messages are made of.

Teams reach reflection with a certificate alone. What is for operators and other services is not listed to them, and is
not found by name either: a descriptor says what there is to attack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health as grpc_health
from grpc_reflection.v1alpha import reflection

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc
    from google.protobuf.descriptor import FileDescriptor

    from services.platform.policy import Policy

_STANDARD = (grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)


def public_services(services: Iterable[str], policy: Policy) -> list[str]:
    """Return those of `services` that have an RPC which users call through the edge, on a resource of theirs."""
    return [
        name
        for name in services
        if any(policy[path].action for path in policy if path.startswith(f"/{name}/"))
    ]


def enable(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Have `server` answer reflection with these services, health and reflection itself, and with nothing else."""
    names = (*services, *_STANDARD)
    reflection.enable_server_reflection(names, server, pool=_pool_of(names))


def _pool_of(services: Iterable[str]) -> descriptor_pool.DescriptorPool:
    """Return a pool with the files of these services and what they import."""
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in added:
            return
        added.add(file.name)
        for needed in file.dependencies:
            add(needed)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        pool.Add(proto)

    known = descriptor_pool.Default()
    for name in services:
        add(known.FindServiceByName(name).file)
    return pool
