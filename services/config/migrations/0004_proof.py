"""The proof that somebody asked for the wanted settings, and how often they were sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0004_proof"
down_revision = "0003_vehicle_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vehicle_config", sa.Column("capability", sa.Text))
    op.add_column("vehicle_config", sa.Column("asked_at", sa.BigInteger))
    op.add_column("vehicle_config", sa.Column("mac", sa.LargeBinary(32)))
    op.add_column("vehicle_config", sa.Column("resends", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    for column in ("resends", "mac", "asked_at", "capability"):
        op.drop_column("vehicle_config", column)
