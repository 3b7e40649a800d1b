"""shown"""

import sqlalchemy as sa
from alembic import op

revision = "0003_shown"
down_revision = "0002_former_devices"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shown",
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("collapse", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("shown_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device", "collapse"),
    )
    with op.batch_alter_table("shown", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shown_person"), ["person"], unique=False)
        batch_op.create_index(batch_op.f("ix_shown_shown_at"), ["shown_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("shown", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shown_shown_at"))
        batch_op.drop_index(batch_op.f("ix_shown_person"))

    op.drop_table("shown")
