"""Discovery: which addresses of a line answer, and who is there. Decides what to ask next.

Each address is asked for itself, never all at once. Who is silent is asked once more at the end
with another question, because a meter may know only one; who is garbled is asked until it is sure
that this is no single disturbance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Protocol

from headend.errors import HeadendError
from headend.meters import Drn, ProfileName, Service, StsConfiguration

UNITS = range(1, 248)
# So many tries in which the answer is garbled, none of them good: two talk at once.
GARBLED_TRIES = 4


@unique
class Heard(StrEnum):
    """What one question brought."""

    ANSWER = "answer"
    SILENCE = "silence"
    GARBLED = "garbled"


@unique
class Presence(StrEnum):
    """What is known of an address."""

    NAMED = "named"  # one model, or several that look alike
    UNKNOWN = "unknown"  # it answers, and fits no model
    DUPLICATE = "duplicate"  # two meters, most likely


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who answers at one address. `told` is what it said, for people.

    `address` is that of a route; empty where the meter tells none.
    `models` are all that fit; `drn`, `service`, `currency` and `sts` only where the meter tells.
    """

    address: str
    presence: Presence
    models: tuple[ProfileName, ...] = ()
    told: str = ""
    baud: int | None = None
    drn: Drn | None = None
    service: Service | None = None
    currency: str | None = None
    sts: StsConfiguration | None = None


class LineLost(HeadendError):
    """The line itself cannot be used; the text says why."""


class Survey(Protocol):
    """Asks the addresses of one line. Raises LineLost."""

    async def knock(self, unit: int, *, otherwise: bool) -> Heard:
        """Ask one harmless question; `otherwise` by the other function."""

    async def who(self, unit: int) -> Found:
        """Who answers there."""


class Alone(Protocol):
    """Asks whoever is there, on a line that a person says has one meter. Raises LineLost."""

    async def who(self) -> Found | None:
        """The meter; None where nobody answers."""


@dataclass(slots=True)
class Discovery:
    """What was found so far; `ended` says whether every address was asked."""

    found: list[Found] = field(default_factory=list)
    asked: int = 0
    ended: bool = False

    async def look(
        self,
        survey: Survey,
        units: Sequence[int],
        *,
        stopped: Callable[[], bool],
        seen: Callable[[Found | None], None],
    ) -> None:
        """Ask all of them, until `stopped`; `seen` is told after each."""
        silent = list(units)
        for otherwise in (False, True):
            asking, silent = silent, []
            for unit in asking:
                if stopped():
                    return
                found = await _meet(survey, unit, otherwise=otherwise)
                if found is None:
                    silent.append(unit)
                else:
                    self.found.append(found)
                self.asked += 1
                seen(found)
        self.ended = True

    async def greet(
        self,
        alone: Sequence[Alone],
        *,
        stopped: Callable[[], bool],
        seen: Callable[[Found | None], None],
    ) -> None:
        """Ask by each of these dialects, until `stopped`; `seen` is told after each."""
        for one in alone:
            if stopped():
                self.ended = False
                return
            found = await one.who()
            if found is not None:
                self.found.append(found)
            self.asked += 1
            seen(found)
        self.ended = True


async def _meet(survey: Survey, unit: int, *, otherwise: bool) -> Found | None:
    garbled = 0
    while garbled < GARBLED_TRIES:
        match await survey.knock(unit, otherwise=otherwise):
            case Heard.ANSWER:
                return await survey.who(unit)
            case Heard.SILENCE:
                break
            case Heard.GARBLED:
                garbled += 1
    if not garbled:
        return None
    told = f"{garbled} answers in a row were garbled: two meters at this address, or noise"
    return Found(address=str(unit), presence=Presence.DUPLICATE, told=told)


def parse_units(text: str) -> tuple[int, ...]:
    """`1-247` or `1-32,40,101-110`, in order; raises ValueError, saying what is wrong."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        ends = [first, last if dash else first]
        if not all(end.isascii() and end.isdigit() and len(end) < 4 for end in ends):
            raise ValueError(f"{part.strip()!r} is no unit: write 1-247, or 1-32,40")
        low, high = int(ends[0]), int(ends[1])
        if low == 0:
            raise ValueError("unit 0 is everybody: nothing is ever sent to all; begin at 1")
        if not (low in UNITS and high in UNITS and low <= high):
            raise ValueError(f"{part.strip()!r}: units are 1 to 247, the smaller one first")
        found |= set(range(low, high + 1))
    return tuple(sorted(found))
