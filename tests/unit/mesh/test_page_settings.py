"""What the gateway of the sandbox is told about the portal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.edge_config import PROBLEM_TYPES
from mesh.page_settings import catalogue, page_settings, types_of_problems
from mesh.ports import Ports
from mesh.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_documentation_is_named_where_it_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports, sandbox = Ports(20_000), Sandbox(tmp_path / "data")
    sandbox.push_senders.ensure(ports)
    monkeypatch.setattr("mesh.page_settings.DOCS", tmp_path / "site")
    assert "DOORS_PAGES_DOCS" not in page_settings(ports, sandbox, {}, own_issuer=False)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").touch()
    told = page_settings(ports, sandbox, {}, own_issuer=False)
    assert told["DOORS_PAGES_DOCS"] == str(tmp_path / "site")


def test_types_lead_to_the_portal_s_own_catalogue() -> None:
    base = catalogue(Ports(20_000))
    assert base == f"http://localhost:{Ports(20_000).http}/portal/problems/"
    assert types_of_problems(Ports(20_000), {}, has_pages=True) == base
    assert types_of_problems(Ports(20_000), {}, has_pages=False) == PROBLEM_TYPES
    named = {"DOORS_PROBLEM_TYPE_BASE": "https://api.example.com/problems/"}
    assert types_of_problems(Ports(20_000), named, has_pages=True) == named["DOORS_PROBLEM_TYPE_BASE"]


def test_the_events_document_names_the_sandbox_s_own_port(tmp_path: Path) -> None:
    ports, sandbox = Ports(20_000), Sandbox(tmp_path / "data")
    sandbox.push_senders.ensure(ports)
    told = page_settings(ports, sandbox, {}, own_issuer=False)
    assert told["DOORS_PAGES_API_ORIGIN"] == f"http://localhost:{ports.http}"
