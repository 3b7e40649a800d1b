"""In which role a command was given, and for whom a vehicle was woken."""

import sqlalchemy as sa
from alembic import op

revision = "0005_roles"
down_revision = "0004_wake_ups_and_confirmations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("command", sa.Column("role", sa.String(16)))
    op.add_column("wake_up", sa.Column("subject", sa.String(128)))
    op.add_column("wake_up", sa.Column("by_owner", sa.Boolean()))


def downgrade() -> None:
    with op.batch_alter_table("wake_up") as wake_up:
        wake_up.drop_column("by_owner")
        wake_up.drop_column("subject")
    with op.batch_alter_table("command") as command:
        command.drop_column("role")
