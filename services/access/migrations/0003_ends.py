"""When an API key ends by itself, and which keys of the issuer were trusted."""

import sqlalchemy as sa
from alembic import op

revision = "0003_ends"
down_revision = "0002_pending_grants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_key", sa.Column("expires_at", sa.BigInteger, nullable=True))
    op.create_table(
        "issuer_key",
        sa.Column("credential", sa.String(64), primary_key=True),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("issuer_key")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("expires_at")
