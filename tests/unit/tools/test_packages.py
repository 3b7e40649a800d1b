"""The packages for integrators: one version everywhere, and the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
import zipfile
from pathlib import Path

import pytest

from tools import packages
from tools.contract_version import contract_version

ROOT = Path(__file__).parents[3]


def test_there_is_one_version() -> None:
    version = contract_version()
    assert json.loads((ROOT / "gen/openapi.json").read_text())["info"]["version"] == version
    for file in ("python/src/ecarus_doors/_version.py", "typescript/src/version.ts"):
        assert f'VERSION = "{version}"' in (ROOT / "packages" / file).read_text()


@pytest.mark.parametrize("said", ["", "1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0"])
def test_a_version_is_three_numbers(tmp_path: Path, said: str) -> None:
    (tmp_path / "proto").mkdir()
    (tmp_path / "proto/VERSION").write_text(said)
    with pytest.raises(ValueError, match="three numbers"):
        contract_version(tmp_path)


def test_every_folder_of_packages_is_built() -> None:
    folders = {f"packages/{path.name}" for path in (ROOT / "packages").iterdir() if path.is_dir()}
    assert {package.folder for package in packages.PACKAGES} == folders


PYTHON = [package for package in packages.PACKAGES if "npm" not in package.needs]


@pytest.mark.parametrize("package", PYTHON, ids=lambda package: package.name)
def test_a_python_package_is_the_same_bytes_each_time(
    package: packages.Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    once = packages.build_packages(tmp_path / "once", [package])
    before = os.umask(0o077)
    try:
        monkeypatch.setenv("TZ", "Asia/Seoul")
        again = packages.build_packages(tmp_path / "again", [package])
    finally:
        os.umask(before)
    assert [path.name for path in once] == [path.name for path in again]
    stem = f"{package.name.replace('-', '_')}-{contract_version()}"
    assert {path.name for path in once} == {f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"}
    for first, second in zip(once, again, strict=True):
        assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


@pytest.mark.parametrize("package", PYTHON, ids=lambda package: package.name)
def test_a_wheel_holds_its_package_and_nothing_else(package: packages.Package, tmp_path: Path) -> None:
    (wheel,) = (path for path in packages.build_packages(tmp_path, [package]) if path.suffix == ".whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    about = tomllib.loads((ROOT / package.folder / "pyproject.toml").read_text())["project"]
    assert about["name"] == package.name
    assert len(tops) == 2
    assert any(name.endswith("/py.typed") for name in names)


def test_a_package_without_its_commands_is_left_out_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(_: packages.Build) -> None:
        raise AssertionError("built all the same")

    lacking = packages.Package("somewhere-else", "packages/python", never, needs=("no-such-command-here",))
    assert packages.build_packages(tmp_path, [lacking]) == []
    assert "left out somewhere-else: there is no no-such-command-here" in capsys.readouterr().err


def test_a_name_that_no_package_has_is_refused() -> None:
    with pytest.raises(SystemExit):
        packages.main(["no-such-package"])
