"""What the registers of a meter prove: credit bought = credit gained + what was consumed.

A balance over two readings, exact to the resolution of the registers; without a consumption
register nothing is proved, for consumption hides credit.
"""

from collections.abc import Mapping
from decimal import Decimal

from headend.pages import Cursor
from headend.readings import Reading, ReadingType
from headend.recharges import UNLIT_STATES, Recharge, RechargeState
from headend.store import RechargeFilter, Transaction

_CONSUMPTION = (ReadingType.ENERGY_IMPORT_WH, ReadingType.VOLUME_L)
# Registers are cut, not rounded, and read a moment apart.
TOLERANCE_MILLI = 20
# Sales of one meter that are looked through for another explanation.
NEIGHBOURS = 50
_CREDITED = UNLIT_STATES | {RechargeState.LIT}


def register_shows(
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
    amount: Decimal,
) -> bool | None:
    """Whether the meter was credited with `amount` (units of its service) between two readings.

    False: with nothing at all; None: they cannot tell.
    """
    credited = credited_milli(before, after)
    if credited is None:
        return None
    if abs(credited - int(amount * 1000)) <= TOLERANCE_MILLI:
        return True
    return False if abs(credited) <= TOLERANCE_MILLI else None


def credited_milli(
    before: Mapping[ReadingType, Reading], after: Mapping[ReadingType, Reading]
) -> int | None:
    """What the meter was credited between two sets of readings, in thousandths of its unit.

    None where the registers do not tell.
    """
    gained = _rise(before, after, ReadingType.CREDIT_LEFT_MILLI)
    used = next(
        (rise for kind in _CONSUMPTION if (rise := _rise(before, after, kind)) is not None),
        None,
    )
    if gained is None or used is None or used < 0:
        return None
    # One unit of consumption is 1000 of its register (Wh, l), as one unit of credit is.
    return gained + used


async def believable_before(tx: Transaction, recharge: Recharge) -> Mapping[ReadingType, Reading]:
    """The last readings that were here before a sale: its token was in none of them."""
    latest = await tx.readings.latest(recharge.tenant, recharge.drn, before=recharge.created_at)
    sold_at = recharge.created_at
    return {kind: one for kind, one in latest.items() if one.received_at <= sold_at}


async def credited_otherwise(
    tx: Transaction, recharge: Recharge, before: Mapping[ReadingType, Reading]
) -> bool:
    """Another sale may explain what the register gained since then."""
    # By whichever clock is behind: the meter's or ours.
    moments = [min(one.taken_at, one.received_at) for one in before.values()]
    since = min(moments, default=recharge.created_at)
    where = RechargeFilter(drn=recharge.drn)
    page = await tx.recharges.page(recharge.tenant, Cursor(limit=NEIGHBOURS), where)
    others = [one for one in page.items if one.id != recharge.id]
    if any(one.state in _CREDITED and one.changed_at >= since for one in others):
        return True
    return page.next is not None and page.items[-1].created_at >= since


def _rise(
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
    kind: ReadingType,
) -> int | None:
    old, new = before.get(kind), after.get(kind)
    if old is None or new is None or new.taken_at <= old.taken_at:
        return None
    return new.value - old.value
