"""Numbers of waiting audit entries that are never used up: eight bytes on PostgreSQL, as SQLite's always were."""

from alembic import op

revision = "0010_wide_audit_outbox"
down_revision = "0009_legal_holds"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE audit_outbox ALTER COLUMN sequence TYPE BIGINT")
        op.execute("ALTER SEQUENCE audit_outbox_sequence_seq AS BIGINT")


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER SEQUENCE audit_outbox_sequence_seq AS INTEGER")
        op.execute("ALTER TABLE audit_outbox ALTER COLUMN sequence TYPE INTEGER")
