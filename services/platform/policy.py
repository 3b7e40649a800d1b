"""What every RPC needs, read from the contract's own options; it fails closed, at start and at run time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecarus.remotecontrol.options.v1 import options_pb2
from google.protobuf import descriptor_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.descriptor import MethodDescriptor

SPIFFE = "spiffe://ecarus/"
EDGE = SPIFFE + "edge"
OPERATOR = SPIFFE + "operator"
"""Whoever has this certificate is an operator: it opens what operators do, and nothing else."""
NAMED_OPERATOR = SPIFFE + "team/operator"
"""An operator with a name of their own behind it, so that two can be told apart."""

_SERVING = re.compile(re.escape(SPIFFE) + r"(edge|(room|team)/[A-Za-z0-9._-]+|team/operator/[A-Za-z0-9._-]+)")


def service(name: str) -> str:
    """Return the identity of a service's certificate."""
    return f"{SPIFFE}room/{name}"


@dataclass(frozen=True, slots=True)
class RpcPolicy:
    """Who may call an RPC.

    `peers` are the workloads, by the SPIFFE URI of their certificate; with `and_below` also every operator with a
    name of their own. With an `action`, the caller must also hold a capability that allows it on the request's
    resource; on none, where it is `without_resource`; or a session where it `needs_session`. `mutates` says that an
    RPC cut short may have had its effect, `may_wait` that its caller may ask it to wait for the end of what it began.
    """

    peers: frozenset[str]
    action: str | None = None
    mutates: bool = False
    open_to_any_workload: bool = False
    and_below: bool = False
    without_resource: bool = False
    may_wait: bool = False
    needs_session: bool = False

    def admits(self, peer: str) -> bool:
        """Return whether this workload may call it."""
        if peer in self.peers:
            return True
        if self.open_to_any_workload:
            return may_look(peer)
        return self.and_below and peer.startswith(f"{NAMED_OPERATOR}/")


Policy = dict[str, RpcPolicy]

STANDARD: Policy = {
    method: RpcPolicy(peers=frozenset(), open_to_any_workload=True)
    for method in (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    )
}
"""Health and reflection: for the edge, services and teams, and about no resource."""


def may_look(peer: str) -> bool:
    """Return whether the peer may ask for health and reflection: the edge, services and teams; an operator may not."""
    return _SERVING.fullmatch(peer) is not None


def policy_of(service: str) -> Policy:
    """Return the rule of each RPC of the protobuf service of this full name, as the RPC's `access` option says.

    Raise ValueError, naming the RPC, where it has none, or one that names neither an action nor who may call, or both.
    """
    methods = descriptor_pool.Default().FindServiceByName(service).methods
    return {f"/{service}/{method.name}": _rule_of(method) for method in methods}


def _rule_of(method: MethodDescriptor) -> RpcPolicy:
    options = method.GetOptions()
    access = options.Extensions[options_pb2.access]
    peers = [service(name) for name in access.services]
    peers += [f"{SPIFFE}team/{name}" for name in access.teams]
    if access.operators == options_pb2.OPERATORS_ANY:
        peers.append(OPERATOR)
    elif access.operators == options_pb2.OPERATORS_NAMED:
        peers.append(NAMED_OPERATOR)
    if bool(access.action) == bool(peers):
        raise ValueError(f"{method.full_name}: its access option must name either an action or who may call")
    return RpcPolicy(
        peers=frozenset(peers or (EDGE,)),
        action=access.action or None,
        mutates=access.changes,
        may_wait=access.may_wait,
        needs_session=access.needs_session,
        and_below=access.operators == options_pb2.OPERATORS_NAMED,
        without_resource=access.about_caller or access.watches_people or access.needs_session,
    )


def complete(policy: Mapping[str, RpcPolicy], methods: Iterable[str]) -> None:
    """Raise ValueError unless `policy` has a line for each of `methods` and no other."""
    served = set(methods)
    missing, surplus = sorted(served - policy.keys()), sorted(policy.keys() - served)
    if missing or surplus:
        raise ValueError(f"policy: no line for {missing}; lines for nothing {surplus}")
