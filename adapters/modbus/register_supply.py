"""Supply by plain registers: contacts as told, and one register that takes orders.

A word of the profile means one thing, open or permit to close, and is written once; nothing is
toggled, and no word that closes at once is offered.
"""

import asyncio
from datetime import datetime

from adapters.modbus.doubt import in_doubt
from adapters.modbus.profile import SupplyRegisters
from adapters.modbus.unit import Unit
from headend.commands import SetSupply
from headend.errors import NoAnswer, Refused, Unsupported
from headend.supply import Contacts, Supply, SupplyAction

# A slow relay takes two seconds to move and to be measured.
FOLLOW_S = 5.0
LOOK_AGAIN_S = 0.5


async def read_supply(unit: Unit, supply: SupplyRegisters, taken_at: datetime) -> Supply:
    """The contacts as the meter measures them; what commands it, such meters do not tell."""
    return Supply(
        contacts=await _contacts(unit, supply), control=None, cause=None, taken_at=taken_at
    )


async def order_supply(
    unit: Unit, supply: SupplyRegisters, order: SetSupply, now: datetime
) -> None:
    """Open, or permit to close; an opening is looked at.

    Raises NoAnswer where the contacts did not follow in time: a sticky relay may open later.
    """
    opening = order.action is SupplyAction.OPEN
    word = supply.open_word if opening else supply.permit_close_word
    if supply.order_at is None or word is None:
        raise Unsupported("this meter takes no such order")
    if order.expires_at <= now:
        raise Refused("the supply order has expired")
    await unit.write(supply.order_at, (word,))
    if not opening or supply.contacts is None:
        return
    with in_doubt():
        followed = await _opens(unit, supply)
    if not followed:
        raise NoAnswer("supply order: the contacts did not follow yet")


async def _opens(unit: Unit, supply: SupplyRegisters) -> bool:
    deadline = asyncio.get_running_loop().time() + FOLLOW_S
    while asyncio.get_running_loop().time() < deadline:
        if await _contacts(unit, supply) is Contacts.OPEN:
            return True
        await asyncio.sleep(LOOK_AGAIN_S)
    return False


async def _contacts(unit: Unit, supply: SupplyRegisters) -> Contacts:
    cell = supply.contacts
    assert cell is not None, "a profile without contacts cannot tell its supply"
    value = cell.format.value(await unit.read(cell.table, cell.span))
    if value in supply.contacts_open:
        return Contacts.OPEN
    return Contacts.CLOSED if value in supply.contacts_closed else Contacts.UNKNOWN
