"""The legal holds in force: what they are on is not deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0008_legal_holds"
down_revision = "0007_audit_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "legal_hold",
        sa.Column("hold_id", sa.String(64), primary_key=True),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("legal_hold")
