"""API keys that operators issue: what they are for, those that wait for a second operator, and lists by account."""

import sqlalchemy as sa
from alembic import op

revision = "0004_issued_keys"
down_revision = "0003_ends"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("name", sa.String(64), nullable=True))
    op.create_index("api_key_principal", "api_key", ["principal"])
    op.create_index("access_grant_principal", "access_grant", ["principal"])
    op.create_table(
        "pending_api_key",
        sa.Column("key_hash", sa.LargeBinary, primary_key=True),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("valid_seconds", sa.BigInteger, nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("approved_by", sa.String(128), nullable=True),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
    )
    op.create_index("pending_api_key_principal", "pending_api_key", ["principal"])


def downgrade() -> None:
    op.drop_index("pending_api_key_principal", table_name="pending_api_key")
    op.drop_table("pending_api_key")
    op.drop_index("access_grant_principal", table_name="access_grant")
    op.drop_index("api_key_principal", table_name="api_key")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("name")
