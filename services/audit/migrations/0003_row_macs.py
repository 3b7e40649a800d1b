"""A keyed hash of each row, so that whoever has the database alone cannot change one unseen."""

import sqlalchemy as sa
from alembic import op

revision = "0003_row_macs"
down_revision = "0002_tree"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("ledger_entry", "person_key"):
        op.add_column(table, sa.Column("row_mac", sa.LargeBinary))


def downgrade() -> None:
    for table in ("ledger_entry", "person_key"):
        op.drop_column(table, "row_mac")
