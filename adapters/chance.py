"""The only randomness. Satisfies `ports.Chance`."""

import random
import secrets
from datetime import datetime

from ulid import ULID

SECRET_BYTES = 32


class SystemChance:
    """The system's generator: for tokens' nibbles, identifiers and secrets alike."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def nibble(self) -> int:
        return self._random.getrandbits(4)

    def spread(self) -> float:
        return self._random.random()

    def ident(self, now: datetime) -> str:
        """A ULID: 48 bits of milliseconds, 80 of chance."""
        milliseconds = int(now.timestamp() * 1000)
        return str(ULID(milliseconds.to_bytes(6, "big") + secrets.token_bytes(10)))

    def secret(self) -> bytes:
        """256 random bits."""
        return secrets.token_bytes(SECRET_BYTES)
