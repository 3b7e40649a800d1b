"""former devices"""

import sqlalchemy as sa
from alembic import op

revision = "0002_former_devices"
down_revision = "0001_notification"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "former_push_device",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=2048), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("p256dh", sa.LargeBinary(), nullable=False),
        sa.Column("auth", sa.LargeBinary(), nullable=False),
        sa.Column("app", sa.String(length=128), nullable=False),
        sa.Column("parted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("former_push_device", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_former_push_device_parted_at"), ["parted_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_former_push_device_person"), ["person"], unique=False)
        batch_op.create_index(batch_op.f("ix_former_push_device_token_hash"), ["token_hash"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("former_push_device", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_former_push_device_token_hash"))
        batch_op.drop_index(batch_op.f("ix_former_push_device_person"))
        batch_op.drop_index(batch_op.f("ix_former_push_device_parted_at"))

    op.drop_table("former_push_device")
