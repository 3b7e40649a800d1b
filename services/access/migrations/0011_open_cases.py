"""One open case of what was found, whichever replica found it."""

import sqlalchemy as sa
from alembic import op

revision = "0011_open_cases"
down_revision = "0010_case_times"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("abnormal_case", sa.Column("open_key", sa.String(64), nullable=True))
    op.create_index("abnormal_case_open", "abnormal_case", ["open_key"], unique=True)


def downgrade() -> None:
    op.drop_index("abnormal_case_open", table_name="abnormal_case")
    with op.batch_alter_table("abnormal_case", schema=None) as batch_op:
        batch_op.drop_column("open_key")
