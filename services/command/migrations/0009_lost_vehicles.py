"""Whether a vehicle was out of reach when a command was accepted: its first answer said so, and says so again."""

import sqlalchemy as sa
from alembic import op

revision = "0009_lost_vehicles"
down_revision = "0008_superseded"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("command", sa.Column("lost", sa.Boolean()))


def downgrade() -> None:
    with op.batch_alter_table("command") as command:
        command.drop_column("lost")
