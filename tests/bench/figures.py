"""Figures: what a bench found, and the loop that counts how often something can be done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Figure:
    """So many a second, and the processor time of one, in microseconds."""

    what: str
    per_second: float
    cpu_us: float

    @classmethod
    def of(cls, what: str, work: Callable[[], object], *, seconds: float) -> Self:
        """Do the work again and again for about so many seconds, after one warm-up."""
        work()
        count = 0
        began, began_cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            work()
            count += 1
        elapsed, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        return cls(what, per_second=round(count / elapsed, 1), cpu_us=round(cpu / count * 1e6, 1))

    def __str__(self) -> str:
        return f"{self.what:<48}{self.per_second:>12,.0f}/s{self.cpu_us:>12,.1f} us CPU each"
