"""The desk for supply, clock and credit parameters; what is dangerous is admitted first."""

from dataclasses import replace
from datetime import datetime, timedelta

from headend.admission import admit, note, wish_for
from headend.announcing import delivery_news
from headend.approvals import EXPIRES_AFTER
from headend.audit import AuditAction
from headend.commands import (
    Command,
    SetClock,
    SetCreditParameters,
    SetSupply,
    needs,
    urgency,
)
from headend.credit_parameters import CreditParameters, check_parameters
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.issuing import rank_of
from headend.meters import Drn, Meter, MeterState, TenantId
from headend.newest_supply import ends
from headend.openings import judge_opening
from headend.outbox import announce
from headend.people import UNNAMED, Requester
from headend.ports import Chance, Clock
from headend.races import lost_races_again
from headend.recharge_desk import Routes
from headend.refusals import (
    CommandUnsupported,
    MalformedOrder,
    MeterNotInService,
    OrderDiffers,
    OrderRefused,
    UnknownMeter,
)
from headend.store import Store, Transaction
from headend.supply import SupplyAction, SupplyReason

EXPIRY_MAX = timedelta(hours=72)
CLOCK_EXPIRY = timedelta(hours=1)
# A meter that was away for a day comes back to what was decided, one that was away longer does not.
PARAMETERS_EXPIRY = timedelta(hours=24)


