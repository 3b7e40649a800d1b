"""The settings that the vehicle last said it runs with, for the time after it refused others."""

import sqlalchemy as sa
from alembic import op

revision = "0006_running_settings"
down_revision = "0005_bounded_dead_letters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vehicle_config", sa.Column("running", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("vehicle_config", schema=None) as batch_op:
        batch_op.drop_column("running")
