"""What a path's escapes stand for must be text, on every route of the API: a message cannot hold anything else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from services.access.adapters.rest_request import require_path
from services.platform.errors import Refusal
from tests.unit.access.admission_answers import VIN, denied

ROOT = Path(__file__).parents[3]
_PARAMETER = re.compile(r"\{(\w+)\}")
_METHODS = ("get", "put", "post", "delete", "patch")
NO_TEXT = ["%FF", "%F0%9F", "%ED%A0%80", "%C0%AF", "a%80b", "%e4", "%", "%4", "%zz"]


def places() -> list[tuple[str, str]]:
    """Every method of the API and its path, once for each parameter, which is `{}` there."""
    paths = json.loads((ROOT / "gen/openapi.json").read_text())["paths"]
    found = []
    for template, methods in paths.items():
        for parameter in _PARAMETER.findall(template):
            marked = template.replace(f"{{{parameter}}}", "\0")
            path = _PARAMETER.sub("x", marked.replace("{vin}", VIN)).replace("\0", "{}")
            found += [(method.upper(), path) for method in _METHODS if method in methods]
    return found


def test_there_are_parameters_beside_the_vehicle() -> None:
    assert {"/api/v1/remotecontrol/webhooks/{}"} < {path for _, path in places()}


@pytest.mark.parametrize(("method", "path"), places())
async def test_what_is_no_text_is_refused_on_every_route(house: Any, method: str, path: str) -> None:
    for escapes in NO_TEXT:
        asked = house.request(path.replace("{}", escapes), method=method)
        made = await denied(house, asked, "INVALID_REQUEST")
        assert [violation.field for violation in made.refusal.violations] == ["(path)"]


@pytest.mark.parametrize("path", ["/a", "/a/%41", "/%C3%A9", "/%F0%9F%98%80", "/%2F", "/%00", "/%25zz"])
def test_what_is_text_passes(path: str) -> None:
    require_path(path)


@pytest.mark.parametrize("escapes", NO_TEXT)
def test_what_is_not_does_not(escapes: str) -> None:
    with pytest.raises(Refusal):
        require_path(f"/a/{escapes}")
