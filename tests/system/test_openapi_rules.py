"""The OpenAPI document by the rules of a linter that its readers use (@redocly/cli, where npm is there)."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.described_answers import DOCUMENT
from tests.support.npm import installed
from tests.support.openapi.every_operation import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINTER = "@redocly/cli@2.77.0"
pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], list[str]]:
    """Return what is wrong with a document: rule and message of each."""
    folder = tmp_path_factory.mktemp("linter")
    program = installed(folder, LINTER) / ".bin" / "redocly"
    asked = (
        program,
        "lint",
        "--config",
        FOLDER / "redocly.yaml",
        "--format",
        "json",
        "--max-problems",
        "1000",
    )
    quiet = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}

    def problems(document: Path) -> list[str]:
        done = subprocess.run(
            [*asked, document], capture_output=True, text=True, check=False, env=quiet, cwd=folder
        )
        assert done.stdout, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["problems"]
        return [f"{each['ruleId']} {each['location'][0].get('pointer')}: {each['message']}" for each in found]

    return problems


def test_the_document_keeps_the_rules(lint: Callable[[Path], list[str]]) -> None:
    assert lint(DOCUMENT) == []


def test_one_that_does_not_is_found_out(lint: Callable[[Path], list[str]], tmp_path: Path) -> None:
    document = json.loads(DOCUMENT.read_text())
    document["tags"][0].pop("description")
    lock = document["paths"]["/api/v1/remotecontrol/vehicles/{vin}/door/lock"]["post"]
    lock["requestBody"]["content"]["application/json"]["example"]["targetDoors"] = "all"
    worse = tmp_path / "openapi.json"
    worse.write_text(json.dumps(document))
    assert {each.split()[0] for each in lint(worse)} == {"tag-description", "no-invalid-media-type-examples"}
