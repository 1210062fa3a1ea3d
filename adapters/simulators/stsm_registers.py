"""Register map of a simulated STS keypad meter over Modbus: profile STSM.

Version 0101 as well: the supply details. Written from the table of the profile and not from our
decoder of it, so that each proves the other. Holding registers D000-DFFF; what is reserved reads 0.
"""

import struct
from collections.abc import Callable
from datetime import datetime, timedelta

from pymodbus.framer import FramerRTU

from adapters.simulators.logs import RequestId, TokenEntry
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.modbus_units import Refusal, RefusalCode
from adapters.simulators.relay import Hold
from adapters.simulators.stsm_log_registers import (
    EPOCH,
    SECOND,
    days_block,
    epoch_s,
    event_window,
    months_block,
)
from adapters.simulators.stsm_parameter_registers import ParameterRegisters
from adapters.simulators.supply_port import SupplyCommand, SupplyOrder
from adapters.simulators.token_port import Busy
from headend.currencies import ISO_NUMBERS
from headend.meters import Service

FIRST, LAST = 0xD000, 0xDFFF
IDENTITY, STATUS, RESULT, TOKEN_LOG = 0xD000, 0xD040, 0xD08A, 0xD100
SUPPLY_RESULT, EVENTS = 0xD208, 0xD700
TOKEN_ENTRY, SUPPLY_ORDER, CLOCK = 0xD080, 0xD200, 0xD780

VERSION, VERSION_WITH_DETAILS = 0x0100, 0x0101
DETAILS = 0xD061
MONTHS, DAYS = 0xD800, 0xD880
PARAMETERS = 0xD220
SLEW_MAX = timedelta(seconds=60)
IN_PROCESS, DONE = 2, 3

_IDENTITY = ">4sHH8sHHHhH6HHHHIHHHHHH16s16sHH"
_STATUS = ">HHHHIIqiiHHIQiHHHHIH"
_RESULT = ">IHHBBHIqIqBBH"
_DETAILS = ">HqIII"
_LOG_ENTRY = ">IHBBqIHH"
_SUPPLY_RESULT = ">IHHHI"

_SERVICE = {Service.ELECTRICITY: 0, Service.WATER: 1, Service.GAS: 2, Service.TIME: 3}
_UNIT = {Service.ELECTRICITY: 0, Service.WATER: 2, Service.GAS: 2, Service.TIME: 3}
_UNIT_CURRENCY = 1
# Thousandths in one step of a register, by the exponent of the map.
_STEP_OF = {-3: 1, -2: 10, -1: 100, 0: 1000}


