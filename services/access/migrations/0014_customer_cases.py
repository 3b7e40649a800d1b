"""The call centre's cases."""

import sqlalchemy as sa
from alembic import op

revision = "0014_customer_cases"
down_revision = "0013_consents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_case",
        sa.Column("case_number", sa.String(64), primary_key=True),
        sa.Column("customer", sa.String(128), nullable=False),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("opened_by", sa.String(128), nullable=True),
        sa.Column("opened_at", sa.BigInteger, nullable=True),
        sa.Column("closed_by", sa.String(128), nullable=True),
        sa.Column("closed_at", sa.BigInteger, nullable=True),
    )
    op.create_index("customer_case_customer", "customer_case", ["customer"])
    op.create_index("customer_case_opened", "customer_case", ["opened_at"])
    op.create_index("customer_case_closed", "customer_case", ["closed_at"])


def downgrade() -> None:
    op.drop_table("customer_case")
