"""How often the same was found while nobody had looked at it."""

import sqlalchemy as sa
from alembic import op

revision = "0010_case_times"
down_revision = "0009_abnormal_access"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("abnormal_case", sa.Column("times", sa.BigInteger, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("abnormal_case", schema=None) as batch_op:
        batch_op.drop_column("times")
