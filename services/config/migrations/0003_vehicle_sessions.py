"""The sessions with vehicles, and what was issued in them."""

import sqlalchemy as sa
from alembic import op

revision = "0003_vehicle_sessions"
down_revision = "0002_dead_letters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vehicle_session",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("record", sa.Text(), nullable=False),
    )
    op.create_table(
        "issued_order",
        sa.Column("request_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("domain", sa.String(16), nullable=False),
        sa.Column("order_id", sa.String(128), nullable=False),
        sa.Column("command_id", sa.String(128), nullable=False),
        sa.Column("issued_at_millis", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_issued_order_issued_at_millis", "issued_order", ["issued_at_millis"])


def downgrade() -> None:
    op.drop_index("ix_issued_order_issued_at_millis", table_name="issued_order")
    op.drop_table("issued_order")
    op.drop_table("vehicle_session")
