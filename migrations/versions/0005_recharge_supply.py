"""Recharges tell what keeps a paid home dark: the missing amount, the debt, the proof of supply."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recharges", sa.Column("supply_proof", sa.String))
    op.add_column("recharges", sa.Column("missing_milli", sa.BigInteger))
    op.add_column("recharges", sa.Column("debt_milli", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("recharges", "debt_milli")
    op.drop_column("recharges", "missing_milli")
    op.drop_column("recharges", "supply_proof")
