"""Pages of a vehicle's entries since a time: what is older is not looked at."""

from alembic import op

revision = "0005_pages_since"
down_revision = "0004_pages"
branch_labels = None
depends_on = None

_NAME = "ledger_entry_of_vehicle_since"


def upgrade() -> None:
    op.create_index(_NAME, "ledger_entry", ["vehicle", "at", "leaf_index", "decision", "subject", "actor"])


def downgrade() -> None:
    op.drop_index(_NAME, "ledger_entry")
