"""Words of the switchboard: how their arguments are read, and those that make a home dark."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from adapters.simulators.circuit import GRID_MV
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.relay import Hold


class Senseless(Exception):
    """The line cannot be understood; the text says why."""


def switch(rest: Sequence[str]) -> bool:
    """The one argument, on or off; raises Senseless."""
    if len(rest) != 1:
        raise Senseless("it is on or off")
    return on(rest[0])


def on(said: str) -> bool:
    if said not in ("on", "off"):
        raise Senseless("it is on or off")
    return said == "on"


def word(is_on: bool) -> str:
    return "on" if is_on else "off"


def numbers(rest: Sequence[str], defaults: Sequence[str]) -> tuple[float, ...]:
    """Arguments from 0 to a million, the missing ones by their defaults; raises Senseless."""
    if len(rest) > len(defaults):
        raise Senseless("too many numbers")
    words = [*rest, *defaults[len(rest) :]]
    try:
        read = tuple(float(each) for each in words)
    except ValueError:
        raise Senseless("a number is missing") from None
    if not all(0 <= number <= 1_000_000 for number in read):
        raise Senseless("a number is out of range")
    return read


class DarkWords:
    """What keeps a paid home dark, one word each; every method says what it did."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def voltage(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        there = switch(rest)
        meter.advance(self._now())
        meter.circuit.grid_mv = GRID_MV if there else 0
        return f"voltage {word(there)}"

    def disconnect(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        ordered = switch(rest)
        now = self._lived(meter)
        if ordered:
            meter.circuit.hold(Hold.REMOTE, now)
        else:
            meter.circuit.release(Hold.REMOTE, now)
        return f"disconnected by order {word(ordered)}"

    def limit(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        (watts,) = numbers(rest, ["0"])
        meter.circuit.limit(int(watts) or None, self._lived(meter))
        return f"limit {int(watts)} W"

    def threshold(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        milli = _milli(rest)
        now = self._lived(meter)
        meter.circuit.reconnect_milli = milli
        meter.circuit.settle(now)
        return f"supply comes back from {Decimal(milli).scaleb(-3):f}"

    def debt(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        milli = _milli(rest)
        meter.circuit.owe(milli, self._lived(meter))
        return f"debt {Decimal(milli).scaleb(-3):f}"

    def keypad_unit(self, meter: SimulatedMeter, rest: Sequence[str]) -> str:
        if list(rest) not in (["lost"], ["seen"]):
            raise Senseless("its unit is lost or seen")
        meter.circuit.lose_keypad_unit(rest[0] == "lost", self._lived(meter))
        return f"keypad unit {rest[0]}"

    def _lived(self, meter: SimulatedMeter) -> datetime:
        now = self._now()
        meter.advance(now)
        return now


def _milli(rest: Sequence[str]) -> int:
    (amount,) = numbers(rest, ["0"])
    return int(Decimal(str(amount)).scaleb(3))
