"""Which of the wanted settings the vehicle left out, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0007_left_out_settings"
down_revision = "0006_running_settings"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vehicle_config", sa.Column("left_out", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("vehicle_config", schema=None) as batch_op:
        batch_op.drop_column("left_out")
