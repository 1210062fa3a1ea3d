"""The newest supply order of a meter: what is wanted of its supply now.

Openings for different reasons stand beside each other: what ends one need not end the other.
"""

from headend.commands import Command, SetSupply
from headend.deliveries import Delivery, DeliveryState
from headend.store import Transaction
from headend.supply import SupplyAction

# What never reached the meter says nothing.
_COUNTS = frozenset(DeliveryState) - {DeliveryState.FAILED, DeliveryState.CANCELLED}


async def supply_orders(tx: Transaction, delivery: Delivery) -> list[Delivery]:
    """The last supply orders of the same meter, newest first; without what never reached it."""
    found = await tx.deliveries.newest_of(delivery.tenant, delivery.drn, SetSupply, states=_COUNTS)
    return sorted(found, key=_place, reverse=True)


async def overtaken(tx: Transaction, delivery: Delivery) -> bool:
    """A newer supply order was made that ends this one: it must not be sent after it."""
    return any(
        _place(one) > _place(delivery) and ends(one.command, delivery.command)
        for one in await supply_orders(tx, delivery)
    )


def ends(newer: Command, older: Command) -> bool:
    """Both order supply, and they do not open it for different reasons."""
    if not isinstance(newer, SetSupply) or not isinstance(older, SetSupply):
        return False
    both_open = newer.action is older.action is SupplyAction.OPEN
    return not both_open or newer.reason is older.reason


def _place(delivery: Delivery) -> tuple[int, str]:
    return delivery.rank, delivery.id
