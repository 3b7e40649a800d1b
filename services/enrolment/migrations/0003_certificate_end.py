"""When the certificate of a vehicle ends; not known of those that were enrolled before."""

import sqlalchemy as sa
from alembic import op

revision = "0003_certificate_end"
down_revision = "0002_vehicle_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vehicle_enrolment", sa.Column("certificate_ends_at", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("vehicle_enrolment", "certificate_ends_at")
