"""The public keys of vehicles; a vehicle of a load generator has no certificate."""

import sqlalchemy as sa
from alembic import op

revision = "0002_vehicle_keys"
down_revision = "0001_enrolment"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("vehicle_enrolment") as table:
        table.alter_column("fingerprint", existing_type=sa.String(64), nullable=True)
        table.add_column(sa.Column("verify_key", sa.LargeBinary))
        table.add_column(sa.Column("seal_key", sa.LargeBinary))
        table.create_unique_constraint("vehicle_enrolment_verify_key_key", ["verify_key"])
        table.create_unique_constraint("vehicle_enrolment_seal_key_key", ["seal_key"])


def downgrade() -> None:
    op.execute("DELETE FROM vehicle_enrolment WHERE fingerprint IS NULL")
    with op.batch_alter_table("vehicle_enrolment") as table:
        table.drop_constraint("vehicle_enrolment_verify_key_key", type_="unique")
        table.drop_constraint("vehicle_enrolment_seal_key_key", type_="unique")
        table.drop_column("verify_key")
        table.drop_column("seal_key")
        table.alter_column("fingerprint", existing_type=sa.String(64), nullable=False)
