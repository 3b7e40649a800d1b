"""What a vehicle says in its own order: by epoch and counter, and by no clock; and the doors a report does not name."""

import sqlalchemy as sa
from alembic import op

revision = "0006_order_of_reports"
down_revision = "0005_bounded_dead_letters"
branch_labels = None
depends_on = None

_PLACES = ("began_order", "began_sequence", "until_order", "until_sequence", "seen_order", "seen_sequence")


def upgrade() -> None:
    for table in ("vehicle_status", "expectation"):
        op.add_column(table, sa.Column("epoch", sa.LargeBinary(), nullable=True))
        op.add_column(table, sa.Column("epoch_order", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("vehicle_status", sa.Column("counter", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("vehicle_status", sa.Column("kept", sa.Text(), nullable=False, server_default=""))
    for name in _PLACES:
        op.add_column("expectation", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in _PLACES:
        op.drop_column("expectation", name)
    for name in ("kept", "counter"):
        op.drop_column("vehicle_status", name)
    for table in ("expectation", "vehicle_status"):
        for name in ("epoch_order", "epoch"):
            op.drop_column(table, name)
