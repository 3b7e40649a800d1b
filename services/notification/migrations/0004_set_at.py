"""set at"""

import sqlalchemy as sa
from alembic import op

revision = "0004_set_at"
down_revision = "0003_shown"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("ignored_place", schema=None) as batch_op:
        batch_op.add_column(sa.Column("set_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("ignored_place", schema=None) as batch_op:
        batch_op.drop_column("set_at")
