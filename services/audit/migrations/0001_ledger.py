"""The ledger's entries, and people's keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001_ledger"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_key",
        sa.Column("key_id", sa.LargeBinary, primary_key=True),
        sa.Column("person", sa.LargeBinary, nullable=False),
        sa.Column("wrapped", sa.LargeBinary),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("destroyed_at", sa.BigInteger),
    )
    op.create_index("ix_person_key_person", "person_key", ["person"])
    op.create_table(
        "ledger_entry",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("entry_key", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("content_mac", sa.LargeBinary),
        sa.Column("leaf_id", sa.String(32), nullable=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("vehicle", sa.LargeBinary),
        sa.Column("command", sa.LargeBinary),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("subject_sealed", sa.LargeBinary),
        sa.Column("actor", sa.LargeBinary, nullable=False),
        sa.Column("actor_sealed", sa.LargeBinary),
    )
    for column in ("vehicle", "command", "subject", "actor"):
        op.create_index(f"ix_ledger_entry_{column}", "ledger_entry", [column])
    op.create_table(
        "ledger_tree",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("ledger_tree", "ledger_entry", "person_key"):
        op.drop_table(table)
