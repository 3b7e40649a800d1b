"""What API keys were created for, for which vehicles, and when each was used last."""

import sqlalchemy as sa
from alembic import op

revision = "0005_key_scopes"
down_revision = "0004_issued_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("api_key", "pending_api_key"):
        op.add_column(table, sa.Column("scopes", sa.String(512), nullable=True))
        op.add_column(table, sa.Column("vins", sa.String(600), nullable=True))
    op.add_column("api_key", sa.Column("last_used_at", sa.BigInteger, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        for name in ("last_used_at", "vins", "scopes"):
            batch_op.drop_column(name)
    with op.batch_alter_table("pending_api_key", schema=None) as batch_op:
        for name in ("vins", "scopes"):
            batch_op.drop_column(name)
