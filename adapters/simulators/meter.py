"""A simulated STS payment meter: it takes tokens, counts credit down and switches supply.

Follows IEC 62055-41, clause 7.3, for what it does with a token. Time is brought in by the callers;
state outlives power cuts. Knows nothing of Modbus, MQTT, or what the head-end believes.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from adapters.simulators.circuit import Circuit
from adapters.simulators.day_book import DayBook
from adapters.simulators.decoder import Decoder, Verdict
from adapters.simulators.display import Shown, shown
from adapters.simulators.effects import amount_milli, carry_out
from adapters.simulators.faults import Dying, Faults
from adapters.simulators.kept_values import KeptValues
from adapters.simulators.logs import EventLog, Origin, RequestId, TokenEntry, TokenLog
from adapters.simulators.meter_clock import MeterClock
from adapters.simulators.plate import MeterSettings, Plate
from adapters.simulators.relay import Hold, Relay
from adapters.simulators.supply_port import SupplyOrder
from adapters.simulators.token_port import TokenPort
from headend.events import EventType
from headend.tokens import TokenResult
from protocols.sts.metertest import ExtendedRead, MeterTest
from protocols.sts.tables import TokenClass

SECOND = timedelta(seconds=1)
NOTABLE_STEP = 2 * SECOND


class MeterDown(Exception):
    """The meter has no power."""


class SimulatedMeter:
    """One meter. `credit_milli` and `import_milli` are its registers; `faults` its wire.

    `displayed` is what the last class 1 token showed; `changes` counts management tokens.

    Every method takes the true time, and the meter first lives up to it. What asks a meter for
    something raises MeterDown while it has no power.
    """

    def __init__(
        self,
        plate: Plate,
        now: datetime,
        *,
        settings: MeterSettings | None = None,
        credit_milli: int = 0,
        load: int = 0,
    ) -> None:
        self.plate = plate
        self.settings = settings or MeterSettings()
        self.maximum_credit_milli = self.settings.maximum_credit_milli
        self.faults = Faults()
        self.decoder = Decoder(plate, self.settings)
        self.clock = MeterClock(now, drift_ppm=self.settings.drift_ppm)
        self.tokens = TokenLog()
        self.events = EventLog()
        self.token_port = TokenPort(self.settings.processing_s)
        self.circuit = Circuit(
            self.settings,
            now,
            clock=self.clock,
            events=self.events,
            credit_milli=credit_milli,
            load=load,
        )
        self.kept = KeptValues()
        self.day_book = DayBook(now)
        self.displayed: Mapping[Shown, str] = {}
        self.changes = 0
        self._back_at: datetime | None = None

    def __repr__(self) -> str:
        return f"SimulatedMeter({self.drn})"

    @property
    def drn(self) -> str:
        return self.plate.drn.digits

    @property
    def credit_milli(self) -> int:
        """The credit register as lived so far: thousandths of a unit, or of money."""
        return self.circuit.account.credit_milli

    @property
    def import_milli(self) -> int:
        """The import register as lived so far: Wh or litres."""
        return self.circuit.account.import_milli

    @property
    def relay(self) -> Relay:
        return self.circuit.relay

    @property
    def powered(self) -> bool:
        return self.circuit.powered

    @property
    def lit(self) -> bool:
        """The customer has supply."""
        return self.circuit.fed and self.relay.closed

    # --- time and power --------------------------------------------------------------------------

    def advance(self, now: datetime) -> None:
        """Live up to `now`: consume, and do what falls due on the way."""
        while (due := self._next_due()) is not None and due <= now:
            self.circuit.consume_until(due)
            self._do_due(due)
        self.circuit.consume_until(now)

    def power_cut(self, now: datetime, *, back_in_s: float | None = None) -> None:
        """Take the power away, for so long or until `power_on`; half commands are lost."""
        self.circuit.consume_until(now)
        self.circuit.tell(EventType.POWER_DOWN, now)
        self.circuit.powered = False
        self.token_port.cut()
        self.circuit.port.cut()
        self._back_at = None if back_in_s is None else now + timedelta(seconds=back_in_s)

    def power_on(self, now: datetime) -> None:
        """Give the power back; the lock-out ends with it."""
        if self.powered:
            return
        self.circuit.consume_until(now)
        self._back_at = None
        self.circuit.powered = True
        self.decoder.unlock()
        self.circuit.tell(EventType.POWER_UP, now)

    def _next_due(self) -> datetime | None:
        token, order = self.token_port.pending, self.circuit.port.pending
        moments = (
            self.day_book.due,
            self._back_at,
            self.decoder.half_change_until,
            token.ready_at if token else None,
            order.due_at if order else None,
        )
        return min((moment for moment in moments if moment is not None), default=None)

    def _do_due(self, now: datetime) -> None:
        if self.day_book.due <= now:
            self.day_book.close(self.import_milli, self.circuit.account.bought_milli)
        if self._back_at is not None and self._back_at <= now:
            self.power_on(now)
        if self.decoder.forget_half_change(now):
            self.circuit.tell(EventType.KEY_CHANGE_HALF_DONE, now)
        token = self.token_port.pending
        if token is not None and token.ready_at <= now:
            self._finish_token(now)
        order = self.circuit.port.pending
        if order is not None and order.due_at <= now:
            self.circuit.finish_order(now)

    def _wake(self, now: datetime) -> None:
        self.advance(now)
        if not self.powered:
            raise MeterDown

    # --- the customer ----------------------------------------------------------------------------

    def customer_types(self, digits: str, now: datetime) -> TokenEntry:
        """Enter 20 digits on the keypad."""
        self._wake(now)
        return self._enter(digits, now, Origin.KEYPAD, None)

    def press_button(self, now: datetime) -> None:
        """Press the button that closes a relay which is ready for it."""
        self._wake(now)
        self.circuit.press(now)

    def set_load(self, load: int, now: datetime) -> None:
        """Switch appliances: W, or l/h."""
        self.advance(now)
        self.circuit.account.load = load
        self.circuit.settle(now)

    def tamper(self, now: datetime) -> None:
        """Open the cover: supply is off until a clear-tamper token."""
        self.advance(now)
        self.circuit.tell(EventType.METER_COVER_OPENED, now)
        self.circuit.hold(Hold.TAMPER, now)
        self.circuit.tell(EventType.TAMPER_LOCK, now)

    # --- the wire --------------------------------------------------------------------------------

    def submit(
        self, request_id: RequestId, digits: str, now: datetime, *, origin: Origin = Origin.HEADEND
    ) -> None:
        """Enter 20 digits by wire; the answer comes to `token_port` when they are judged.

        Raises Busy while another token is in process.
        """
        self._wake(now)
        if self.token_port.contradicts(request_id, digits):
            used = Verdict(TokenResult.REQUEST_ID_USED)
            self.token_port.shown = self._entry(used, now, origin, request_id)
            return
        self.token_port.begin(request_id, digits, origin, now)

    def order_supply(self, order: SupplyOrder, now: datetime) -> None:
        """Order supply by wire; done when due, the answer is in `circuit.port`."""
        self._wake(now)
        self.circuit.order(order)
        self.advance(now)

    def set_clock(self, to: datetime, now: datetime, *, quietly: bool = False) -> None:
        """Set the meter's clock; a step of seconds is an event, unless made `quietly`."""
        self._wake(now)
        step = abs(to - self.clock.at(now))
        self.clock.set(to, now)
        if step > NOTABLE_STEP and not quietly:
            self.circuit.tell(EventType.CLOCK_ADJUSTED, now, argument=step // SECOND)

    # --- faults ----------------------------------------------------------------------------------

    def set_relay_fault(self, broken: bool, now: datetime) -> None:
        """Let the contacts stay where they are whatever is commanded, or follow again."""
        self.advance(now)
        self.circuit.set_broken(broken, now)

    def set_wrong_key(self, wrong: bool) -> None:
        """Let it hold another decoder key than everybody believes, or its own again."""
        self.decoder.set_wrong_key(wrong)

    # --- tokens ----------------------------------------------------------------------------------

    def _finish_token(self, now: datetime) -> None:
        pending = self.token_port.pending
        assert pending is not None
        dying, self.faults.dying = self.faults.dying, None
        if dying is not Dying.BEFORE:
            entry = self._enter(pending.digits, now, pending.origin, pending.request_id)
            self.token_port.finish(pending, entry)
        if dying is not None:
            self.power_cut(now, back_in_s=self.faults.down_s)

    def _enter(
        self, digits: str, now: datetime, origin: Origin, request_id: RequestId | None
    ) -> TokenEntry:
        before = self.credit_milli
        verdict = self.decoder.judge(digits, now)
        if verdict.result is TokenResult.ACCEPT:
            verdict = replace(verdict, result=self._carry_out(verdict, now))
        if verdict.result.taken and verdict.tid is not None:
            self.decoder.cancel(verdict.tid)
        if verdict.result is TokenResult.ACCEPT and verdict.token_class is TokenClass.MANAGEMENT:
            self.changes += 1
        lock_out_begins = self.decoder.count(verdict, verdict.result, now)
        entry = self._entry(verdict, now, origin, request_id)
        entry = replace(entry, credit_before_milli=before)
        self.tokens.add(entry)
        self._tell_of(entry, now)
        if lock_out_begins:
            locked_s = self.decoder.locked_s(now)
            self.circuit.tell(EventType.TOKEN_LOCK_OUT, now, argument=locked_s)
        return entry

    def _carry_out(self, verdict: Verdict, now: datetime) -> TokenResult:
        contents = verdict.contents
        assert contents is not None
        if isinstance(contents, MeterTest | ExtendedRead):
            return self._display(contents)
        return carry_out(
            contents,
            plate=self.plate,
            decoder=self.decoder,
            circuit=self.circuit,
            kept=self.kept,
            maximum_credit_milli=self.maximum_credit_milli,
            now=now,
        )

    def _display(self, contents: MeterTest | ExtendedRead) -> TokenResult:
        texts = shown(contents, self.decoder, self.circuit, self.kept, plate=self.plate)
        if not texts:
            return TokenResult.FUNCTION_ERROR
        self.displayed = texts
        return TokenResult.ACCEPT

    def _entry(
        self, verdict: Verdict, now: datetime, origin: Origin, request_id: RequestId | None
    ) -> TokenEntry:
        taken = verdict.result is TokenResult.ACCEPT
        return TokenEntry(
            result=verdict.result,
            at=self.clock.at(now),
            origin=origin,
            request_id=request_id,
            token_class=verdict.token_class,
            subclass=verdict.contents.subclass if verdict.contents else 0,
            tid=verdict.tid,
            amount_milli=amount_milli(verdict.contents) if taken else 0,
            credit_before_milli=self.credit_milli,
            credit_after_milli=self.credit_milli,
            lockout_s=self.decoder.locked_s(now),
            krn=self.decoder.krn,
            tariff_index=self.decoder.tariff_index,
            sections_pending=self.decoder.sections_pending,
        )

    def _tell_of(self, entry: TokenEntry, now: datetime) -> None:
        if entry.token_class is TokenClass.METER_TEST:
            return
        taken = entry.result.taken
        event = EventType.TOKEN_ACCEPTED if taken else EventType.TOKEN_REJECTED
        self.circuit.tell(event, now, argument=entry.result, entry=entry)
