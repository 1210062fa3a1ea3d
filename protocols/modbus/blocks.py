"""Blocks: many values, few reads.

For one meter and one function: values by rising address, cut into reads where that costs least.
A read costs a fixed time (request, the meter's delay, gaps) and a time for each register, so
reading over a hole pays while its registers are cheaper than another request. No read goes across
a barrier, tears a value, or is longer than the meter allows. Knows nothing of what the registers
hold.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

# Serial line guide V1.02, 2.5.1.1: 3.5 characters of 11 bits, a fixed time above 19200 baud.
GAP_BITS = 38.5
GAP_FAST_S = 0.00175
FAST_BAUD = 19200
# Request 8 characters, and of the reply all but the registers: 5.
FRAME_CHARACTERS = 13
BITS = 11
# Of meters in general: most take 5 to 45 ms, and one that is slower is measured soon.
DELAY_S = 0.02


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """`count` registers from `start` on; one value that is never torn, or one read."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """The address after the last."""
        return self.start + self.count

    def covers(self, other: "Span") -> bool:
        return self.start <= other.start and other.end <= self.end

    def words(self, span: "Span", read: Sequence[int]) -> Sequence[int]:
        """Those of `span` among the words read for this block."""
        assert self.covers(span)
        return read[span.start - self.start : span.end - self.start]


@dataclass(frozen=True, slots=True)
class Pace:
    """What reading costs on a wire: seconds for each read, and for each of its registers."""

    read_s: float
    register_s: float

    @classmethod
    def serial(
        cls, baud: int, *, character_s: float | None = None, delay_s: float = DELAY_S
    ) -> Self:
        """A line of so many baud, and a meter that begins its answer after `delay_s`."""
        character = BITS / baud if character_s is None else character_s
        gap = GAP_FAST_S if baud > FAST_BAUD else GAP_BITS / baud
        return cls(FRAME_CHARACTERS * character + max(gap, delay_s) + gap, 2 * character)

    @classmethod
    def tcp(cls, *, delay_s: float = DELAY_S, baud: int = 9600) -> Self:
        """A gateway that needs `delay_s` for any answer, with a line of `baud` behind it."""
        return cls(delay_s, 2 * BITS / baud)

    def cost_s(self, reads: Iterable[Span]) -> float:
        """How long these reads take."""
        return sum(self.read_s + self.register_s * read.count for read in reads)


# What is planned for while nothing is known of the wire.
USUAL = Pace.serial(9600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a meter allows: registers a read, barriers (a new read must begin there), holes."""

    max_read: int
    max_hole: int | None = None
    barriers: frozenset[int] = frozenset()

    def allow(self, read: Span) -> bool:
        """Long at most as allowed, and across no barrier."""
        return read.count <= self.max_read and not crosses(read, self.barriers)

    def check(self, value: Span) -> None:
        """Raises ValueError for a value that no read can fetch whole."""
        if value.count > self.max_read:
            raise ValueError(
                f"{value.count} registers at {value.start:#06x}: this meter gives"
                f" {self.max_read} at once"
            )
        if crosses(value, self.barriers):
            raise ValueError(f"the value at {value.start:#06x} lies across a barrier")


def plan_reads(values: Iterable[Span], limits: Limits, pace: Pace = USUAL) -> tuple[Span, ...]:
    """The cheapest reads that fetch all values, by rising address; each value whole in one of them.

    Raises ValueError for a value that is longer than a read may be, or lies across a barrier.
    """
    wanted = sorted(set(values))
    for value in wanted:
        limits.check(value)
    cheapest: list[tuple[float, tuple[Span, ...]]] = [(0.0, ())]
    for last in range(len(wanted)):
        ways = (
            (cheapest[first][0] + pace.cost_s((read,)), (*cheapest[first][1], read))
            for first, read in _reads_that_end(wanted, last, limits)
        )
        cheapest.append(min(ways, key=lambda way: (way[0], len(way[1]))))
    return cheapest[-1][1]


def split_read(values: Collection[Span]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The values of one read in two parts, cut at the widest hole, of equal ones the middle one."""
    ordered = sorted(set(values))
    assert len(ordered) > 1
    middle = len(ordered) / 2
    cuts = range(1, len(ordered))
    cut = max(cuts, key=lambda at: (ordered[at].start - ordered[at - 1].end, -abs(at - middle)))
    return tuple(ordered[:cut]), tuple(ordered[cut:])


def crosses(span: Span, barriers: Collection[int]) -> bool:
    """A barrier lies inside the span, not at its start or end."""
    return any(span.start < barrier < span.end for barrier in barriers)


def _reads_that_end(
    wanted: Sequence[Span], last: int, limits: Limits
) -> Iterable[tuple[int, Span]]:
    """Allowed reads of the values up to `last`, and the first value that each takes in."""
    end = wanted[last].end
    for first in range(last, -1, -1):
        end = max(end, wanted[first].end)
        read = Span(wanted[first].start, end - wanted[first].start)
        if not limits.allow(read):
            return
        if limits.max_hole is None or _widest_hole(wanted[first : last + 1]) <= limits.max_hole:
            yield first, read


def _widest_hole(values: Sequence[Span]) -> int:
    widest, end = 0, values[0].end
    for value in values[1:]:
        widest, end = max(widest, value.start - end), max(end, value.end)
    return widest
