"""When a dead letter was replayed."""

import sqlalchemy as sa
from alembic import op

revision = "0002_dead_letters"
down_revision = "0001_diagnostics"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letter", sa.Column("replayed_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_column("replayed_at")
