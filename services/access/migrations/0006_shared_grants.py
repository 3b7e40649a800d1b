"""Grants that people give each other: kinds, hours, offers, suspension."""

import sqlalchemy as sa
from alembic import op

revision = "0006_shared_grants"
down_revision = "0005_key_scopes"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("kind", sa.String(16)),
    ("schedule", sa.String(1024)),
    ("label", sa.String(64)),
    ("given_by", sa.String(128)),
    ("offered_until", sa.BigInteger),
    ("accepted_at", sa.BigInteger),
    ("suspended_at", sa.BigInteger),
    ("resumed_at", sa.BigInteger),
    ("ends_at", sa.BigInteger),
    ("rests", sa.Boolean),
    ("request_digest", sa.String(64)),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("access_grant", sa.Column(name, kind, nullable=True))
    op.create_index("access_grant_giver", "access_grant", ["given_by"])


def downgrade() -> None:
    op.drop_index("access_grant_giver", table_name="access_grant")
    with op.batch_alter_table("access_grant", schema=None) as batch_op:
        for name, _ in reversed(_COLUMNS):
            batch_op.drop_column(name)
