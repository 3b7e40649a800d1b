"""A lock takes the place of an unlock in flight: of what is superseded, any number may be in flight on a vehicle.
And whether a vehicle slept when a command was accepted.

Old code goes on as before: what it accepts is not superseded, so one of them is in flight on a vehicle.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_superseded"
down_revision = "0007_recorded_history"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("command", sa.Column("superseded_at", sa.BigInteger()))
    op.add_column("command", sa.Column("asleep", sa.Boolean()))
    op.drop_index("command_in_flight", table_name="command")
    _one_in_flight("finished_at IS NULL AND superseded_at IS NULL")


def downgrade() -> None:
    op.drop_index("command_in_flight", table_name="command")
    _one_in_flight("finished_at IS NULL")
    with op.batch_alter_table("command") as command:
        command.drop_column("asleep")
        command.drop_column("superseded_at")


def _one_in_flight(where: str) -> None:
    op.create_index(
        "command_in_flight",
        "command",
        ["vin"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
