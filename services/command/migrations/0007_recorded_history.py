"""When each entry of the history was recorded, rising from commit to commit of its vehicle."""

import sqlalchemy as sa
from alembic import op

revision = "0007_recorded_history"
down_revision = "0006_bounded_dead_letters"
branch_labels = None
depends_on = None

_IS_RECORDED = sa.text("recorded_at IS NOT NULL")
_IS_BEING_RECORDED = sa.text("recorded_at = 0")


def upgrade() -> None:
    op.add_column("history", sa.Column("recorded_at", sa.BigInteger(), nullable=True))
    op.create_index(
        "history_as_recorded",
        "history",
        ["vin", "recorded_at"],
        sqlite_where=_IS_RECORDED,
        postgresql_where=_IS_RECORDED,
    )
    op.create_index(
        "history_being_recorded",
        "history",
        ["vin"],
        sqlite_where=_IS_BEING_RECORDED,
        postgresql_where=_IS_BEING_RECORDED,
    )


def downgrade() -> None:
    op.drop_index("history_being_recorded", table_name="history")
    op.drop_index("history_as_recorded", table_name="history")
    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.drop_column("recorded_at")
