"""Pages of a vehicle's and of a person's entries in the order of an index, and each row's decision to filter by."""

import sqlalchemy as sa
from alembic import op

revision = "0004_pages"
down_revision = "0003_row_macs"
branch_labels = None
depends_on = None

_INDEXES = {
    "ledger_entry_of_vehicle": ["vehicle", "leaf_index", "at"],
    "ledger_entry_of_vehicle_decided": ["vehicle", "decision", "leaf_index", "at"],
    "ledger_entry_of_subject": ["subject", "leaf_index", "vehicle", "decision", "at"],
    "ledger_entry_of_actor": ["actor", "leaf_index", "vehicle", "decision", "at"],
}
_SHORTER = ("vehicle", "subject", "actor")
"""Indexes of one column, as whose beginning others have it now: no code needs them by name."""
_IN_LEAF = {
    "sqlite": "instr(leaf, CAST(:said AS BLOB)) > 0",
    "postgresql": "position(convert_to(:said, 'UTF8') IN leaf) > 0",
}


def upgrade() -> None:
    op.add_column("ledger_entry", sa.Column("decision", sa.String(8)))
    connection = op.get_bind()
    entry = sa.table("ledger_entry", sa.column("decision"))
    holds = sa.text(_IN_LEAF[connection.dialect.name])
    for decision in ("ALLOWED", "REFUSED", "NONE"):  # a leaf is JSON in one form
        said = f'"decision":"{decision}"'
        connection.execute(sa.update(entry).where(holds).values(decision=decision), {"said": said})
    for name, columns in _INDEXES.items():
        op.create_index(name, "ledger_entry", columns)
    for column in _SHORTER:
        op.drop_index(f"ix_ledger_entry_{column}", "ledger_entry")


def downgrade() -> None:
    for column in _SHORTER:
        op.create_index(f"ix_ledger_entry_{column}", "ledger_entry", [column])
    for name in _INDEXES:
        op.drop_index(name, "ledger_entry")
    op.drop_column("ledger_entry", "decision")
