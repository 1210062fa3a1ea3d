"""Health: is the process alive, is it ready, can it vend, can it deliver."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from fastapi import APIRouter, Response

from api.auth import Reader, readers_only
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.routes.forms import Told
from headend.errors import StoreDown
from headend.meters import BusName, TenantId

probes = APIRouter(tags=["health"])
router = APIRouter(prefix="/v1", tags=["health"])

# A command that nobody has taken up for so long after its time: nobody serves that bus.
OVERDUE = timedelta(seconds=60)


class HealthTold(Told):
    """An answer, and the reasons when it is no."""

    ok: bool
    because: Sequence[str] = ()

    @classmethod
    def of(cls, reasons: Sequence[str], response: Response) -> "HealthTold":
        response.status_code = 503 if reasons else 200
        return cls(ok=not reasons, because=reasons)


class BusTold(Told):
    """One bus. `linked` is null where this process does not serve it or its driver cannot tell."""

    name: str
    linked: bool | None
    overdue_since: datetime | None


class DeliveringTold(HealthTold):
    """Whether commands leave, bus by bus."""

    buses: Sequence[BusTold]


@probes.get("/health/live", summary="The process runs")
async def live() -> HealthTold:
    return HealthTold(ok=True)


@probes.get(
    "/health/ready", summary="The process can answer", responses={503: {"model": HealthTold}}
)
async def ready(desks: Desks, response: Response) -> HealthTold:
    try:
        async with desks.store.look() as tx:
            await tx.tenants.exists(TenantId("-"))
    except StoreDown:
        return HealthTold.of(["the database cannot be reached"], response)
    return HealthTold.of([], response)


@router.get(
    "/health/can-vend",
    summary="Tokens can be made for you",
    responses=explained(also={503: {"model": HealthTold, "description": "No"}}),
)
async def can_vend(caller: Reader, desks: Desks, response: Response) -> HealthTold:
    """One of your vending keys has not ended and opens, or the security module answers."""
    now = desks.clock.now()
    return HealthTold.of(await desks.vending.ring.obstacles(caller.tenant, now=now), response)


@router.get(
    "/health/can-deliver",
    summary="Commands reach the buses",
    responses=explained(also={503: {"model": DeliveringTold, "description": "Not every bus"}}),
    dependencies=[readers_only],
)
async def can_deliver(desks: Desks, response: Response) -> DeliveringTold:
    """No bus is down, as far as this process serves it, and none leaves its commands lying."""
    buses = [await _bus(desks, name) for name in sorted(desks.catalog.buses())]
    down = [f"bus {bus.name} has no link" for bus in buses if bus.linked is False]
    idle = [f"bus {bus.name} is not served" for bus in buses if bus.overdue_since is not None]
    because = (down + idle) if buses else ["no bus is in the settings"]
    response.status_code = 503 if because else 200
    return DeliveringTold(ok=not because, because=because, buses=buses)


async def _bus(desks: HeadEnd, name: BusName) -> BusTold:
    now = desks.clock.now()
    async with desks.store.look() as tx:
        due = min((await tx.deliveries.next_due(name, now=now)).values(), default=None)
    overdue = due if due is not None and now - due > OVERDUE else None
    link = desks.linked.get(name)
    return BusTold(name=name, linked=link() if link else None, overdue_since=overdue)
