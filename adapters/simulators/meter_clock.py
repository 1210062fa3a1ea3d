"""The clock of a simulated meter: an offset and a drift against true time, which callers bring."""

from datetime import datetime, timedelta

MILLION = 1_000_000
MICROSECOND = timedelta(microseconds=1)


class MeterClock:
    """Runs `drift_ppm` millionths fast; right at `now`."""

    def __init__(self, now: datetime, *, drift_ppm: int = 0) -> None:
        self._drift_ppm = drift_ppm
        self._offset = timedelta(0)
        self._set_at = now
        self.valid = True

    def at(self, now: datetime) -> datetime:
        """What the meter believes at true time `now`."""
        elapsed_us = (now - self._set_at) // MICROSECOND
        drift_us = elapsed_us * self._drift_ppm // MILLION
        return now + self._offset + timedelta(microseconds=drift_us)

    def set(self, to: datetime, now: datetime) -> None:
        """Set it to `to` at true time `now`."""
        self._offset = to - now
        self._set_at = now
        self.valid = True
