"""A clock in plain registers: set by one write, then read back."""

from datetime import datetime, timedelta

from adapters.modbus.doubt import in_doubt
from adapters.modbus.frames import Table
from adapters.modbus.profile import ClockForm, ClockRegisters
from adapters.modbus.unit import Unit
from headend.errors import Refused
from headend.readings import CLOCK_DRIFT
from protocols.modbus.blocks import Span
from protocols.modbus.registers import unsigned, wire_bytes, words_of

_WORDS = {ClockForm.EPOCH: 2, ClockForm.YMDHMS: 3}
_CENTURY = 2000


async def set_clock(unit: Unit, clock: ClockRegisters, now: datetime) -> None:
    """Set the clock and read it back; raises Refused when the meter keeps another time."""
    await unit.write(clock.start, clock_words(clock, now))
    with in_doubt():
        shown = await unit.read(Table.HOLDING, Span(clock.start, _WORDS[clock.form]))
    off = clock_off(clock, shown, now)
    if off is None or off > CLOCK_DRIFT:
        told = "no time at all" if off is None else f"{off.total_seconds():.0f} s off"
        raise Refused(f"the meter's clock shows {told} after it was set")


def clock_words(clock: ClockRegisters, now: datetime) -> tuple[int, ...]:
    """The registers that say this moment."""
    if clock.form is ClockForm.EPOCH:
        return words_of(int(now.timestamp()), 2)
    local = now.astimezone(clock.zone)
    date = bytes((local.year - _CENTURY, local.month, local.day))
    time = bytes((local.hour, local.minute, local.second))
    return words_of(int.from_bytes(date + time), 3)


def clock_off(clock: ClockRegisters, words: tuple[int, ...], now: datetime) -> timedelta | None:
    """How far the clock is from `now`; None when it shows no time."""
    if clock.form is ClockForm.EPOCH:
        return timedelta(seconds=abs(unsigned(words) - int(now.timestamp())))
    year, month, day, hour, minute, second = wire_bytes(words)
    try:
        shown = datetime(_CENTURY + year, month, day, hour, minute, second, tzinfo=clock.zone)
    except ValueError:
        return None
    return abs(shown - now)
