"""A dangerous order is remembered as it was, so that another one under its id is told apart."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dangerous_orders", sa.Column("command", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("dangerous_orders", "command")
