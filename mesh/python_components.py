"""What the components written in Python have in common: how they are started, and what they import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.edge_config import ROOT
from mesh.environment import of_python, of_the_machine
from services.registry import SERVICES, WITH_DATABASE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.sandbox import Sandbox


def python_environment(sandbox: Sandbox, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what every component written in Python is given."""
    return {
        **of_the_machine(environment),
        **of_python(environment),
        # Compiled code is kept with the data: without it every start would compile for seconds.
        "PYTHONPYCACHEPREFIX": str((sandbox.folder / "pycache").resolve()),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        "PYTHONUNBUFFERED": "1",
    }


def python_modules(sandbox: Sandbox) -> list[str]:
    """Return what these components will import: themselves, and what makes the tables where there are none."""
    has_tables = all(sandbox.database(name).is_file() for name in WITH_DATABASE)
    return [
        *([] if has_tables else ["alembic.command"]),
        *(f"services.{each.name}.__main__" for each in SERVICES),
        *(f"{name}.__main__" for name in ("gateway", "vehicle", "issuer", "phones")),
    ]
