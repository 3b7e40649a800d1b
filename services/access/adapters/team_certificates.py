"""Who is a team: asked again with every request, because Envoy looks at a certificate only when a connection begins."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from services.platform.policy import SPIFFE
from services.platform.workload import certificate_name

if TYPE_CHECKING:
    from services.platform.workload import Workloads

_TEAM = SPIFFE + "team/"


class TeamCertificates:
    """Knows teams by their certificates, revoked ones excepted."""

    def __init__(self, workloads: Workloads) -> None:
        self._workloads = workloads

    def name_of(self, certificate: str) -> str | None:
        """Return the name of this certificate (PEM, URL-encoded), which Envoy has verified, if it is a team's and not
        revoked.
        """
        workload = self._workloads.read(unquote_to_bytes(certificate))
        if workload is None or not workload.uri.startswith(_TEAM) or self._workloads.is_revoked(workload):
            return None
        return certificate_name(workload.certificate)
