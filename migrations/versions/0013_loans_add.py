"""Loans: a line in the hands of a person for a while."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import MOMENT

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "loans",
        sa.Column("bus", sa.String, primary_key=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("borrower", sa.String, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("noticed_at", MOMENT),
        sa.Column("granted_at", MOMENT),
    )


def downgrade() -> None:
    op.drop_table("loans")
