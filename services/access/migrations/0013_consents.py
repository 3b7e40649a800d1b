"""What people agree that is collected about them."""

import sqlalchemy as sa
from alembic import op

revision = "0013_consents"
down_revision = "0012_audit_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent",
        sa.Column("principal", sa.String(128), primary_key=True),
        sa.Column("purpose", sa.String(32), primary_key=True),
        sa.Column("text_version", sa.Integer, nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("text_sha256", sa.String(64), nullable=False),
        sa.Column("given_at", sa.BigInteger, nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "consent_change",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("principal", sa.String(128), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("text_version", sa.Integer, nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("text_sha256", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
    )
    op.create_index("consent_change_person", "consent_change", ["principal", "purpose"])


def downgrade() -> None:
    op.drop_table("consent_change")
    op.drop_table("consent")
