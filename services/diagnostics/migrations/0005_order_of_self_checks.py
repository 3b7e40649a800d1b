"""Self-checks in the vehicle's own order: by epoch and counter, and by no clock."""

import sqlalchemy as sa
from alembic import op

revision = "0005_order_of_self_checks"
down_revision = "0004_bounded_dead_letters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("last_check", sa.Column("epoch", sa.LargeBinary(), nullable=True))
    for name in ("epoch_order", "counter"):
        op.add_column("last_check", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("counter", "epoch_order", "epoch"):
        op.drop_column("last_check", name)
