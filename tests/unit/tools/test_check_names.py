"""The check of names finds what it is there for, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def check() -> Any:
    spec = importlib.util.spec_from_file_location("check_names", ROOT / "tools" / "check_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_two_classes_of_one_name_are_found(check: Any, tmp_path: Path) -> None:
    root = tree(tmp_path, services__a="class Account: ...", mesh__b="x = 1\nclass Account: ...")
    assert check.findings(root, ("services", "mesh"), ()) == [
        "Account: 2 classes share this name: services/a.py:1, mesh/b.py:2"
    ]


def test_two_within_one_service_are_found_too(check: Any, tmp_path: Path) -> None:
    root = tree(tmp_path, services__a="class Mode: ...", services__b="if True:\n    class Mode: ...")
    assert len(check.findings(root, ("services",), ("Mode",))) == 1


def test_a_listed_pair_of_cloud_and_vehicle_may_share_a_name(check: Any, tmp_path: Path) -> None:
    root = tree(tmp_path, services__a="class Mode: ...", vehicle__b="class Mode: ...")
    assert check.findings(root, ("services", "vehicle"), ("Mode",)) == []
    assert len(check.findings(root, ("services", "vehicle"), ())) == 1


def test_a_third_class_of_a_pair_is_one_too_many(check: Any, tmp_path: Path) -> None:
    root = tree(
        tmp_path, services__a="class Mode: ...", vehicle__b="class Mode: ...", protocol__c="class Mode: ..."
    )
    assert check.findings(root, ("services", "vehicle", "protocol"), ("Mode",)) != []


def test_a_pair_that_is_none_any_more_leaves_the_list(check: Any, tmp_path: Path) -> None:
    root = tree(tmp_path, services__a="class Mode: ...")
    assert check.findings(root, ("services",), ("Mode",)) == [
        "Mode: listed as a pair of cloud and vehicle, but is none"
    ]


def test_private_and_nested_classes_may_be_called_anything(check: Any, tmp_path: Path) -> None:
    root = tree(tmp_path, services__a="class _Seen: ...\nclass Outer:\n    class Taken: ...")
    assert check.findings(root, ("services",), ()) == []


@pytest.mark.parametrize(
    "name",
    [
        "Taken",
        "Heard",
        "Signed",
        "Pending",
        "Waiting",
        "Which",
        "Wrong",
        "Away",
        "Later",
        "Believed",
        "Broken",
    ],
)
def test_a_participle_or_adjective_is_no_name(check: Any, name: str) -> None:
    assert check.is_no_noun(name)


@pytest.mark.parametrize(
    "name",
    [
        "Command",
        "Finding",
        "SignedOrder",
        "PendingGrant",
        "Settings",
        "Refusal",
        "Journal",
        "Outbox",
        "Token",
        "Deliveries",
    ],
)
def test_a_noun_is(check: Any, name: str) -> None:
    assert not check.is_no_noun(name)


def test_the_product_keeps_the_rule(check: Any) -> None:
    assert check.findings(ROOT) == []
