"""Everything that the OpenAPI document has, asked for through the edge with what it allows and with what it does not.

`make test-schema EXAMPLES=200 SEED=7` asks for more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ecarus.remotecontrol.access.v1 import grant_pb2

from tests.support.described_answers import document
from tests.support.openapi.every_operation import OWNED, STREAMS, ask_everything, bearers
from tests.support.running_mesh import running_mesh
from tests.system.test_rights import grant, operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running_mesh import Mesh

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3"))
SEED = int(os.environ.get("SCHEMA_SEED", "1"))
OPERATIONS = {
    operation["operationId"]: (path, operation)
    for path, operations in document()["paths"].items()
    for operation in operations.values()
}
OF_THEMSELVES = ("{vin}", "{caseNumber}", "{purpose}")
"""What schemathesis.toml knows values of."""
NEEDS_MORE = {
    "giveConsent": "the digest of the text that is asked about now: test_consents.py",
    "approveEmergency": "another agent's emergency: test_step_up.py",
    "cancelCommand": "a command of the moment before: test_doors.py",
    "giveGrant": "a person who may get a right: test_given_rights.py",
}


@pytest.fixture(scope="module")
def own_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of its own: in the end rights have ended, accounts are locked and people are about to be erased."""
    with running_mesh(
        tmp_path_factory.mktemp("doors"),
        DOORS_ERASURE_WAITING_SECONDS="86400",
        DOORS_ABNORMAL_ACCESS="FAILED_SIGN_INS=20/600:ALERT",
    ) as mesh:
        with operator(mesh) as access:
            for vin, owner in OWNED.items():
                grant(access, f"own-{owner}", owner, vin=vin, role=grant_pb2.GRANT_ROLE_OWNER)
        yield mesh


def test_every_operation_is_as_its_document_says(
    own_mesh: Mesh, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No 5xx, nothing undescribed, nothing accepted that is not allowed, or without somebody who may."""
    edge = f"http://127.0.0.1:{own_mesh.ports.http}"
    outcome = ask_everything(edge, bearers(own_mesh), tmp_path_factory.mktemp("asked"), EXAMPLES, SEED)
    report = outcome.report
    assert (report["failures"], report["errors"]) == ([], []), outcome.words
    assert report["complete"], outcome.words
    asked = report["operations"]
    assert (asked["tested"], asked["total"]) == (len(OPERATIONS) - len(STREAMS), len(OPERATIONS))
    assert {phase["status"] for phase in report["phases"].values()} == {"success"}
    simple = {
        name
        for name, (path, _) in OPERATIONS.items()
        if path.count("{") == sum(path.count(each) for each in OF_THEMSELVES)
    }
    assert simple - outcome.accepted - STREAMS <= NEEDS_MORE.keys()


def test_only_what_does_not_end_is_left_out() -> None:
    endless = {
        name
        for name, (_, operation) in OPERATIONS.items()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    }
    assert endless == STREAMS
