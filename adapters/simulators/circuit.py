"""The metered circuit of a simulated meter: load, credit and relay, as they act on each other.

Credit runs out in the middle of a minute and supply goes off there; it comes back with credit, at
once or by the button, as configured. Knows nothing of tokens and wires.
"""

from datetime import datetime, timedelta

from adapters.simulators.account import Account
from adapters.simulators.logs import EventLog, TokenEntry
from adapters.simulators.meter_clock import MICROSECOND, MeterClock
from adapters.simulators.plate import MeterSettings
from adapters.simulators.relay import Hold, Relay
from adapters.simulators.supply_port import (
    SupplyAnswer,
    SupplyCommand,
    SupplyOrder,
    SupplyPort,
    SupplyResult,
    obstacle,
)
from headend.events import EventType
from headend.supply import ControlState, DarkCause

_CAUSE_OF = {
    Hold.TAMPER: DarkCause.TAMPER_LOCK,
    Hold.OVERLOAD: DarkCause.OVERLOAD,
    Hold.CREDIT: DarkCause.OUT_OF_CREDIT,
    Hold.DEBT: DarkCause.DEBT,
    Hold.REMOTE: DarkCause.DISCONNECTED,
}
GRID_MV = 230_000


class Circuit:
    """Everything behind the terminals; `powered` is the grid's side."""

    def __init__(
        self,
        settings: MeterSettings,
        now: datetime,
        *,
        clock: MeterClock,
        events: EventLog,
        credit_milli: int,
        load: int,
    ) -> None:
        self.account = Account(
            credit_milli=credit_milli, load=load, price_milli=settings.price_milli
        )
        self.relay = Relay()
        self.port = SupplyPort()
        self.powered = True
        self.power_limit_w: int | None = None
        self.unbalance_limit_w: int | None = None
        self.reconnect_milli = settings.reconnect_milli
        self.low_credit_milli = settings.low_credit_milli
        self.debt_milli = 0
        self.grid_mv = GRID_MV
        self.keypad_unit_lost = False
        self._settings = settings
        self._clock = clock
        self._events = events
        self._lived_to = now
        self.settle(now)

    @property
    def flow(self) -> int:
        """Present load through the meter: W, or l/h."""
        return self.account.load if self.fed and self.relay.closed else 0

    @property
    def fed(self) -> bool:
        """There is voltage at the terminals; a meter with a battery lives on without."""
        return self.powered and self.grid_mv > 0

    @property
    def load_mv(self) -> int:
        """Voltage behind the contacts."""
        return self.grid_mv if self.relay.closed else 0

    @property
    def load_ma(self) -> int:
        """Current through the contacts, of a load without reactive part."""
        return self.flow * 1_000_000 // self.grid_mv if self.flow else 0

    @property
    def cause(self) -> DarkCause | None:
        """Why there is no supply; None when there is, or when the button helps."""
        if not self.fed:
            return DarkCause.NO_VOLTAGE
        if self.relay.closed:
            return None
        if not self.relay.obeys:
            return DarkCause.RELAY_FAULT
        held = next((dark for hold, dark in _CAUSE_OF.items() if hold in self.relay.holds), None)
        if held is DarkCause.OUT_OF_CREDIT and self.account.credit_milli > 0:
            return DarkCause.BELOW_THRESHOLD
        lost = self.keypad_unit_lost and self.relay.control is ControlState.READY
        return DarkCause.KEYPAD_UNIT_LOST if lost else held

    def tell(
        self, type: EventType, now: datetime, *, argument: int = 0, entry: TokenEntry | None = None
    ) -> None:
        """Write an event, by the meter's clock."""
        self._events.add(type, self._clock.at(now), argument=argument, entry=entry)

    # --- time ------------------------------------------------------------------------------------

    def consume_until(self, now: datetime) -> None:
        """Let the load run up to `now`."""
        elapsed_us = (now - self._lived_to) // MICROSECOND
        if elapsed_us <= 0:
            return
        start, self._lived_to = self._lived_to, now
        if not self.flow:
            return
        before = self.account.credit_milli
        prepaid = Hold.CREDIT not in self.relay.holds
        used_us = self.account.consume(elapsed_us, stop_at_zero=prepaid)
        if self.account.credit_milli <= self.low_credit_milli < before:
            self.tell(EventType.LOW_CREDIT_1, now)
        self.settle(start + timedelta(microseconds=used_us))
        if self.relay.closed:  # contacts that do not follow go on letting current through
            self.account.consume(elapsed_us - used_us, stop_at_zero=False)

    def settle(self, now: datetime) -> None:
        """Switch supply as credit and load now ask for."""
        if self.account.credit_milli > 0:
            if self.account.credit_milli >= self.reconnect_milli:
                self.release(Hold.CREDIT, now)
        elif Hold.CREDIT not in self.relay.holds:
            self.hold(Hold.CREDIT, now)
            self.tell(EventType.CREDIT_OUT, now)
        if self._overloaded and self.relay.control is ControlState.CONNECTED:
            self.hold(Hold.OVERLOAD, now)
            self.tell(EventType.OVERLOAD_TRIP, now)

    @property
    def _overloaded(self) -> bool:
        return self.power_limit_w is not None and self.account.load > self.power_limit_w

    # --- supply ----------------------------------------------------------------------------------

    def hold(self, cause: Hold, now: datetime) -> None:
        """Keep supply off for one more cause."""
        if self.relay.hold(cause):
            self._moved(now)

    def release(self, cause: Hold, now: datetime) -> None:
        """Take one cause away."""
        if self.relay.release(cause, button=self._settings.needs_button):
            self._moved(now)

    def press(self, now: datetime) -> None:
        """The customer presses the button; an overload trip is cleared once the load is off."""
        if self.keypad_unit_lost:
            return  # the button is on it
        if Hold.OVERLOAD in self.relay.holds and not self._overloaded:
            self.release(Hold.OVERLOAD, now)
        if self.relay.press():
            self._moved(now)
            self.settle(now)

    def set_broken(self, broken: bool, now: datetime) -> None:
        """Let the contacts stay where they are, or follow again."""
        self.relay.set_broken(broken)
        if not broken:
            self.settle(now)

    def limit(self, watts: int | None, now: datetime) -> None:
        """Trip above so many W; None takes the limit away."""
        self.power_limit_w = watts
        self.settle(now)

    def owe(self, debt_milli: int, now: datetime) -> None:
        """Keep supply off until a debt is nothing any more; credit does not pay it."""
        self.debt_milli = debt_milli
        if debt_milli > 0:
            self.hold(Hold.DEBT, now)
        else:
            self.release(Hold.DEBT, now)

    def lose_keypad_unit(self, lost: bool, now: datetime) -> None:
        """Hear nothing of the unit in the home any more, or hear it again."""
        if lost and not self.keypad_unit_lost:
            self.tell(EventType.KEYPAD_UNIT_LOST, now)
        self.keypad_unit_lost = lost

    def order(self, order: SupplyOrder) -> None:
        """Take an order by wire; it is done when it is due."""
        self.port.take(order)

    def finish_order(self, now: datetime) -> None:
        """Do the order that is due."""
        order = self.port.pending
        assert order is not None
        result = self._obey(order, now)
        answer = SupplyAnswer(
            id=order.id, result=result, closed=self.relay.closed, at=self._clock.at(now)
        )
        self.port.finish(answer)

    def _obey(self, order: SupplyOrder, now: datetime) -> SupplyResult:
        if order.until is not None and self._clock.at(now) > order.until:
            return SupplyResult.EXPIRED
        if order.command is SupplyCommand.OPEN:
            self.hold(Hold.REMOTE, now)
            return obstacle(self.relay, order)
        closes = order.command is SupplyCommand.CLOSE_NOW
        if closes and not self._settings.closes_by_remote:
            return SupplyResult.NOT_AUTHORISED
        # Whoever closes by remote is not there to see what is switched on: the button, unless
        # the meter is made for it.
        if self.relay.release(Hold.REMOTE, button=not self._settings.closes_by_remote):
            self._moved(now)
        if closes and self.relay.close():
            self._moved(now)
        return obstacle(self.relay, order)

    def _moved(self, now: datetime) -> None:
        if self.relay.control is ControlState.CONNECTED:
            self.tell(EventType.SUPPLY_CLOSED, now, argument=self.relay.reason)
            if not self.relay.closed:
                self.tell(EventType.NO_VOLTAGE_WHILE_CLOSED, now)
        elif self.relay.control is ControlState.DISCONNECTED:
            self.tell(EventType.SUPPLY_OPENED, now, argument=self.relay.reason)
            if self.relay.closed:
                self.tell(EventType.CURRENT_WHILE_OPEN, now)
