"""How the packages of gRPC stubs are built: generated from the public contract each time, and committed nowhere.

Of what the services of `door/v1` need, buf.validate is imported by nothing that is generated: other packages bring
modules of that name. The rules stay in the descriptors, as bytes, for whoever has such a package.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.npm_packages import development_modules, packed

if TYPE_CHECKING:
    from tools.packages import Build

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
OURS = "ecarus/"
CHECKING = "buf/validate/validate.proto"
DOORS = "ecarus/remotecontrol/door/v1/"
REFUSALS = ("ecarus/remotecontrol/door/v1/error_reason.proto", "google/rpc/error_details.proto")
"""What no service imports, and whoever reads a refusal needs."""


def public_contract() -> FileDescriptorSet:
    """Return the files of the public services and what these need, each after what it needs, without CHECKING."""
    paths = ("--path=proto/ecarus/remotecontrol/door", "--path=third_party/proto/google/rpc")
    built = subprocess.run(
        [str(BIN / "buf"), "build", *paths, "-o", "-#format=binpb"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    image = FileDescriptorSet.FromString(built.stdout)
    by_name = {file.name: file for file in image.file}
    wanted = [name for name in by_name if name.startswith(DOORS) and by_name[name].service]
    wanted += REFUSALS
    for name in wanted:  # which grows by what each needs
        wanted += [each for each in by_name[name].dependency if each not in wanted and each != CHECKING]
    public = FileDescriptorSet()
    for file in image.file:
        if file.name in wanted:
            kept = public.file.add()
            kept.CopyFrom(file)
            kept.ClearField("dependency")
            kept.dependency.extend(each for each in file.dependency if each != CHECKING)
    return public


def python_stubs(build: Build) -> Path:
    """Generate the Python modules below the copy's `src`, with their types. Return that folder."""
    contract = public_contract()
    image = build.folder.parent / "contract.binpb"
    image.write_bytes(contract.SerializeToString())
    out = build.folder / "src"
    out.mkdir()
    ours = [file.name for file in contract.file if file.name.startswith(OURS)]
    services = [file.name for file in contract.file if file.name.startswith(OURS) and file.service]
    for files, plugins in ((ours, ("python", "mypy")), (services, ("grpc_python", "mypy_grpc"))):
        build.run(
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--descriptor_set_in={image}",
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"--plugin=protoc-gen-mypy={BIN / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={BIN / 'protoc-gen-mypy_grpc'}",
            *(f"--{name}_out={'quiet:' if name.startswith('mypy') else ''}{out}" for name in plugins),
            *files,
        )
    for folder in {(out / name).parent for name in ours}:
        (folder / "py.typed").touch()
    version = out / DOORS / "contract_version.py"
    version.write_text(
        f'"""The version of the contract that these modules are of."""\n\nVERSION = "{build.version}"\n',
        encoding="utf-8",
    )
    return out


def connect_stubs(build: Build) -> None:
    """Generate modules for Connect with their types, an index of all of them, and pack it."""
    contract = public_contract()
    image = build.folder.parent / "contract.binpb"
    image.write_bytes(contract.SerializeToString())
    modules = development_modules(build.folder, build.environment)
    plugin = {
        "local": ["node", str(modules / ".bin" / "protoc-gen-es")],
        "out": "dist",
        "opt": ["target=js+dts", "import_extension=js"],
    }
    template = json.dumps({"version": "v2", "plugins": [plugin]})
    build.run(str(BIN / "buf"), "generate", str(image), "--include-imports", "--template", template)
    listed = [file.name for file in contract.file if file.name.startswith(DOORS) or file.name in REFUSALS]
    generated = [name.removesuffix(".proto") for name in listed]
    lines = [f'export * from "./{name}_pb.js";' for name in generated]
    for index in ("index.js", "index.d.ts"):
        (build.folder / "dist" / index).write_text("\n".join(lines) + "\n", encoding="utf-8")
    packed(build)
