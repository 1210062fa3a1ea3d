"""Looking: what a meter is asked beside its readings, and for how long something waits to be seen.

A recharge that waits for its light makes the polls of its meter come soon, then ever less often.
"""

from datetime import datetime

from headend.meters import Drn, TenantId
from headend.store import Transaction


async def looking_since(tx: Transaction, tenant: TenantId, drn: Drn) -> datetime | None:
    """Since when the newest thing waits to be seen of this meter, or None."""
    moments = []
    for recharge in await tx.recharges.unlit(tenant, drn):
        delivery = await tx.deliveries.of(recharge.id, tenant)
        if delivery is not None and delivery.confirmed_at is not None:
            moments.append(delivery.confirmed_at)
    return max(moments, default=None)
