"""Evidence: what is known of a token after a doubt, from whom and when."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import COUNTER, MOMENT

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evidence",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("delivery_id", sa.String, nullable=False),
        sa.Column("token_id", sa.String),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("says", sa.String, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.Column("result", sa.Integer),
        sa.Column("origin", sa.String),
        sa.Column("asked_at", MOMENT),
        sa.Column("told_at", MOMENT),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "delivery_id"],
            ["deliveries.tenant", "deliveries.id"],
            name="fk_evidence_deliveries",
        ),
        sa.Index("ix_evidence_delivery", "tenant", "delivery_id", "first_at", "number"),
    )


def downgrade() -> None:
    op.drop_table("evidence")
