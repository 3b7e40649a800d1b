"""What every RPC needs: a table that fails closed, at start and at run time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPIFFE = "spiffe://ecarus/"
EDGE = SPIFFE + "edge"
OPERATOR = SPIFFE + "operator"
"""Whoever has this certificate is an operator: it opens what operators do, and nothing else."""

_SERVING = re.compile(re.escape(SPIFFE) + r"(edge|(room|team)/[A-Za-z0-9._-]+|team/operator/[A-Za-z0-9._-]+)")


def room(name: str) -> str:
    """The identity of a room's certificate."""
    return f"{SPIFFE}room/{name}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an RPC.

    `peers` are the workloads, by the SPIFFE URI of their certificate; with `and_below` also those whose URI begins
    with one of these and a slash. With an `action`, the caller must
    also hold a capability that allows it on the request's VIN. `mutates` says that an RPC cut short may
    have had its effect.
    """

    peers: frozenset[str]
    action: str | None = None
    mutates: bool = False
    open_to_any_workload: bool = False
    and_below: bool = False

    def admits(self, peer: str) -> bool:
        """Whether this workload may call it."""
        if peer in self.peers:
            return True
        if self.open_to_any_workload:
            return may_look(peer)
        return self.and_below and any(peer.startswith(f"{each}/") for each in self.peers)


Policy = dict[str, Rule]

STANDARD: Policy = {
    method: Rule(peers=frozenset(), open_to_any_workload=True)
    for method in (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/List",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    )
}
"""Health and reflection: for the edge, rooms and teams, and about no vehicle."""


def may_look(peer: str) -> bool:
    """Whether the peer may ask for health and reflection. A vehicle and an operator may not."""
    return _SERVING.fullmatch(peer) is not None


def through_the_edge(action: str, *, mutates: bool = False) -> Rule:
    """An RPC for the public: it comes through Envoy and needs a capability for `action`."""
    return Rule(peers=frozenset({EDGE}), action=action, mutates=mutates)


def between_rooms(*names: str) -> Rule:
    """An RPC for these rooms only."""
    return Rule(peers=frozenset(room(name) for name in names))


def for_operators(*, mutates: bool = False) -> Rule:
    """An RPC for operators only."""
    return Rule(peers=frozenset({OPERATOR}), mutates=mutates)


def complete(policy: Mapping[str, Rule], methods: Iterable[str]) -> None:
    """Raise ValueError unless `policy` has a line for each of `methods` and no other."""
    served = set(methods)
    missing, surplus = sorted(served - policy.keys()), sorted(policy.keys() - served)
    if missing or surplus:
        raise ValueError(f"policy: no line for {missing}; lines for nothing {surplus}")