class CommandDesk:
    """Orders what a wire sets, once per id; a newer order replaces a waiting older one."""

    def __init__(
        self,
        store: Store,
        routes: Routes,
        *,
        clock: Clock,
        chance: Chance,
        approval_lasts: timedelta = EXPIRES_AFTER,
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._chance = chance
        self._approval_lasts = approval_lasts

    async def order_supply(
        self,
        tenant: TenantId,
        drn: Drn,
        *,
        ident: str,
        action: SupplyAction,
        reason: SupplyReason,
        expires_at: datetime,
        ordered_by: str,
        requester: Requester = UNNAMED,
    ) -> tuple[Delivery, bool]:
        """Order supply; whether it is new. Raises OrderRefused (protected, cap, expiry, ...)."""
        command = SetSupply(action=action, reason=reason, expires_at=expires_at)
        return await self._order(
            tenant,
            drn,
            command,
            ident=ident,
            deadline=expires_at,
            ordered_by=ordered_by,
            requester=requester,
        )

    async def order_clock(
        self,
        tenant: TenantId,
        drn: Drn,
        *,
        ident: str,
        ordered_by: str,
        requester: Requester = UNNAMED,
    ) -> tuple[Delivery, bool]:
        """Order the clock to be set; whether it is new."""
        return await self._order(
            tenant,
            drn,
            SetClock(),
            ident=ident,
            deadline=self._clock.now() + CLOCK_EXPIRY,
            ordered_by=ordered_by,
            requester=requester,
        )

    async def order_parameters(
        self,
        tenant: TenantId,
        drn: Drn,
        change: CreditParameters,
        *,
        ident: str,
        ordered_by: str,
        requester: Requester = UNNAMED,
    ) -> tuple[Delivery, bool]:
        """Order credit parameters or a power limit; whether it is new.

        Raises OrderRefused (unit, cap, a model without them, ...).
        """
        async with self._store.look() as tx:
            meter = await tx.meters.find(tenant, drn)
        if meter is not None:
            check_parameters(change, meter)
        return await self._order(
            tenant,
            drn,
            SetCreditParameters(change),
            ident=ident,
            deadline=self._clock.now() + PARAMETERS_EXPIRY,
            ordered_by=ordered_by,
            requester=requester,
        )

    @lost_races_again
    async def _order(
        self,
        tenant: TenantId,
        drn: Drn,
        command: Command,
        *,
        ident: str,
        deadline: datetime,
        ordered_by: str,
        requester: Requester = UNNAMED,
    ) -> tuple[Delivery, bool]:
        now = self._clock.now()
        async with self._store.begin() as tx:
            known = await tx.deliveries.find(tenant, ident)
            if known is not None:
                return _same(known, drn, command), False
            meter = await able_meter(tx, self._routes, tenant, drn, command)
            refusal = await self._refusal(
                tx, meter, command, ident, ordered_by=ordered_by, requester=requester, now=now
            )
            if refusal is None:
                await _replace_waiting(tx, meter, command, now=now)
                new = _new(meter, command, ident, deadline, ordered_by, now=now)
                bulk = requester.job is not None
                delivery = replace(new, priority=urgency(command, bulk=bulk))
                await tx.deliveries.add(delivery)
        if refusal is not None:
            raise refusal
        if delivery.bus is not None:
            self._routes.wake(delivery.bus)
        return delivery, True

    async def _refusal(
        self,
        tx: Transaction,
        meter: Meter,
        command: Command,
        ident: str,
        *,
        ordered_by: str,
        requester: Requester,
        now: datetime,
    ) -> OrderRefused | None:
        """Why an order is not taken, written down where it is dangerous; None: it is."""
        if isinstance(command, SetSupply):
            check_expiry(command, now=now)
        wish = wish_for(
            meter,
            command,
            ident,
            ordered_by=ordered_by,
            requester=requester,
            approval_lasts=self._approval_lasts,
        )
        if wish is None:
            return None
        if isinstance(command, SetSupply):
            judged = await judge_opening(tx, meter, command, now=now)
            if judged.refusal is not None:
                await note(tx, wish, AuditAction.ORDER_REFUSED, judged.refusal.slug, now=now)
                return judged.refusal
            wish = replace(wish, always=judged.always)
        return await admit(tx, wish, now=now, approval_id=self._chance.ident(now))


async def able_meter(
    tx: Transaction, routes: Routes, tenant: TenantId, drn: Drn, command: Command
) -> Meter:
    """The meter that can be told this; raises OrderRefused."""
    meter = await tx.meters.find(tenant, drn)
    if meter is None:
        raise UnknownMeter(f"no meter {drn}", field="meter")
    if meter.state is MeterState.RETIRED:
        raise MeterNotInService(f"meter {drn} is {meter.state}", field="meter")
    if meter.route is None or needs(command) not in routes.capabilities(meter):
        raise CommandUnsupported(
            f"profile {meter.profile} on its route {_lacks(command)}", field="meter"
        )
    return meter


def _lacks(command: Command) -> str:
    if isinstance(command, SetCreditParameters):
        return f"has no {', '.join(sorted(command.change.named))}"
    return "cannot do this"


def _replaces(newer: Command, older: Command) -> bool:
    """It is of the same kind, and says all that the older one says."""
    if isinstance(newer, SetCreditParameters) and isinstance(older, SetCreditParameters):
        return newer.change.named >= older.change.named
    if isinstance(newer, SetSupply):
        return ends(newer, older)
    return type(newer) is type(older)


def _same(known: Delivery, drn: Drn, command: Command) -> Delivery:
    """A repeat is an answer, a contradiction names its field."""
    if known.drn != drn:
        raise OrderDiffers(known.id, "meter")
    if known.command != command:
        raise OrderDiffers(known.id, "order")
    return known


def check_expiry(order: SetSupply, *, now: datetime) -> None:
    """Raises MalformedOrder when it has expired, or expires too late."""
    if not now < order.expires_at <= now + EXPIRY_MAX:
        hours = int(EXPIRY_MAX.total_seconds() // 3600)
        raise MalformedOrder(f"expires_at must lie ahead, at most {hours} h", field="expires_at")


async def _replace_waiting(
    tx: Transaction, meter: Meter, command: Command, *, now: datetime
) -> None:
    """A newer command of the same kind replaces an older one that still waits."""
    waiting = frozenset({DeliveryState.WAITING})
    for older in await tx.deliveries.of_meter(meter.tenant, meter.drn, states=waiting):
        if _replaces(command, older.command):
            after = older.after(Fact.CANCELLED, now=now)
            if after != older:
                await tx.deliveries.save(after, was=older.state)
                await announce(tx, *delivery_news(older, after, now=now))


def _new(
    meter: Meter,
    command: Command,
    ident: str,
    deadline: datetime,
    ordered_by: str,
    *,
    now: datetime,
) -> Delivery:
    return Delivery(
        id=ident,
        tenant=meter.tenant,
        drn=meter.drn,
        bus=meter.route.bus if meter.route else None,
        command=command,
        ordered_by=ordered_by,
        priority=urgency(command),
        rank=rank_of(now),
        methods=frozenset({DeliveryMethod.REMOTE}),
        not_before=now,
        deadline=deadline,
        created_at=now,
        changed_at=now,
    )
