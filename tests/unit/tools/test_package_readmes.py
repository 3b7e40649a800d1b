"""What the packages' pages tell an integrator: links, files and variables that are there for who has the package."""

from __future__ import annotations

import posixpath
import re
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.node import built_package
from tools import packages
from tools.contract_version import contract_version

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
VERSION = contract_version()
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
of_package = pytest.mark.parametrize("package", packages.PACKAGES, ids=lambda package: package.name)


def page(package: packages.Package) -> str:
    return (ROOT / package.folder / "README.md").read_text(encoding="utf-8")


def artefact(package: packages.Package) -> str:
    """Return the name of the file that integrators install."""
    stem = f"{package.name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"
    return stem if "npm" in package.needs else f"{package.name.replace('-', '_')}-{VERSION}-py3-none-any.whl"


def built_files(package: packages.Package, folder: Path) -> Iterator[tuple[set[str], str, str]]:
    """For each page in each built file: what that file holds, the page's name in it, and its text."""
    is_npm = "npm" in package.needs
    made = [built_package(package.name)] if is_npm else packages.build_packages(folder, [package])
    for path in made:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                (name,) = (each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
                yield set(), name, wheel.read(name).decode()  # which an index shows alone
        else:
            with tarfile.open(path) as tarball:
                names = set(tarball.getnames())
                for name in sorted(each for each in names if each.endswith(".md")):
                    file = tarball.extractfile(name)
                    assert file is not None
                    yield names, name, file.read().decode()


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@of_package
def test_no_link_leads_out_of_what_is_built(package: packages.Package, tmp_path: Path) -> None:
    seen = list(built_files(package, tmp_path))
    assert seen
    for names, name, text in seen:
        for link in LINK.findall(re.sub(FENCED, "", text)):
            if link.startswith("https://"):
                continue
            place, _, anchor = link.partition("#")
            if place:
                assert posixpath.normpath(posixpath.join(posixpath.dirname(name), place)) in names, link
            else:
                assert anchor in anchors(text), link


@of_package
def test_its_page_installs_the_file_that_is_built(package: packages.Package) -> None:
    shell = "".join(code for kind, code in FENCED.findall(page(package)) if kind == "sh")
    lines = re.findall(r"^(?:pip|npm) install '?([^\s'\[]+)", shell, re.MULTILINE)
    assert lines == [f"out/packages/{artefact(package)}"]
    told = re.sub(FENCED, "", page(package))
    assert not re.search(rf"install '?{re.escape(package.name)}", told), "it is on no index"


@of_package
def test_each_variable_of_an_example_has_been_given_a_value_above(package: packages.Package) -> None:
    given: set[str] = set()
    used: set[str] = set()
    for kind, code in FENCED.findall(page(package)):
        if kind == "sh":
            for line in re.findall(r"^export .+", code, re.MULTILINE):
                given |= set(re.findall(r"\b(DOORS_\w+)=", line))
        else:
            asked = set(re.findall(r"\bDOORS_\w+", code))
            assert asked <= given, f"{asked - given} in:\n{code}"
            used |= asked
    assert used == given


def test_the_same_variable_has_the_same_form_on_every_page() -> None:
    values: dict[str, set[str]] = {}
    for package in packages.PACKAGES:
        for name, value in re.findall(r"\b(DOORS_\w+)=(\$\([^)]*\)|\S+)", page(package)):
            values.setdefault(name, set()).add(value)
    assert "DOORS_GRPC" in values
    assert {name: found for name, found in values.items() if len(found) > 1} == {}
