"""Whether nothing was ever heard of a vehicle when a command was accepted: its first answer said so, and again."""

import sqlalchemy as sa
from alembic import op

revision = "0010_never_connected"
down_revision = "0009_lost_vehicles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("command", sa.Column("never_connected", sa.Boolean()))


def downgrade() -> None:
    with op.batch_alter_table("command") as command:
        command.drop_column("never_connected")
