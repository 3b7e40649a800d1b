"""The sessions with vehicles."""

import sqlalchemy as sa
from alembic import op

revision = "0003_vehicle_sessions"
down_revision = "0002_dead_letters"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vehicle_session",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("record", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("vehicle_session")
