"""Wake-ups of vehicles, and how the doors stood after a success."""

import sqlalchemy as sa
from alembic import op

revision = "0004_wake_ups_and_confirmations"
down_revision = "0003_vehicle_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wake_up",
        sa.Column("wake_up_id", sa.Integer(), primary_key=True),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_index("wake_up_by_vehicle", "wake_up", ["vin", "at"])
    with op.batch_alter_table("command") as command:
        command.add_column(sa.Column("waking_at", sa.BigInteger()))
        command.add_column(sa.Column("confirmation", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("command") as command:
        command.drop_column("confirmation")
        command.drop_column("waking_at")
    op.drop_index("wake_up_by_vehicle", table_name="wake_up")
    op.drop_table("wake_up")
