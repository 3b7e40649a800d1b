"""Everything that the OpenAPI document has, asked for by schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.tokens import EMPLOYEES
from tests.support.app import SAMPLE
from tests.support.described_answers import DOCUMENT

if TYPE_CHECKING:
    from tests.support.running_mesh import Mesh

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
CHECKS = "all"
AT_MOST_SECONDS = 3_000
"""Far above what it takes; the test's own limit is nearer."""
STREAMS = {"streamDoorUpdates"}
"""What does not end: tests/system/test_event_streams.py has it."""
OWNER, GIVER, SELLER, TAKER = "user-123", "giver-1", "seller-1", "taker-1"
AGENT, EMPLOYEE, FLEETING = "agent-7", "alice", "fleeting-1"
OWNED = {"KMHSH81C7LU700001": GIVER, "KMHSH81C7LU700002": SELLER}
"""Vehicles whose rights are given, ended and handed over (schemathesis.toml), and who owns them before that."""
ABOUT_RIGHTS = {
    *("severAccess", "endGrant", "narrowGrant", "suspendGrant", "resumeGrant"),
    *("giveGrant", "listGrants", "getGrant", "getSeverance"),
}
OF_EMPLOYEES = {
    *("listSecurityCases", "acknowledgeSecurityCase"),
    *("restrictPrincipal", "lockPrincipal", "restorePrincipal"),
    *("getFleetFailures", "getFleetFailuresTable"),
}
OF_A_PERSON = {
    *("requestDataExport", "getDataExport", "streamDataExport"),
    *("requestErasure", "getErasure", "cancelErasure"),
    *("listConsents", "getConsent", "giveConsent", "withdrawConsent"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What schemathesis says: its report (JSON), and its words; `accepted` are the operations that were answered with
    success at least once.
    """

    report: dict[str, Any]
    words: str
    accepted: frozenset[str]


def bearers(mesh: Mesh) -> dict[str, str]:
    """Who asks for which operation."""
    employee = mesh.token(EMPLOYEE, client=EMPLOYEES, scope="security.watch security.act fleet.failures.read")
    agent = mesh.token(OWNER, vin=SAMPLE, actor=AGENT, scope=None)
    return {
        "default": mesh.token(OWNER),
        **dict.fromkeys(ABOUT_RIGHTS, mesh.token(GIVER)),
        **dict.fromkeys(OF_EMPLOYEES, employee),
        **dict.fromkeys(OF_A_PERSON, mesh.token(FLEETING)),
        **dict.fromkeys(("transferOwnership", "restoreAccount"), mesh.token(SELLER)),
        "acceptGrant": mesh.token(TAKER),
        "getCase": agent,
    }


def ask_everything(
    base_url: str, bearers: dict[str, str], folder: Path, examples: int, seed: int = 1
) -> Outcome:
    """Have schemathesis ask for all operations but STREAMS, with so many random examples of each and each mode."""
    report, accepted = folder / "report.json", folder / "accepted.txt"
    accepted.write_text("")
    environment = {
        **os.environ,
        "SCHEMATHESIS_FOLDER": str(FOLDER),
        "SCHEMATHESIS_ACCEPTED": str(accepted),
        "SCHEMATHESIS_BEARERS": json.dumps(bearers),
        "NO_COLOR": "1",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", FOLDER / "schemathesis.toml"),
            *("run", DOCUMENT, "--url", base_url, "--checks", CHECKS),
            *(word for name in sorted(STREAMS) for word in ("--exclude-operation-id", name)),
            *("--max-examples", str(examples), "--seed", str(seed)),
            *("--report", "json", "--report-json-path", report),
        ],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=AT_MOST_SECONDS,
        check=False,
    )
    if not report.exists():
        raise AssertionError(f"schemathesis did not run: {done.stdout}")
    names = frozenset(accepted.read_text().split())
    return Outcome(json.loads(report.read_text()), done.stdout, names)
