"""Stand-ins for the ports that stay in memory: deterministic, and fast enough for virtual weeks."""

import random
from datetime import UTC, datetime, timedelta

from ulid import ULID

from tests.memory_store import MemoryStore

__all__ = ["FakeClock", "MemoryStore", "SeededChance"]


class FakeClock:
    """Stands still until it is told to go on."""

    def __init__(self, at: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class SeededChance:
    """The same seed, the same luck."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def nibble(self) -> int:
        return self._random.getrandbits(4)

    def spread(self) -> float:
        return self._random.random()

    def ident(self, now: datetime) -> str:
        milliseconds = int(now.timestamp() * 1000)
        return str(ULID(milliseconds.to_bytes(6, "big") + self._random.randbytes(10)))
