"""A counted key change is remembered with its number of tokens, so that another is told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dangerous_orders", sa.Column("three_kct", sa.Boolean()))


def downgrade() -> None:
    op.drop_column("dangerous_orders", "three_kct")
