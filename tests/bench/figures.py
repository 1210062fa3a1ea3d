"""Figures: what a bench found, and the loop that counts how often something can be done."""

import time
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Flow:
    """So many a second, and how long each took, in milliseconds: half of them less than p50.

    `late` counts those that were not done while callers waited. `spin_ms` is a fixed piece of work,
    done before and after: what it takes more than usual, the machine gave to others.
    """

    what: str
    per_second: float
    cpu_us: float
    answered_p50_ms: float
    answered_p99_ms: float
    confirmed_p50_ms: float
    confirmed_p99_ms: float
    count: int
    late: int
    spin_ms: tuple[float, float]

    def __str__(self) -> str:
        before, after = self.spin_ms
        told = (
            f"{self.what:<48}{self.per_second:>12,.1f}/s{self.cpu_us:>12,.0f} us CPU each",
            _times("answered", self.answered_p50_ms, self.answered_p99_ms),
            _times("confirmed", self.confirmed_p50_ms, self.confirmed_p99_ms)
            + f"   ({self.count} in time, {self.late} late; spin {before:.0f}, {after:.0f} ms)",
        )
        return "\n".join(told)


@dataclass(frozen=True, slots=True)
class ToLight:
    """How long from a POST to its answer, and to "lit": credit taken and supply on; see Flow."""

    what: str
    per_second: float
    answered_p50_ms: float
    answered_p99_ms: float
    lit_p50_ms: float
    lit_p99_ms: float
    count: int
    late: int
    spin_ms: tuple[float, float]

    def __str__(self) -> str:
        before, after = self.spin_ms
        return "\n".join(
            (
                f"{self.what:<48}{self.per_second:>12,.1f}/s",
                _times("answered", self.answered_p50_ms, self.answered_p99_ms),
                _times("lit", self.lit_p50_ms, self.lit_p99_ms)
                + f"   ({self.count} in time, {self.late} late; spin {before:.0f}, {after:.0f} ms)",
            )
        )


@dataclass(frozen=True, slots=True)
class InHand:
    """Which share of customers had their digits in time, and how long it took."""

    what: str
    per_second: float
    share: float
    count: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        head = f"{self.what:<48}{self.share:>12.1%} of {self.count}"
        return "\n".join((head, _times("in hand", self.p50_ms, self.p99_ms)))


@dataclass(frozen=True, slots=True)
class JobDone:
    """Lines a second until all were ordered, when all were lit, and a till's answers meanwhile."""

    what: str
    per_second: float
    lit_after_s: float
    till_alone_p50_ms: float
    till_alone_p99_ms: float
    till_beside_p50_ms: float
    till_beside_p99_ms: float
    spin_ms: tuple[float, float]

    def __str__(self) -> str:
        before, after = self.spin_ms
        head = (
            f"{self.what:<48}{self.per_second:>12,.1f}/s, all lit after {self.lit_after_s:,.0f} s"
        )
        alone = _times("a till, alone", self.till_alone_p50_ms, self.till_alone_p99_ms)
        beside = _times("and beside it", self.till_beside_p50_ms, self.till_beside_p99_ms)
        return "\n".join((head, alone, f"{beside}   (spin {before:.0f}, {after:.0f} ms)"))


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the processor time goes at some rate: in shares, and in counted things for each."""

    what: str
    per_second: float
    shares: Mapping[str, float]
    counts: Mapping[str, float]

    def __str__(self) -> str:
        each = ", ".join(f"{number:.1f} {name}" for name, number in self.counts.items())
        rows = [f"    {share:>5.1%}  {room}" for room, share in self.shares.items()]
        head = f"{self.what:<48}{self.per_second:>12,.1f}/s while sampled; {each} each"
        return "\n".join([head, *rows])


def _times(what: str, p50_ms: float, p99_ms: float) -> str:
    return f"    {what:<10}p50 {p50_ms:>7,.0f} ms   p99 {p99_ms:>7,.0f} ms"


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """The time that this share of them stays within, in milliseconds."""
    ordered = sorted(seconds)
    place = min(len(ordered) - 1, int(len(ordered) * share))
    return round(ordered[place] * 1000, 1)


def spin_ms() -> float:
    """How long a fixed piece of work takes now."""
    began = time.perf_counter()
    sum(number * number for number in range(300_000))
    return round((time.perf_counter() - began) * 1000, 1)
