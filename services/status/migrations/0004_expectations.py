"""What vehicles' next reports must show, and who sleeps."""

import sqlalchemy as sa
from alembic import op

revision = "0004_expectations"
down_revision = "0003_vehicle_sessions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("asleep", "awaited"):
        op.add_column(
            "vehicle_status", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_table(
        "expectation",
        sa.Column("vin", sa.String(17), primary_key=True),
        sa.Column("command_id", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("promised", sa.LargeBinary(), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("observed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_us", sa.BigInteger(), nullable=True),
        sa.Column("seen_doors", sa.LargeBinary(), nullable=True),
        sa.Column("judged_at_us", sa.BigInteger(), nullable=True),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_expectation_created_at_us", "expectation", ["created_at_us"])
    op.create_index(
        "expectation_doubted",
        "expectation",
        ["judged_at_us"],
        sqlite_where=sa.text("state = 'DOUBTED'"),
        postgresql_where=sa.text("state = 'DOUBTED'"),
    )


def downgrade() -> None:
    op.drop_index("expectation_doubted", table_name="expectation")
    op.drop_index("ix_expectation_created_at_us", table_name="expectation")
    op.drop_table("expectation")
    for name in ("awaited", "asleep"):
        op.drop_column("vehicle_status", name)
