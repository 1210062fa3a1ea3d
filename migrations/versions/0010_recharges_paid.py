"""Sales that are paid and not lit are found by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PAID = sa.text("state IN ('awaiting_button', 'credited', 'dark', 'issued', 'open', 'unresolved')")


def upgrade() -> None:
    op.create_index(
        "ix_recharges_paid",
        "recharges",
        ["tenant", "created_at", "id"],
        sqlite_where=_PAID,
        postgresql_where=_PAID,
    )


def downgrade() -> None:
    op.drop_index("ix_recharges_paid", "recharges")