class StsmRegisters:
    """The map of one meter; amounts in 10^`exponent` (-3 to 0) kWh, m3, minutes or money."""

    def __init__(
        self, meter: SimulatedMeter, *, exponent: int = -3, version: int = VERSION_WITH_DETAILS
    ) -> None:
        self._meter = meter
        self._exponent = exponent
        self._version = version
        self._step = _STEP_OF[exponent]
        self._wanted_event = 1
        self._parameters = ParameterRegisters(meter, self._step)
        self._blocks: dict[int, Callable[[datetime], bytes]] = {
            IDENTITY: self._identity,
            STATUS: self._status,
            DETAILS: self._details,
            RESULT: self._result,
            TOKEN_LOG: self._token_log,
            SUPPLY_RESULT: self._supply_result,
            EVENTS: self._events,
            PARAMETERS: self._parameters.read,
            MONTHS: self._months,
            DAYS: self._days,
        }
        self._commands: dict[int, tuple[int, Callable[[bytes, datetime], None]]] = {
            TOKEN_ENTRY: (10, self._enter_token),
            SUPPLY_ORDER: (8, self._order_supply),
            CLOCK: (5, self._set_clock),
            PARAMETERS: (32, self._parameters.write),
        }

    # --- reading ---------------------------------------------------------------------------------

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        """Registers as bytes; raises Refusal."""
        if function != 3:
            raise Refusal(RefusalCode.FUNCTION)
        if not FIRST <= start <= start + count - 1 <= LAST:
            raise Refusal(RefusalCode.ADDRESS)
        image = bytearray(2 * count)
        for at, block in self._blocks.items():
            if at < start + count:
                _overlay(image, block(now), 2 * (at - start))
        return bytes(image)

    def _identity(self, now: datetime) -> bytes:
        meter, decoder = self._meter, self._meter.decoder
        plate = meter.plate
        return struct.pack(
            _IDENTITY,
            b"STSM",
            self._version,
            self._capabilities,
            bytes.fromhex(f"{int(meter.drn):016d}"),
            len(meter.drn),
            _SERVICE[plate.service],
            _UNIT_CURRENCY if plate.currency else _UNIT[plate.service],
            self._exponent,
            ISO_NUMBERS[plate.currency] if plate.currency else 0,
            *(0,) * 6,
            *(200, 10, 0),
            decoder.sgc,
            decoder.tariff_index,
            decoder.krn,
            decoder.key_type,
            decoder.ken,
            decoder.base_date,
            decoder.algorithm,
            b"SIM 1.0",
            b"SIMULATED",
            0,
            meter.changes & 0xFFFF,
        )

    @property
    def _capabilities(self) -> int:
        relay, event_log, history, binary_token = 0, 5, 6, 8
        power_limit, keypad, remote_close = 10, 11, 13
        built_in = [relay, event_log, history, binary_token, power_limit, keypad]
        if self._meter.settings.closes_by_remote:
            built_in.append(remote_close)
        return sum(1 << bit for bit in built_in)

    def _status(self, now: datetime) -> bytes:
        meter = self._meter
        shown = meter.token_port.shown
        return status_block(
            sequence=meter.events.newest,
            closed=meter.relay.closed,
            control=meter.relay.control,
            reason=meter.relay.reason,
            conditions=conditions(meter, now),
            latched=1 << 14 if Hold.TAMPER in meter.relay.holds else 0,
            balance=self._scaled(meter.credit_milli),
            rate=1,
            import_wh=meter.import_milli,
            power_w=meter.circuit.flow,
            credit_status=credit_status(meter),
            accepted=meter.tokens.accepted,
            request_id=_number(shown.request_id) if shown else 0,
            newest_event=meter.events.newest,
            clock=epoch_s(meter.clock.at(now)),
            clock_state=1 if meter.clock.valid else 0,
            debt=self._scaled(meter.circuit.debt_milli),
        )

    def _details(self, now: datetime) -> bytes:
        """D061-D06B: reconnect threshold, voltages before and behind the contacts, current."""
        if self._version < VERSION_WITH_DETAILS:
            return b""
        circuit = self._meter.circuit
        reconnect = self._scaled(circuit.reconnect_milli)
        return struct.pack(
            _DETAILS, 0b1111, reconnect, circuit.grid_mv, circuit.load_mv, circuit.load_ma
        )

    def _result(self, now: datetime) -> bytes:
        pending, shown = self._meter.token_port.pending, self._meter.token_port.shown
        if pending is not None:
            return struct.pack(">IH", _number(pending.request_id), IN_PROCESS)
        return b"" if shown is None else self.result_block(shown)

    def result_block(self, entry: TokenEntry) -> bytes:
        """D08A-D09D of a judged token."""
        return struct.pack(
            _RESULT,
            _number(entry.request_id),
            DONE,
            entry.result,
            entry.token_class or 0,
            entry.subclass,
            entry.lockout_s,
            entry.tid or 0,
            self._scaled(entry.amount_milli),
            epoch_s(entry.at),
            self._scaled(entry.credit_after_milli),
            entry.krn,
            entry.tariff_index,
            entry.sections_pending,
        )

    def _token_log(self, now: datetime) -> bytes:
        return b"".join(
            struct.pack(
                _LOG_ENTRY,
                entry.tid or 0,
                entry.result,
                entry.token_class or 0,
                entry.subclass,
                self._scaled(entry.amount_milli),
                epoch_s(entry.at),
                entry.origin,
                _number(entry.request_id) & 0xFFFF,
            )
            for entry in self._meter.tokens.newest_first()
        )

    def _supply_result(self, now: datetime) -> bytes:
        pending, answer = self._meter.circuit.port.pending, self._meter.circuit.port.answer
        if pending is not None:
            return struct.pack(">IH", _number(pending.id), IN_PROCESS)
        if answer is None:
            return b""
        closed = int(answer.closed)
        result = (_number(answer.id), DONE, answer.result, closed, epoch_s(answer.at))
        return struct.pack(_SUPPLY_RESULT, *result)

    def _events(self, now: datetime) -> bytes:
        return event_window(self._meter.events, self._wanted_event)

    def _months(self, now: datetime) -> bytes:
        doubtful = not self._meter.clock.valid
        return months_block(self._meter.day_book, step=self._step, doubtful=doubtful)

    def _days(self, now: datetime) -> bytes:
        return days_block(self._meter.day_book)

    def _scaled(self, milli: int) -> int:
        return milli // self._step

    # --- writing ---------------------------------------------------------------------------------

    def write(self, start: int, data: bytes, now: datetime) -> None:
        """One atomic command; raises Refusal, and then nothing is stored."""
        if start == EVENTS and len(data) == 4:
            self._wanted_event = int.from_bytes(data)
            return
        if start not in self._commands:
            raise Refusal(RefusalCode.ADDRESS)
        words, command = self._commands[start]
        if len(data) != 2 * words or commit_word(data[:-2]) != int.from_bytes(data[-2:]):
            raise Refusal(RefusalCode.VALUE)
        command(data, now)

    def _enter_token(self, data: bytes, now: datetime) -> None:
        request_id, form = struct.unpack_from(">IH", data)
        try:
            self._meter.submit(request_id, _digits(form, data[6:16]), now)
        except Busy:
            raise Refusal(RefusalCode.BUSY) from None

    def _order_supply(self, data: bytes, now: datetime) -> None:
        ident, command, delay_s, until, _reason = struct.unpack_from(">IHHIH", data)
        try:
            command = SupplyCommand(command)
        except ValueError:
            raise Refusal(RefusalCode.VALUE) from None
        order = SupplyOrder(
            id=ident,
            command=command,
            due_at=now + delay_s * SECOND,
            until=EPOCH + until * SECOND if until else None,
        )
        self._meter.order_supply(order, now)

    def _set_clock(self, data: bytes, now: datetime) -> None:
        epoch, _zone_minutes, mode = struct.unpack_from(">IhH", data)
        if mode > 1:
            raise Refusal(RefusalCode.VALUE)
        to = EPOCH + epoch * SECOND
        small = abs(to - self._meter.clock.at(now)) <= SLEW_MAX
        self._meter.set_clock(to, now, quietly=mode == 1 and small)


