"""Access that was severed, and which grants that ended."""

import sqlalchemy as sa
from alembic import op

revision = "0007_severances"
down_revision = "0006_shared_grants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_grant", sa.Column("severed_by", sa.String(64), nullable=True))
    op.create_index("access_grant_severed", "access_grant", ["severed_by"])
    op.create_table(
        "severance",
        sa.Column("severance_id", sa.String(64), primary_key=True),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("evidence", sa.String(200), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("on_behalf_of", sa.String(128), nullable=True),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("completed_at", sa.BigInteger, nullable=True),
        sa.Column("reversal_requested_by", sa.String(128), nullable=True),
        sa.Column("reversal_reason", sa.String(200), nullable=True),
        sa.Column("reversed_by", sa.String(128), nullable=True),
        sa.Column("reversed_at", sa.BigInteger, nullable=True),
    )
    op.create_index("severance_vehicle", "severance", ["vin", "person"])
    op.create_index("severance_requester", "severance", ["requested_by", "requested_at"])


def downgrade() -> None:
    op.drop_table("severance")
    op.drop_index("access_grant_severed", table_name="access_grant")
    with op.batch_alter_table("access_grant", schema=None) as batch_op:
        batch_op.drop_column("severed_by")
