"""The contract's version, where a package must have it in a file of its own: a line of it for each package."""

from __future__ import annotations

from typing import Any


def files(document: dict[str, Any]) -> dict[str, str]:
    """Return the files that say the version of the OpenAPI document, by their paths."""
    version = document["info"]["version"]
    return {
        "packages/python/src/ecarus_doors/_version.py": (
            '"""The package\'s version: the contract\'s. Generated; make generate writes it from proto/VERSION."""\n\n'
            f'VERSION = "{version}"\n'
        ),
        "packages/typescript/src/version.ts": (
            "/** The package's version: the contract's. Generated; make generate writes it from proto/VERSION. */\n"
            f'export const VERSION = "{version}";\n'
        ),
    }
