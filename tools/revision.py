"""Write a service's next migration from the difference between its models and its revisions.

usage: python tools/revision.py SERVICE "what changes"

Read what it wrote: Alembic proposes, the author decides. The store's HEAD names it then.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from sqlalchemy import create_engine

from services.platform.migration import config_for

if TYPE_CHECKING:
    from sqlalchemy import MetaData

ROOT = Path(__file__).resolve().parent.parent


def write_revision(revisions: Path, metadata: MetaData, message: str) -> Path:
    """Write the revision that brings the last one in the folder `revisions` to `metadata`, and return it."""
    number = f"{len(list(revisions.glob('[0-9]*.py'))) + 1:04d}"
    revision = f"{number}_{message.replace(' ', '_')}"
    written = revisions / f"{revision}.py"
    with tempfile.TemporaryDirectory() as scratch:
        engine = create_engine(f"sqlite:///{scratch}/empty.db")
        with engine.begin() as connection:
            config = config_for(connection, revisions, metadata)
            config.set_main_option("file_template", "%%(rev)s")
            command.upgrade(config, "heads")
            command.revision(config, message, autogenerate=True, rev_id=revision, version_path=str(revisions))
        engine.dispose()
    lines = written.read_text(encoding="utf-8").splitlines()
    written.write_text(
        "\n".join(line for line in lines if "### " not in line) + "\n", encoding="utf-8"
    )  # Alembic's own remarks
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "format", "--quiet", written], check=True)
    return written


def main(service: str, message: str) -> None:
    """Write the revision."""
    store = importlib.import_module(f"services.{service}.adapters.store")
    metadata = getattr(store, f"{service.capitalize()}Model").metadata
    print(write_revision(ROOT / "services" / service / "migrations", metadata, message).relative_to(ROOT))


if __name__ == "__main__":
    main(*sys.argv[1:])
