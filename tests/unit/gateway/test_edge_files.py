"""What can be said of envoy.yaml and edge.lua without running them for long."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ecarus.remotecontrol.door.v1.error_reason_pb2 import ErrorReason

from mesh.edge_config import PROBLEM_TYPES, ROOT, problem_types, render_edge, write_team_trust
from mesh.pki import Pki
from mesh.ports import Ports
from mesh.sandbox import IDENTITIES
from services.platform import errors
from services.platform.origins import allowlist_of
from tools import contract_blocks


@pytest.mark.parametrize(
    "origins", ["none", "https://app.example.com,https://b.example:8443,http://localhost:*"]
)
def test_envoy_accepts_the_configuration(tmp_path: Path, origins: str) -> None:
    pki = Pki(tmp_path, datetime.now(UTC))
    for identity in IDENTITIES:
        pki.ensure(identity)
    pki.ensure_revocations()
    write_team_trust(tmp_path)
    config = tmp_path / "envoy.yaml"
    config.write_text(
        render_edge(Ports(20_000), tmp_path, tmp_path / "admin.sock", origins=allowlist_of(origins))
    )
    envoy = Path(sys.executable).with_name("envoy")
    done = subprocess.run(
        [envoy, "--mode", "validate", "-c", config], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_code_is_in_the_closed_list() -> None:
    yaml = (ROOT / "envoy.yaml").read_text()
    lua = (ROOT / "gateway" / "edge.lua").read_text()
    codes = set(re.findall(r" code: ([A-Z_]+)", yaml)) | set(re.findall(r'\{ "([A-Z_]+)"', lua))
    assert "DEPENDENCY_UNAVAILABLE" in codes
    assert codes <= set(ErrorReason.keys())


def test_a_problem_s_type_is_its_code() -> None:
    yaml = (ROOT / "envoy.yaml").read_text()
    types = re.findall(r"\$\{PROBLEM_TYPES\}([a-z-]+)", yaml)
    codes = re.findall(r" code: ([A-Z_]+)", yaml)
    assert types == [code.lower().replace("_", "-") for code in codes]


def test_all_say_the_same_of_where_types_lead(tmp_path: Path) -> None:
    lua = (ROOT / "gateway" / "edge.lua").read_text()
    assert re.findall(r'local TYPE_BASE = "(.+)"', lua) == [PROBLEM_TYPES]
    assert PROBLEM_TYPES == errors.TYPE_BASE == contract_blocks.TYPE_BASE
    base = "https://api.example.com/portal/problems/"
    rendered = render_edge(Ports(20_000), tmp_path, tmp_path / "admin.sock", types=base)
    assert PROBLEM_TYPES not in rendered
    assert rendered.count(base) == 1 + (ROOT / "envoy.yaml").read_text().count('type: "${PROBLEM_TYPES}')


class TestWhereTypesLead:
    """DOORS_PROBLEM_TYPE_BASE."""

    def test_it_is_what_the_user_says_or_the_usual(self) -> None:
        base = "https://api.example.com:8443/docs/problems/"
        assert problem_types({}) == PROBLEM_TYPES
        assert problem_types({}, base) == base
        assert problem_types({"DOORS_PROBLEM_TYPE_BASE": base}, PROBLEM_TYPES) == base

    @pytest.mark.parametrize(
        "wrong",
        [
            "/portal/problems/",
            "https://api.example.com/problems",
            'https://api.example.com/"/',
            "https://api.example.com/${X}/",
            "https://api.example.com/%REQ(A)%/",
            "ftp://api.example.com/",
            f"https://api.example.com/{'a' * 256}/",
        ],
    )
    def test_what_is_no_such_url_stops_the_start(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="DOORS_PROBLEM_TYPE_BASE"):
            problem_types({"DOORS_PROBLEM_TYPE_BASE": wrong})
