"""Whose a dead letter is, how many messages it stands for, and when it is handed over again."""

import sqlalchemy as sa
from alembic import op

revision = "0006_bounded_dead_letters"
down_revision = "0005_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letter", sa.Column("sender", sa.String(17), nullable=True))
    op.add_column("dead_letter", sa.Column("cut_from", sa.Integer(), nullable=True))
    op.add_column("dead_letter", sa.Column("count", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("dead_letter", sa.Column("dropped", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("dead_letter", sa.Column("retry_at", sa.BigInteger(), nullable=True))
    op.add_column("dead_letter", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("dead_letter_by_sender", "dead_letter", ["sender", "id"])
    op.create_index(
        "dead_letter_waiting",
        "dead_letter",
        ["retry_at"],
        sqlite_where=sa.text("retry_at IS NOT NULL"),
        postgresql_where=sa.text("retry_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("dead_letter_waiting", table_name="dead_letter")
    op.drop_index("dead_letter_by_sender", table_name="dead_letter")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        for name in ("attempts", "retry_at", "dropped", "count", "cut_from", "sender"):
            batch_op.drop_column(name)
