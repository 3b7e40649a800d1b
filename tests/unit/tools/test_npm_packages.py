"""The packages for Node and browsers: their types, their rules, and the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.node import built_package, development_modules, working_copy
from tools import packages
from tools.contract_version import contract_version

ROOT = Path(__file__).parents[3]
NPM = [package for package in packages.PACKAGES if "npm" in package.needs]
CLIENT = "typescript"


def played(words: list[str], folder: Path, seconds: float = 100) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The TypeScript client's folder with what its tarball holds."""
    copy = working_copy(CLIENT, tmp_path_factory.mktemp("client"))
    with tarfile.open(built_package("@ecarus/doors")) as tarball:
        tarball.extractall(copy, filter="data")
    (copy / "package/dist").rename(copy / "dist")
    return copy


def test_the_types_are_those_of_the_documents(tmp_path: Path) -> None:
    modules = development_modules(CLIENT)
    folder = tmp_path / "packages" / CLIENT
    folder.mkdir(parents=True)
    (folder / "types.mjs").write_text((ROOT / "packages" / CLIENT / "types.mjs").read_text())
    (folder / "node_modules").symlink_to(modules)
    (tmp_path / "gen").symlink_to(ROOT / "gen")
    played(["node", "types.mjs", str(tmp_path)], folder)
    for name in ("openapi.ts", "asyncapi.ts"):
        committed = ROOT / "packages" / CLIENT / "src" / name
        assert (tmp_path / name).read_text() == committed.read_text(), "make generate-typescript"


def test_the_client_keeps_its_rules(client: Path) -> None:
    files = sorted(str(path.relative_to(client)) for path in (client / "tests").glob("*.test.mjs"))
    said = played(["node", "--test", "--test-reporter=tap", *files], client)
    assert "# fail 0" in said
    assert "# skipped 0" in said


def test_the_types_let_through_what_is_right_and_nothing_else(client: Path) -> None:
    played(["node_modules/.bin/tsc", "--project", "tests/tsconfig.json"], client)


def test_the_examples_are_right_by_their_types(client: Path, tmp_path: Path) -> None:
    page = (ROOT / "packages" / CLIENT / "README.md").read_text()
    examples = [
        each for each in re.findall(r"^```js\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "await" in each
    ]
    assert len(examples) >= 5
    options = {"noEmit": True, "strict": True, "target": "es2022", "module": "nodenext", "types": []}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.mts"]}))
    (tmp_path / "node_modules" / "@ecarus").mkdir(parents=True)
    (tmp_path / "node_modules" / "@ecarus" / "doors").symlink_to(client)
    names = "DOORS_URL: string; DOORS_TOKEN: string; DOORS_FRESH_TOKEN: string"
    known = f"\ndeclare const process: {{ env: {{ {names} }} }};\n"
    for place, example in enumerate(examples):
        (tmp_path / f"example{place}.mts").write_text(example + known)
    played([str(client / "node_modules/.bin/tsc"), "--project", "tsconfig.json"], tmp_path)


@pytest.mark.parametrize("package", NPM, ids=lambda package: package.name)
def test_a_tarball_is_the_same_bytes_each_time(package: packages.Package, tmp_path: Path) -> None:
    once = built_package(package.name)
    before = os.umask(0o077)
    try:
        (again,) = packages.build_packages(tmp_path, [package])
    finally:
        os.umask(before)
    stem = package.name.removeprefix("@").replace("/", "-")
    assert once.name == again.name == f"{stem}-{contract_version()}.tgz"
    assert hashlib.sha256(once.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


@pytest.mark.parametrize("package", NPM, ids=lambda package: package.name)
def test_a_tarball_holds_what_is_used_and_nothing_else(package: packages.Package) -> None:
    with tarfile.open(built_package(package.name)) as tarball:
        names = tarball.getnames()
        file = tarball.extractfile("package/package.json")
        assert file is not None
        about = json.load(file)
    assert (about["name"], about["version"]) == (package.name, contract_version())
    assert not {"devDependencies", "scripts"} & set(about)
    assert {"package/package.json", "package/README.md"} <= set(names)
    assert all(name.endswith((".js", ".d.ts", ".json", ".md")) for name in names)
    for kind in ("types", "default"):
        assert f"package/{about['exports']['.'][kind].removeprefix('./')}" in names


@pytest.mark.parametrize("package", NPM, ids=lambda package: package.name)
def test_the_tools_are_pinned_and_name_no_registry(package: packages.Package) -> None:
    folder = ROOT / package.folder
    about = json.loads((folder / "package.json").read_text())
    assert all(version[0].isdigit() for version in about["devDependencies"].values())
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert all("resolved" not in entry for entry in locked.values())
    assert all("integrity" in entry for place, entry in locked.items() if place)
