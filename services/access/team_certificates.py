"""Who is a team: asked again with every request, because Envoy looks at a certificate only when a connection begins."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from services.runtime.policy import SPIFFE

if TYPE_CHECKING:
    from services.runtime.workload import Workloads

_TEAM = SPIFFE + "team/"


class TeamCertificates:
    """Knows teams by their certificates, revoked ones excepted."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def is_team(self, certificate: str) -> bool:
        """Whether this certificate (PEM, URL-encoded), which Envoy has verified, is a team's and not revoked."""
        workload = self._workloads.read(unquote_to_bytes(certificate))
        if workload is None or not workload.uri.startswith(_TEAM):
            return False
        return not self._workloads.is_revoked(workload)
