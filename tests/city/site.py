"""What everybody in a city shares: time, luck, the trace, and what is true whatever is believed."""

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique

from headend.meters import Drn
from tests.city.lives import CityLoop
from tests.city.meters import CityMeter
from tests.city.trace import EVERYBODY, Trace

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@unique
class Kind(StrEnum):
    """Classes of faults, each with its own luck, so that one left out changes no other."""

    LOST = "lost"  # answers of meters
    LATE = "late"
    GARBLED = "garbled"
    SILENT = "silent"
    BUSY = "busy"
    POWER = "power"  # in the middle of a token, before or after it is taken
    GONE = "gone"  # meters that never come back
    RELAY = "relay"
    DRIFT = "drift"  # clocks of meters
    GATEWAY = "gateway"  # reboots, networks gone
    DUPLICATE = "duplicate"  # messages of the broker
    REORDER = "reorder"
    DELAY = "delay"
    BROKER = "broker"
    LINE = "line"
    STORE = "store"
    COMMIT_LOST = "commit_lost"
    COMMIT_FAILED = "commit_failed"
    KILL = "kill"
    HANG = "hang"
    SECOND = "second"  # a second worker that believes it owns the buses
    CLOCK = "clock"  # our own clock
    MODULE = "module"
    PROVIDER = "provider"
    TYPING = "typing"  # digits typed wrong
    TILL = "till"  # digits in the customer's hand at once
    FOREIGN = "foreign"  # another vendor's token in the same minute
    REPEAT = "repeat"
    REVERSAL = "reversal"
    KEY_CHANGE = "key_change"
    SUPPLY = "supply"
    RECEIVER = "receiver"  # of webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. `kinds` may happen; which of them do, and how often, the seed decides."""

    seed: int
    recharges: int = 300
    busy_s: float = 200.0
    meters: int = 12
    kinds: frozenset[Kind] = frozenset(Kind)
    all_kinds: bool = False

    def luck(self, of: str) -> random.Random:
        """The luck of one thing; the same for the same seed, whatever else happens."""
        return random.Random(f"{self.seed}/{of}")

    def happening(self) -> frozenset[Kind]:
        """What happens in this run: of the kinds allowed about half, each run another half."""
        luck = self.luck("kinds")
        share = luck.choice((0.3, 0.5, 0.8))
        drawn = [kind for kind in Kind if luck.random() < share or self.all_kinds]
        return frozenset(drawn) & self.kinds


@dataclass
class HostClock:
    """The wall clock of one machine, which may be wrong, and when it was how wrong."""

    loop: CityLoop
    jumps: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time() + self.jumps[-1][1])

    def jump(self, by_s: float) -> None:
        """Set it forward or back."""
        self.jumps.append((self.loop.time(), self.jumps[-1][1] + by_s))

    def set_right(self) -> None:
        """Somebody has found out."""
        self.jump(-self.jumps[-1][1])

    def shows(self, true_s: float) -> datetime:
        """What it showed then."""
        at = bisect_right(self.jumps, (true_s, float("inf"))) - 1
        return START + timedelta(seconds=true_s + self.jumps[at][1])

    @property
    def worst_s(self) -> float:
        """How wrong it ever was."""
        return max(abs(off_s) for _, off_s in self.jumps)

    def meant(self, shown: datetime) -> Iterator[datetime]:
        """The true times that it may have been when it showed this."""
        for _, off_s in self.jumps:
            yield shown - timedelta(seconds=off_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An invariant that did not hold, and the meter and time to read about."""

    invariant: str
    drn: str
    since_s: float
    detail: str


@dataclass
class Site:
    """The world of one run. `offsets` by machine; `healthy` is told by whoever knows."""

    plan: Plan
    loop: CityLoop
    trace: Trace
    kinds: frozenset[Kind]
    meters: dict[Drn, CityMeter] = field(default_factory=dict)
    foreign: dict[str, Drn] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    calm: bool = False

    def now(self) -> datetime:
        """True time."""
        return START + timedelta(seconds=self.loop.time())

    def has(self, kind: Kind) -> bool:
        """This kind of fault happens now."""
        return kind in self.kinds and not self.calm

    def violated(self, invariant: str, drn: str, detail: str, *, since_s: float = 0.0) -> None:
        self.trace.tell(drn or EVERYBODY, f"VIOLATED {invariant}: {detail}")
        self.violations.append(
            Violation(invariant=invariant, drn=drn, since_s=since_s, detail=detail)
        )


def seconds(moment: datetime) -> float:
    """True time as the loop counts it."""
    return (moment - START).total_seconds()
