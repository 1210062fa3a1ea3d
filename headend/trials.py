"""Trials: what ordering a line would refuse, without ordering anything and without a trace."""

from datetime import datetime

from headend.command_desk import able_meter, check_expiry
from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.credit_parameters import check_parameters
from headend.issuing import check_meter, check_sale, contacts_for, credit_asked, ways_to
from headend.jobs import JobLine
from headend.key_orders import asked
from headend.meters import Drn, Keypad, MeterState
from headend.openings import judge_opening
from headend.places import place_of
from headend.ports import Clock, SecurityModule
from headend.recharge_desk import Routes
from headend.recharges import RechargeOrder
from headend.refusals import MeterNotInService, NoDeliveryMethod
from headend.rekeying import key_for_sale
from headend.store import Store
from headend.supply import SupplyAction


class Trials:
    """Tries lines on the store and the module as they are now. Caps and holds are left out."""

    def __init__(
        self, store: Store, module: SecurityModule, routes: Routes, *, clock: Clock
    ) -> None:
        self._store = store
        self._module = module
        self._routes = routes
        self._clock = clock

    async def try_line(self, line: JobLine) -> None:
        """Raises what ordering it would: OrderRefused, ModuleDown."""
        now = self._clock.now()
        match line.content:
            case RechargeOrder() as order:
                await self._recharge(order, Drn(order.drn), now=now)
            case SetSupply() | SetClock() | SetCreditParameters() as command:
                await self._command(line, command, now=now)
            case Manage() as manage:
                await self._management(line, manage)
            case None:
                raise AssertionError("a line that cannot be read is refused when it is loaded")

    async def _recharge(self, order: RechargeOrder, drn: Drn, *, now: datetime) -> None:
        async with self._store.look() as tx:
            if order.id is not None and await tx.recharges.find(order.tenant, order.id):
                return  # a repeat, or a contradiction that ordering names
            place = await place_of(tx, order.tenant, drn, now=now)
            can = self._routes.capabilities(place.meter)
            methods = ways_to(place.meter, can, contacts_for(order, place.point))
            await check_sale(tx, order, place, methods, now=now)
            if order.amount is None:
                return
            sts = await key_for_sale(tx, place.meter)
        check_meter(place.meter, order.amount)
        await self._module.check(credit_asked(place.meter, sts, order.amount))

    async def _command(
        self, line: JobLine, command: SetSupply | SetClock | SetCreditParameters, *, now: datetime
    ) -> None:
        async with self._store.look() as tx:
            meter = await able_meter(tx, self._routes, line.tenant, _meter_of(line), command)
            if isinstance(command, SetCreditParameters):
                check_parameters(command.change, meter)
            if not isinstance(command, SetSupply):
                return
            check_expiry(command, now=now)
            if command.action is SupplyAction.OPEN:
                judged = await judge_opening(tx, meter, command, now=now)
                if judged.refusal is not None:
                    raise judged.refusal

    async def _management(self, line: JobLine, command: Manage) -> None:
        async with self._store.look() as tx:
            place = await place_of(tx, line.tenant, _meter_of(line), now=self._clock.now())
        meter = place.meter
        if meter.state is MeterState.RETIRED:
            raise MeterNotInService(f"meter {meter.drn} is {meter.state}", field="meter")
        ways = ways_to(meter, self._routes.capabilities(meter), contacts_for(None, place.point))
        if not ways and meter.keypad is Keypad.NONE:
            raise NoDeliveryMethod("no way leads to this meter", field="meter")
        if command.order.kind.needs_key:
            await self._module.check(asked(meter, command.order))


def _meter_of(line: JobLine) -> Drn:
    assert line.drn is not None
    return line.drn
