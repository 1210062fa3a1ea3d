"""Places: a meter with the policy it falls under and the usage point it serves."""

from dataclasses import dataclass
from datetime import datetime

from headend.meters import Drn, Meter, TenantId
from headend.refusals import UnknownMeter
from headend.store import Transaction
from headend.supply_groups import SupplyGroup, default_group
from headend.usage_points import UsagePoint


@dataclass(frozen=True, slots=True)
class Place:
    """A meter with the policy it falls under and the place it serves."""

    meter: Meter
    group: SupplyGroup
    point: UsagePoint | None


async def place_of(tx: Transaction, tenant: TenantId, drn: Drn, *, now: datetime) -> Place:
    """The place of a meter; raises UnknownMeter."""
    meter = await tx.meters.find(tenant, drn)
    if meter is None:
        raise UnknownMeter(f"no meter {drn}", field="meter")
    group = await tx.supply_groups.find(tenant, meter.sts.sgc)
    point = await tx.usage_points.find(tenant, meter.usage_point) if meter.usage_point else None
    return Place(meter, group or default_group(tenant, meter.sts.sgc, now), point)
