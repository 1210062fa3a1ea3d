"""What finds the sales that are paid and not lit, however many are done."""

from sqlalchemy import Index

from adapters.store.columns import literals
from adapters.store.tables import recharges
from headend.darkness import PAID_STATES

PAID = recharges.c.state.in_(literals(PAID_STATES))
Index(
    "ix_recharges_paid",
    recharges.c.tenant,
    recharges.c.created_at,
    recharges.c.id,
    sqlite_where=PAID,
    postgresql_where=PAID,
)
