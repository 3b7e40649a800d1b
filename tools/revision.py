"""Write a service's next migration from the difference between its models and its revisions.

usage: python tools/revision.py SERVICE "what changes"

Read what it wrote: Alembic proposes, the author decides.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from services.platform.migration import config_for

ROOT = Path(__file__).resolve().parent.parent


def main(service: str, message: str) -> None:
    """Write the revision."""
    revisions = ROOT / "services" / service / "migrations"
    store = importlib.import_module(f"services.{service}.adapters.store")
    number = f"{len(list(revisions.glob('[0-9]*.py'))) + 1:04d}"
    with tempfile.TemporaryDirectory() as scratch:
        engine = create_engine(f"sqlite:///{scratch}/empty.db")
        with engine.begin() as connection:
            config = config_for(
                connection, revisions, getattr(store, f"{service.capitalize()}Model").metadata
            )
            command.upgrade(config, "heads")
            command.revision(
                config,
                message,
                autogenerate=True,
                rev_id=f"{number}_{message.replace(' ', '_')}",
                version_path=str(revisions),
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
