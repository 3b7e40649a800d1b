"""The check of parts finds an import that an inner part must not have, for the types' sake too, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.check_parts import findings

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, name: str, text: str) -> None:
    path = root / "services" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("door/domain.py", "import sqlalchemy"),
        ("door/domain/rules.py", "from services.platform import errors"),
        ("door/domain/rules.py", "from services.door.usecases import open_door"),
        ("door/domain/rules.py", "from services.window.domain import pane"),
        ("door/domain/rules.py", "from ..usecases import open_door"),
        ("door/domain.py", "if TYPE_CHECKING:\n    from ecarus.remotecontrol.door.v1 import door_pb2"),
        ("door/usecases.py", "def late():\n    import structlog"),
        ("door/usecases/opening.py", "from services.door.adapters import store"),
    ],
)
def test_what_an_inner_part_must_not_import_is_found(tmp_path: Path, name: str, line: str) -> None:
    write(tmp_path, name, line)
    assert len(findings(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "door/domain/rules.py",
            "from __future__ import annotations\nimport json\nfrom collections.abc import Set",
        ),
        (
            "door/domain/rules.py",
            "import re\nfrom services.door.domain.locks import LOCKED",
        ),
        (
            "door/usecases/opening.py",
            "from services.door.domain import locks\nimport services.door.usecases",
        ),
        ("door/adapters/store.py", "import sqlalchemy"),
        ("door/__main__.py", "from services.platform import boot"),
    ],
)
def test_what_it_may_import_is_not(tmp_path: Path, name: str, line: str) -> None:
    write(tmp_path, name, line)
    assert findings(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "clock"),
    [
        ("from datetime import datetime\nAT = datetime.now()", "datetime.now"),
        ("import time\ndef f(clock=time.monotonic): ...", "time.monotonic"),
        ("from time import time_ns as ns", "time.time_ns"),
    ],
)
def test_a_second_reader_of_the_clocks_is_found(tmp_path: Path, line: str, clock: str) -> None:
    write(tmp_path, "platform/clock.py", line)
    assert findings(tmp_path) == []
    write(tmp_path, "door/adapters/store.py", line)
    assert [each.rpartition(" ")[2] for each in findings(tmp_path)] == [clock]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def masked_vin(): ...", ["vin"]),
        ("class VehicleNotFound: ...", ["Vehicle"]),
        ('NOT_FOUND = "VEHICLE_NOT_FOUND"', ["VEHICLE"]),
        ('"""It knows nothing of doors."""', ["doors"]),
        ("from ecarus.remotecontrol.door.v1 import door_pb2", ["door", "door"]),
        ('PREFIX = "DOORS_"  # as in DOORS_NATS_URL', []),
        ("rows.order_by(carried)  # in order, under the lock of vindication", []),
    ],
)
def test_a_word_of_the_product_in_the_platform_is_found(tmp_path: Path, text: str, words: list[str]) -> None:
    write(tmp_path, "platform/errors.py", text)
    assert [each.rpartition(" ")[2] for each in findings(tmp_path)] == words
    write(tmp_path, "platform/errors.py", "")
    write(tmp_path, "product.py", text)
    write(tmp_path, "door/adapters/store.py", text)
    assert findings(tmp_path) == []
