"""Delays: how long one slave takes to answer, and so how long to wait for it.

Measured from the end of the request to the beginning of the reply; the time on the wire is the
line's to add. Callers bring all times.
"""

from bisect import bisect_left, insort
from collections import deque

# Three times what 99 of 100 replies need, and never less than a meter's own scheduling noise.
PATIENCE = 3.0
FLOOR_S = 0.05
SAMPLES = 128
# Fewer samples than this tell little of the slowest of a hundred, least on a busy machine.
ENOUGH = 16


class Delays:
    """The last answer delays of one slave, in seconds."""

    __slots__ = ("_by_age", "_by_size", "slowest_s")

    def __init__(self) -> None:
        self._by_age: deque[float] = deque()
        self._by_size: list[float] = []
        self.slowest_s = 0.0

    def note(self, delay_s: float) -> None:
        """One reply began so long after its request had ended."""
        delay_s = max(0.0, delay_s)
        self.slowest_s = max(self.slowest_s, delay_s)
        if len(self._by_age) >= SAMPLES:
            oldest = self._by_age.popleft()
            del self._by_size[bisect_left(self._by_size, oldest)]
        self._by_age.append(delay_s)
        insort(self._by_size, delay_s)

    @property
    def measured(self) -> bool:
        return len(self._by_age) >= ENOUGH

    @property
    def median_s(self) -> float | None:
        """None before the first reply."""
        return self._by_size[len(self._by_size) // 2] if self._by_size else None

    @property
    def p99_s(self) -> float | None:
        """Within this 99 of 100 replies begin; None before the first reply."""
        count = len(self._by_size)
        return self._by_size[min(count - 1, count * 99 // 100)] if count else None

    def timeout_s(self, misses: int, *, ceiling_s: float) -> float:
        """How long to wait for the beginning of a reply.

        Twice as long after each of `misses` silences in a row, for a slave may have become slower;
        never longer than `ceiling_s`, which is also what an unknown slave is given.
        """
        p99_s = self.p99_s
        if p99_s is None or not self.measured:
            return ceiling_s
        return min(ceiling_s, max(FLOOR_S, PATIENCE * p99_s) * 2.0 ** min(misses, 16))
