"""Jobs of a tenant take turns."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import MOMENT

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("turn_at", MOMENT))


def downgrade() -> None:
    op.drop_column("jobs", "turn_at")
