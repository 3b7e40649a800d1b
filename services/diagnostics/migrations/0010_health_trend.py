"""How the health of each component goes over time."""

import sqlalchemy as sa
from alembic import op

revision = "0010_health_trend"
down_revision = "0009_wide_audit_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_trend",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("component_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("points", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("health_trend")
