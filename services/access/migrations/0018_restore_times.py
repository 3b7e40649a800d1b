"""When somebody asked to give an account back: after a day that has lapsed."""

import sqlalchemy as sa
from alembic import op

revision = "0018_restore_times"
down_revision = "0017_wide_audit_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("principal", sa.Column("restore_requested_at", sa.BigInteger, nullable=True))


def downgrade() -> None:
    op.drop_column("principal", "restore_requested_at")
