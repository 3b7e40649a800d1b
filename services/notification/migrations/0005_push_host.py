"""push host"""

import sqlalchemy as sa
from alembic import op

revision = "0005_push_host"
down_revision = "0004_set_at"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("push", schema=None) as batch_op:
        batch_op.add_column(sa.Column("host", sa.String(length=255), nullable=True))
        batch_op.create_index("push_of_vehicle", ["vin"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("push", schema=None) as batch_op:
        batch_op.drop_index("push_of_vehicle")
        batch_op.drop_column("host")
