"""Legal holds, what people ask for about their data, and erasures."""

import sqlalchemy as sa
from alembic import op

revision = "0016_rights_of_persons"
down_revision = "0015_event_tickets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "legal_hold",
        sa.Column("hold_id", sa.String(64), primary_key=True),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "hold_decision",
        sa.Column("hold_id", sa.String(64), primary_key=True),
        sa.Column("vin", sa.String(17), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("requested_by", sa.String(128), nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("approved_by", sa.String(128), nullable=True),
        sa.Column("set_at", sa.BigInteger, nullable=True),
        sa.Column("lift_requested_by", sa.String(128), nullable=True),
        sa.Column("lifted_by", sa.String(128), nullable=True),
        sa.Column("lifted_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "data_export",
        sa.Column("principal", sa.String(128), primary_key=True),
        sa.Column("export_id", sa.String(64), nullable=False, unique=True),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("downloads", sa.Integer, nullable=False),
    )
    op.create_table(
        "erasure",
        sa.Column("erasure_id", sa.String(64), primary_key=True),
        sa.Column("principal", sa.String(128), nullable=True, unique=True),
        sa.Column("person_digest", sa.LargeBinary, nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("in_the_way", sa.String(64), nullable=False),
        sa.Column("looked_at", sa.BigInteger, nullable=True),
        sa.Column("ended_at", sa.BigInteger, nullable=True),
    )
    op.create_index("erasure_person", "erasure", ["person_digest"])


def downgrade() -> None:
    op.drop_table("erasure")
    op.drop_table("data_export")
    op.drop_table("hold_decision")
    op.drop_table("legal_hold")
