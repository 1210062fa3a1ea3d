"""Blocks: many values, few reads.

An interval problem for one meter and one function: sort, then join neighbours while the hole
between them is cheaper to read than another request, and the read stays as short as the meter
allows. Knows nothing of what the registers hold.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


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


def plan_reads(
    values: Iterable[Span], *, max_read: int, max_hole: int = 0, barriers: Collection[int] = ()
) -> tuple[Span, ...]:
    """The reads that fetch all values, by rising address; each value lies whole in one of them.

    `barriers` are addresses at which a new read must begin. Raises ValueError for a value that is
    longer than a read may be, or lies across a barrier.
    """
    reads: list[Span] = []
    for value in sorted(set(values)):
        _check(value, max_read=max_read, barriers=barriers)
        last = reads.pop() if reads else value
        joined = Span(last.start, max(last.end, value.end) - last.start)
        near = value.start - last.end <= max_hole
        if near and joined.count <= max_read and not _crosses(joined, barriers):
            reads.append(joined)
        else:
            reads.extend((last, value))
    return tuple(reads)


def _crosses(span: Span, barriers: Collection[int]) -> bool:
    return any(span.start < barrier < span.end for barrier in barriers)


def _check(value: Span, *, max_read: int, barriers: Collection[int]) -> None:
    if value.count > max_read:
        raise ValueError(
            f"{value.count} registers at {value.start:#06x}: this meter gives {max_read} at once"
        )
    if _crosses(value, barriers):
        raise ValueError(f"the value at {value.start:#06x} lies across a barrier")