def status_block(
    *,
    sequence: int,
    closed: bool,
    control: int,
    reason: int,
    conditions: int,
    latched: int,
    balance: int,
    rate: int,
    import_wh: int,
    power_w: int,
    credit_status: int,
    accepted: int,
    request_id: int,
    newest_event: int,
    clock: int,
    clock_state: int,
    step: int = 0,
    price: int = 0,
    debt: int = 0,
) -> bytes:
    """D040-D060, 33 registers."""
    return struct.pack(
        _STATUS,
        sequence & 0xFFFF,
        closed,
        control,
        reason,
        conditions,
        latched,
        balance,
        0,  # emergency credit in use: not built in
        debt,
        rate,
        step,
        price,
        import_wh,
        power_w,
        credit_status,
        accepted & 0xFFFF,
        request_id & 0xFFFF,
        newest_event & 0xFFFF,
        clock,
        clock_state,
    )


def conditions(meter: SimulatedMeter, now: datetime) -> int:
    """Bits of D044: what is the matter now."""
    holds = meter.relay.holds
    present = {
        0: 0 < meter.credit_milli <= meter.circuit.low_credit_milli,
        3: meter.credit_milli <= 0,
        6: Hold.OVERLOAD in holds,
        13: not meter.relay.obeys,
        14: Hold.TAMPER in holds,
        18: not meter.clock.valid,
        19: meter.decoder.locked_s(now) > 0,
        20: meter.decoder.sections_pending > 0,
        21: meter.circuit.keypad_unit_lost,
        27: Hold.TAMPER in holds,
        28: Hold.DEBT in holds,
        29: Hold.REMOTE in holds,
        30: not meter.circuit.fed,
    }
    return sum(1 << bit for bit, on in present.items() if on)


def credit_status(meter: SimulatedMeter) -> int:
    """Bits of D05A (COSEM Account): in credit, low, out of credit."""
    if meter.credit_milli <= 0:
        return 0x40
    return 0x03 if meter.credit_milli <= meter.circuit.low_credit_milli else 0x01


def commit_word(data: bytes) -> int:
    """CRC-16/MODBUS of a command, as a plain number."""
    return int.from_bytes(FramerRTU.compute_CRC(data).to_bytes(2), "little")


def _digits(form: int, data: bytes) -> str:
    if form == 1:
        return f"{int.from_bytes(data):020d}"
    digits = data.hex()
    if form != 0 or not digits.isdecimal():
        raise Refusal(RefusalCode.VALUE)
    return digits


def _number(request_id: RequestId | None) -> int:
    """Ids of other wires are no numbers; here they read 0."""
    return request_id if isinstance(request_id, int) else 0


def _overlay(image: bytearray, block: bytes, at: int) -> None:
    first, last = max(at, 0), min(at + len(block), len(image))
    if first < last:
        image[first:last] = block[first - at : last - at]
