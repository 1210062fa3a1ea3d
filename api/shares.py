"""Shares of what costs this process memory: so many at once, so many of them for one API key."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from api.problems import TooBusy, TooManyOfKey


class Shares:
    """How many of something are held now; `what` names it, and `instead` what a caller may do."""

    def __init__(self, what: str, *, most: int, most_of_key: int, instead: str) -> None:
        self._what = what
        self._most = most
        self._most_of_key = most_of_key
        self._instead = instead
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many in sum."""
        return self._held.total()

    def take(self, key: str) -> Callable[[], None]:
        """One more for an API key; what gives it back, once however often it is called.

        Raises TooManyOfKey, TooBusy.
        """
        if self._held[key] >= self._most_of_key:
            raise TooManyOfKey(
                f"this API key has {self._most_of_key} {self._what} at once; {self._instead}"
            )
        if self.held >= self._most:
            raise TooBusy(f"this process has {self._most} {self._what} at once; {self._instead}")
        self._held[key] += 1
        once = ExitStack()
        once.callback(self._give_back, key)
        return once.close

    def _give_back(self, key: str) -> None:
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
