"""An event without a time of its own is known again by the message that told it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TOLD = sa.text("message IS NOT NULL")


def upgrade() -> None:
    op.add_column("events", sa.Column("message", sa.String))
    op.create_index(
        "events_message",
        "events",
        ["tenant", "drn", "code", "message"],
        unique=True,
        sqlite_where=_TOLD,
        postgresql_where=_TOLD,
    )


def downgrade() -> None:
    op.drop_index("events_message", "events")
    op.drop_column("events", "message")
