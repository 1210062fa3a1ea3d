"""Lessons: what one meter taught of its registers: reads that it refuses, values that it lacks.

Kept for one address, by the model that is read there and by table, as long as the process lives.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from adapters.modbus.frames import Table
from protocols.modbus.blocks import Limits, Pace, Span, plan_reads

# Plans kept of one table: of a few sets of values, each at a few delays in hundredths of a second.
PLANS_MAX = 32


@dataclass(slots=True)
class Learned:
    """What one table of one meter taught: cuts to be made, values that are not there."""

    barriers: frozenset[int] = frozenset()
    absent: frozenset[Span] = frozenset()
    plans: dict[tuple[frozenset[Span], float], tuple[Span, ...]] = field(default_factory=dict)

    def cut(self, at: int) -> None:
        self.barriers |= {at}
        self.plans.clear()

    def miss(self, value: Span) -> None:
        self.absent |= {value}
        self.plans.clear()

    def meet(self) -> None:
        """What was not there may be there now; it is asked for alone."""
        for value in self.absent:
            self.cut(value.start)
            self.cut(value.end)
        self.absent = frozenset()

    def plan(self, values: Collection[Span], limits: Limits, pace: Pace) -> tuple[Span, ...]:
        """The cheapest reads of what is there."""
        key = (frozenset(values), round(pace.read_s, 2))
        if key not in self.plans:
            if len(self.plans) >= PLANS_MAX:
                self.plans.clear()
            there = [value for value in values if value not in self.absent]
            bounds = replace(limits, barriers=limits.barriers | self._kept_by(there))
            self.plans[key] = plan_reads(there, bounds, pace)
        return self.plans[key]

    def _kept_by(self, values: Collection[Span]) -> frozenset[int]:
        """A cut that lies inside a value was made for other values than these."""
        inside = {at for value in values for at in range(value.start + 1, value.end)}
        return self.barriers - inside


class Lessons:
    """All that one address taught."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, Table], Learned] = {}

    def of(self, model: str, table: Table) -> Learned:
        """Of one table, read as this model (and variant)."""
        return self._learned.setdefault((model, table), Learned())

    def meet(self) -> None:
        """The meter is met anew."""
        for learned in self._learned.values():
            learned.meet()
