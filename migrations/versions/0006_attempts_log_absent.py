"""Attempts keep whether the meter's token log was read and did not hold the token."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("log_absent", sa.Boolean))


def downgrade() -> None:
    op.drop_column("attempts", "log_absent")
