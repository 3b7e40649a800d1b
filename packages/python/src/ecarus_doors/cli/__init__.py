"""The command line `doors` (extra `cli`)."""

from __future__ import annotations

import sys

from ecarus_doors._version import VERSION

MISSING = (
    "doors: the command line is an extra: install the wheel with it, "
    f"pip install 'ecarus_doors-{VERSION}-py3-none-any.whl[cli]'"
)


def main() -> None:
    """Run the command line. Exit with 2 where its extra is not installed."""
    try:
        from ecarus_doors.cli.app import app  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        sys.stderr.write(f"{MISSING}\n")
        sys.exit(2)
    app(prog_name="doors")


if __name__ == "__main__":
    main()
