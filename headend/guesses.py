"""Guesses: verifying tells whether 20 digits fit a meter's key, so strangers' digits are counted.

One in 65 536 random tokens passes the CRC: whoever may ask without end finds credit that no till
has sold. A meter defends itself by its lock-out, this does it for us.
"""

from collections import OrderedDict
from datetime import datetime, timedelta

from headend.refusals import TooManyGuesses

PER_HOUR = 200
WINDOW = timedelta(hours=1)
REMEMBERED = 10_000


class Guesses:
    """Digits that were not ours, counted by who brought them; in this process only."""

    def __init__(self, *, per_hour: int = PER_HOUR) -> None:
        self._per_hour = per_hour
        self._seen: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def require_left(self, by: str, *, now: datetime) -> None:
        """Raises TooManyGuesses."""
        since, count = self._seen.get(by, (now, 0))
        if now - since < WINDOW and count >= self._per_hour:
            raise TooManyGuesses(
                f"{count} tokens that are not ours were brought within the hour", field="token"
            )

    def note(self, by: str, *, now: datetime) -> None:
        """One more that is not ours."""
        since, count = self._seen.pop(by, (now, 0))
        self._seen[by] = (since, count + 1) if now - since < WINDOW else (now, 1)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
