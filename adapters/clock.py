"""The only wall clock; aware UTC. Satisfies `ports.Clock`."""

from datetime import UTC, datetime


class WallClock:
    """The clock of this machine, which NTP should keep right."""

    def now(self) -> datetime:
        return datetime.now(UTC)
