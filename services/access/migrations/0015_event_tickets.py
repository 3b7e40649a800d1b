"""Tickets that open a WebSocket once."""

import sqlalchemy as sa
from alembic import op

revision = "0015_event_tickets"
down_revision = "0014_customer_cases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_ticket",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("session", sa.String(8192), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("event_ticket_created", "event_ticket", ["created_at"])


def downgrade() -> None:
    op.drop_index("event_ticket_created", table_name="event_ticket")
    op.drop_table("event_ticket")
