"""Events keep the meter's own code, and where a meter's log was read to is found by index."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("raw_code", sa.Integer))
    op.create_index("events_received", "events", ["tenant", "drn", "received_at"])


def downgrade() -> None:
    op.drop_index("events_received", "events")
    with op.batch_alter_table("events") as events:
        events.drop_column("raw_code")
