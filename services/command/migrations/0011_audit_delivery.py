"""What the audit ledger is brought: the message of each row until the ledger has it, and entries of no row's own."""

import sqlalchemy as sa
from alembic import op

revision = "0011_audit_delivery"
down_revision = "0010_never_connected"
branch_labels = None
depends_on = None

_UNDELIVERED = sa.text("delivered_at IS NULL AND set_aside IS NULL")


def upgrade() -> None:
    op.add_column("audit", sa.Column("entry", sa.LargeBinary()))
    op.add_column("audit", sa.Column("delivered_at", sa.BigInteger()))
    op.add_column("audit", sa.Column("set_aside", sa.String(length=200)))
    op.create_index(
        "audit_undelivered",
        "audit",
        ["audit_id"],
        sqlite_where=_UNDELIVERED,
        postgresql_where=_UNDELIVERED,
    )
    op.create_table(
        "audit_outbox",
        sa.Column("sequence", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("set_aside", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("sequence"),
    )


def downgrade() -> None:
    op.drop_table("audit_outbox")
    op.drop_index("audit_undelivered", table_name="audit")
    with op.batch_alter_table("audit") as audit:
        audit.drop_column("set_aside")
        audit.drop_column("delivered_at")
        audit.drop_column("entry")
