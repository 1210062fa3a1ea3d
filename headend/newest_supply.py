"""The newest supply order of a meter: what is wanted of its supply now."""

from headend.commands import SetSupply
from headend.deliveries import Delivery, DeliveryState
from headend.store import Transaction

# What never reached the meter says nothing.
_COUNTS = frozenset(DeliveryState) - {DeliveryState.FAILED, DeliveryState.CANCELLED}


async def supply_orders(tx: Transaction, delivery: Delivery) -> list[Delivery]:
    """The last supply orders of the same meter, newest first; without what never reached it."""
    found = await tx.deliveries.newest_of(delivery.tenant, delivery.drn, SetSupply, states=_COUNTS)
    return sorted(found, key=_place, reverse=True)


async def overtaken(tx: Transaction, delivery: Delivery) -> bool:
    """A newer supply order was made: this one must not be sent after it."""
    return any(_place(one) > _place(delivery) for one in await supply_orders(tx, delivery))


def _place(delivery: Delivery) -> tuple[int, str]:
    return delivery.rank, delivery.id
