"""Entries that wait for the audit ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0012_audit_outbox"
down_revision = "0011_open_cases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_outbox",
        sa.Column("sequence", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("set_aside", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("sequence"),
    )


def downgrade() -> None:
    op.drop_table("audit_outbox")
