"""Lines as people watch them: what a line did, which slaves answer, which ones rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StationStatus:
    """One slave of a line since the line was made.

    `delay_s` is its usual delay and `p99_s` what 99 of 100 replies need; both None before the
    first reply. `timeout_s` is how long it is waited for now. `rests_s` is how long it is not
    asked yet, None while it is not in quarantine.
    """

    name: str
    requests: int
    replies: int
    silences: int
    misfits: int
    late_replies: int
    delay_s: float | None
    p99_s: float | None
    timeout_s: float
    rests_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStatus:
    """One line since it was made; times in seconds, all of them sums.

    `wanted_s` is the time in which anybody wanted the line. `wire_s` had bits of successful
    exchanges on the wire, and `ideal_s` is what these would have taken at best, each slave
    answering after its own usual delay; both are None where the speed of the line is not known.
    `probing_s` was spent on slaves in quarantine. `in_flight` is how many may be asked at once.
    """

    address: str
    connected: bool
    elapsed_s: float
    wanted_s: float
    wire_s: float | None
    ideal_s: float | None
    probing_s: float
    in_flight: int
    connections: int
    stations: Sequence[StationStatus]

    def count(self, what: Callable[[StationStatus], int]) -> int:
        """A sum over all slaves."""
        return sum(what(station) for station in self.stations)

    @property
    def efficiency(self) -> float | None:
        """The share of the wanted time that even a perfect master would have needed."""
        if self.ideal_s is None or not self.wanted_s:
            return None
        return self.ideal_s / self.wanted_s


class WatchedLine(Protocol):
    """A line that can be looked at while it works."""

    def status(self) -> LineStatus: ...

    def frames(self, *, now: datetime, station: str | None = None) -> str:
        """The last exchanges, of one slave or of all, as the text of a `.frames` file.

        Secrets are replaced by digits that mean nothing, checksums and all, so that it replays.
        """
