"""When somebody asked to lift a legal hold: after a day that has lapsed."""

import sqlalchemy as sa
from alembic import op

revision = "0019_lift_times"
down_revision = "0018_restore_times"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("hold_decision", sa.Column("lift_requested_at", sa.BigInteger, nullable=True))


def downgrade() -> None:
    op.drop_column("hold_decision", "lift_requested_at")
