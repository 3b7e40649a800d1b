"""The table of the enrolment service."""

import sqlalchemy as sa
from alembic import op

revision = "0001_enrolment"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vehicle_enrolment",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False, unique=True),
        sa.Column("enrolled_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("vehicle_enrolment")
