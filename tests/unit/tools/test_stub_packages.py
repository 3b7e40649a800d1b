"""The packages of gRPC stubs: what is in them, and what they leave to others."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from buf.validate import validate_pb2
from ecarus.remotecontrol.door.v1 import door_command_service_pb2

from tools import packages, stub_packages

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def contract() -> FileDescriptorSet:
    return stub_packages.public_contract()


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the Python wheel by their names."""
    (package,) = (each for each in packages.PACKAGES if each.name == "ecarus-doors-grpc")
    made = packages.build_packages(tmp_path_factory.mktemp("stubs"), [package])
    with zipfile.ZipFile(next(path for path in made if path.suffix == ".whl")) as wheel:
        return {name: wheel.read(name).decode() for name in wheel.namelist()}


def test_every_public_service_is_there(contract: FileDescriptorSet) -> None:
    there = {service.name for file in contract.file for service in file.service}
    said = (ROOT / "proto/ecarus/remotecontrol/door/v1").glob("*_service.proto")
    services = {
        name for path in said for name in re.findall(r"^service (\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(services) > 10
    assert there == services


def test_it_is_whole_and_nothing_internal_is_in_it(contract: FileDescriptorSet) -> None:
    names = [file.name for file in contract.file]
    for place, file in enumerate(contract.file):
        missing = set(file.dependency) - set(names[:place])
        assert {each for each in missing if not each.startswith("google/protobuf/")} == set()
    folders = {name.rpartition("/")[0] for name in names if name.startswith("ecarus/")}
    assert folders == {"ecarus/remotecontrol/door/v1", "ecarus/remotecontrol/options/v1"}
    assert "ecarus/remotecontrol/door/v1/error_reason.proto" in names


def test_the_rules_of_requests_are_still_in_the_descriptors(contract: FileDescriptorSet) -> None:
    (file,) = (each for each in contract.file if each.name.endswith("/door_command_service.proto"))
    (message,) = (each for each in file.message_type if each.name == "UnlockDoorsRequest")
    ours = door_command_service_pb2.UnlockDoorsRequest.DESCRIPTOR.fields_by_name
    for field in message.field:
        rules = ours[field.name].GetOptions().Extensions[validate_pb2.field]
        assert field.options.Extensions[validate_pb2.field] == rules
        assert rules.ByteSize() > 0


def test_no_module_of_anybody_else_is_brought_or_needed(modules: dict[str, str]) -> None:
    code = {name: text for name, text in modules.items() if name.endswith((".py", ".pyi"))}
    assert len(code) > 80
    assert all(name.startswith("ecarus/remotecontrol/") for name in code)
    assert not [
        name for name in modules if name.endswith("__init__.py")
    ]  # `ecarus` is shared with other packages
    imported = {
        match
        for text in code.values()
        for match in re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE)
    }
    tops = {
        ".".join(name.split(".")[:2]) for name in imported if name.startswith(("google.", "buf", "ecarus."))
    }
    assert tops == {"google.protobuf", "google.api", "google.rpc", "ecarus.remotecontrol"}


def test_what_it_was_generated_with_is_what_it_asks_for(modules: dict[str, str]) -> None:
    about = tomllib.loads((ROOT / "packages/grpc-python/pyproject.toml").read_text())["project"]
    least = dict(re.fullmatch(r"([\w-]+)>=([\d.]+),.*", each).groups() for each in about["dependencies"])  # type: ignore[union-attr]
    generated = "\n".join(modules.values())
    assert set(re.findall(r"^# Protobuf Python Version: ([\d.]+)$", generated, re.MULTILINE)) == {
        least["protobuf"]
    }
    assert set(re.findall(r"^GRPC_GENERATED_VERSION = '([\d.]+)'$", generated, re.MULTILINE)) == {
        least["grpcio"]
    }
    assert importlib.metadata.version("grpcio-tools") == least["grpcio"]
