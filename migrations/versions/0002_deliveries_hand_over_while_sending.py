"""Deliveries that are being sent are handed over too: their index for people holds them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEX = "ix_deliveries_people"
COLUMNS = ["created_at", "tenant", "id"]


def upgrade() -> None:
    _replace("state IN ('sending', 'uncertain', 'waiting')")


def downgrade() -> None:
    _replace("state IN ('uncertain', 'waiting')")


def _replace(where: str) -> None:
    op.drop_index(INDEX, "deliveries")
    op.create_index(
        INDEX, "deliveries", COLUMNS, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
