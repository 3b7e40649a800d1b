"""What a second agent approved of another one's emergency."""

import sqlalchemy as sa
from alembic import op

revision = "0008_agents"
down_revision = "0007_severances"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "emergency_approval",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("agent", sa.String(128), primary_key=True),
        sa.Column("case_number", sa.String(64), primary_key=True),
        sa.Column("approved_by", sa.String(128), nullable=False),
        sa.Column("approved_at", sa.BigInteger, nullable=False),
    )
    op.create_index("emergency_approval_time", "emergency_approval", ["approved_at"])


def downgrade() -> None:
    op.drop_index("emergency_approval_time", table_name="emergency_approval")
    op.drop_table("emergency_approval")
