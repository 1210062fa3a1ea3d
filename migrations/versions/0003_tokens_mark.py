"""Tokens remember the mark of the vending key that they were made under."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("mark", sa.String))


def downgrade() -> None:
    op.drop_column("tokens", "mark")
