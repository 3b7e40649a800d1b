"""The whole mesh with the tokens of an issuer that is not its own, found by discovery, as in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.app import App, eventually
from tests.support.loopback_issuer import issuer_beside
from tests.support.running_mesh import running_mesh

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.system]
AUDIENCE = "doors.example"


@pytest.mark.timeout(240)
def test_the_mesh_takes_the_tokens_of_another_issuer_and_follows_its_keys(tmp_path: Path) -> None:
    with issuer_beside() as issuer:
        issuer.rotate("rsa", "PS256")
        settings = {
            "DOORS_TOKEN_DISCOVERY_URL": issuer.metadata_url,
            "DOORS_TOKEN_ISSUER": issuer.url,
            "DOORS_TOKEN_AUDIENCE": AUDIENCE,
            "DOORS_TOKEN_ALGORITHMS": "PS256,ES256",
            "DOORS_TOKEN_CLIENTS": "web=WEB",
            "DOORS_TOKEN_KEYS_FETCH_SECONDS": "2",
        }
        with running_mesh(tmp_path / "doors", **settings) as mesh:
            first = App(mesh, bearer=issuer.token(audience=AUDIENCE))
            assert eventually(lambda: first.get("config").status_code == 200)
            # The mesh's own issuer is none of this one's.
            own = App(mesh, bearer=mesh.token("user-123"))
            assert own.get("config").json()["code"] == "TOKEN_INVALID"
            elsewhere = App(mesh, bearer=issuer.token(audience="another-service"))
            assert elsewhere.get("config").json()["code"] == "TOKEN_INVALID"

            issuer.rotate("next", "ES256")
            second = App(mesh, bearer=issuer.token(audience=AUDIENCE))
            assert eventually(lambda: second.get("config").status_code == 200)
            assert eventually(lambda: first.get("config").status_code == 401)

            # While it answers nonsense, what is known goes on.
            asked = len(issuer.paths)
            issuer.answers["/keys"] = (500, b"")
            assert eventually(lambda: len(issuer.paths) > asked + 2)
            assert second.get("config").status_code == 200
