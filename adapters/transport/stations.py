"""Stations: what a line knows of each slave on it: its delay, its failures, whether it rests."""

from dataclasses import dataclass, field

from headend.delays import PATIENCE, Delays
from headend.errors import Resting
from headend.lines import StationStatus
from headend.quarantine import Quarantine

# A stranger is given less at first than the longest: the slowest reply published begins within
# 220 ms, and a later one is learned from when it comes. After each silence it is given twice as
# much. Behind a network this holds only where others are known to answer as soon.
STRANGER_S = 0.25
ENOUGH_KNOWN = 4
# A line has 247 units and a gateway not many more; who asks for more names is mistaken.
MAX_STATIONS = 4096


@dataclass(slots=True)
class Station:
    """One slave, counted since the line was made."""

    delays: Delays = field(default_factory=Delays)
    requests: int = 0
    replies: int = 0
    silences: int = 0
    misfits: int = 0
    late_replies: int = 0
    # Silences in a row.
    misses: int = 0


class Stations:
    """The slaves of one line. `ceiling_s` is the longest that a reply's beginning is waited for;
    `learning` False waits so long always, because a gateway keeps the time of its own line. `near`:
    there is no network before them.
    """

    def __init__(self, *, ceiling_s: float, learning: bool = True, near: bool = False) -> None:
        self.ceiling_s = ceiling_s
        self._enough_known = 0 if near else ENOUGH_KNOWN
        self._learning = learning
        self._stations: dict[str, Station] = {}
        self._measured = 0
        self.quarantine = Quarantine()

    def __getitem__(self, name: str) -> Station:
        station = self._stations.get(name)
        if station is None:
            if len(self._stations) >= MAX_STATIONS:
                self._stations.pop(next(iter(self._stations)))
            station = self._stations[name] = Station()
        return station

    def delay_s(self, name: str) -> float | None:
        """How long this slave usually takes to begin its reply; None before the first."""
        station = self._stations.get(name)
        return None if station is None else station.delays.median_s

    def timeout_s(self, name: str) -> float:
        """How long to wait for the beginning of a reply, as it is known now."""
        if not self._learning:
            return self.ceiling_s
        station = self[name]
        if station.delays.measured or self._measured < self._enough_known:
            return station.delays.timeout_s(station.misses, ceiling_s=self.ceiling_s)
        first_s = max(STRANGER_S, PATIENCE * station.delays.slowest_s)
        return min(self.ceiling_s, first_s * 2.0 ** min(station.misses, 16))

    def check(self, name: str, *, now: float, urgent: bool) -> None:
        """Raises Resting while this slave is not to be asked."""
        again_s = self.quarantine.again_s(name, now=now, urgent=urgent)
        if again_s > 0:
            raise Resting(
                f"{name} has been silent and is asked again in {again_s:.1f} s",
                again_s=again_s,
            )

    def answered(self, name: str, *, delay_s: float, spent_s: float, now: float) -> None:
        """The right reply came in time."""
        station = self[name]
        station.replies += 1
        station.misses = 0
        self._note(station, delay_s)
        self.quarantine.answered(name, spent_s=spent_s, now=now)

    def answered_late(self, name: str, *, delay_s: float, now: float) -> None:
        """A reply came that nobody waited for any more: it lives, and was given too little time."""
        station = self[name]
        station.late_replies += 1
        self._note(station, delay_s)
        self.quarantine.answered(name, spent_s=0.0, now=now)

    def _note(self, station: Station, delay_s: float) -> None:
        known = station.delays.measured
        station.delays.note(delay_s)
        self._measured += station.delays.measured and not known

    def silent(self, name: str, *, spent_s: float, now: float) -> None:
        """Nothing came."""
        station = self[name]
        station.silences += 1
        station.misses += 1
        stranger = not station.replies + station.misfits + station.late_replies
        self.quarantine.silent(name, spent_s=spent_s, now=now, stranger=stranger)

    def garbled(self, name: str, *, spent_s: float, now: float) -> None:
        """Something came, but no reply."""
        self[name].misfits += 1
        self.quarantine.garbled(name, spent_s=spent_s, now=now)

    @property
    def all_rest(self) -> bool:
        """Every slave that was ever asked is in quarantine."""
        return bool(self._stations) and len(self.quarantine.resting) == len(self._stations)

    def status(self, *, now: float) -> list[StationStatus]:
        """In the order of first being asked."""
        resting = self.quarantine.resting
        return [
            StationStatus(
                name=name,
                requests=one.requests,
                replies=one.replies,
                silences=one.silences,
                misfits=one.misfits,
                late_replies=one.late_replies,
                delay_s=one.delays.median_s,
                p99_s=one.delays.p99_s,
                timeout_s=self.timeout_s(name),
                rests_s=self.quarantine.rests_s(name, now=now) if name in resting else None,
            )
            for name, one in self._stations.items()
        ]
