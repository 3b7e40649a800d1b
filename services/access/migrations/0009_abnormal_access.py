"""Accounts that are restricted, and what was abnormal about people's access."""

import sqlalchemy as sa
from alembic import op

revision = "0009_abnormal_access"
down_revision = "0008_agents"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("restricted_at", sa.BigInteger),
    ("restriction_reason", sa.String(200)),
    ("restore_requested_by", sa.String(128)),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("principal", sa.Column(name, kind, nullable=True))
    op.create_table(
        "abnormal_case",
        sa.Column("case_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("evidence", sa.String(300), nullable=False),
        sa.Column("consequence", sa.String(16), nullable=False),
        sa.Column("raised_at", sa.BigInteger, nullable=False),
        sa.Column("acknowledged_by", sa.String(128), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    )
    op.create_index("abnormal_case_raised", "abnormal_case", ["raised_at"])


def downgrade() -> None:
    op.drop_table("abnormal_case")
    with op.batch_alter_table("principal", schema=None) as batch_op:
        for name, _ in reversed(_COLUMNS):
            batch_op.drop_column(name)
