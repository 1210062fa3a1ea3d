"""Who gets a line next: the more urgent first, and nobody starves.

A line is given for one transaction, so that a recharge waits for one at most. Knows nothing of
time: what starves is counted in turns, because a turn at 300 baud is long and at 115200 is none.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum, unique

# With so many turns in a row for the more urgent, others have waited long enough on a busy line.
TURNS_IN_A_ROW = 8


@unique
class Urgency(IntEnum):
    """Why a meter is asked; lower goes first."""

    TOKEN = 0  # somebody stands at the till
    SUPPLY = 1  # and alarms
    BULK = 2  # tokens and commands of jobs: nobody waits for a single one
    READING = 3
    HISTORY = 4


@dataclass(frozen=True, slots=True)
class Agenda:
    """How many turns each urgency has been passed over since its last one.

    `tokens` were the turns of tokens in a row, up to now.
    """

    passed: tuple[int, ...] = (0,) * len(Urgency)
    tokens: int = 0

    def choose(self, waiting: Collection[Urgency]) -> Urgency:
        """Whose turn it is among those that wait; at least one does.

        The most urgent; but who was passed over TURNS_IN_A_ROW times goes before, and of several
        such the one passed over most. A token lets them go first only after TURNS_IN_A_ROW tokens.
        """
        first = min(waiting)
        if first is Urgency.TOKEN and self.tokens < TURNS_IN_A_ROW:
            return first
        starving = [one for one in waiting if self.passed[one] >= TURNS_IN_A_ROW]
        return max(starving, key=lambda one: (self.passed[one], -one), default=first)

    def took(self, urgency: Urgency, waiting: Collection[Urgency]) -> "Agenda":
        """The agenda after a turn, `waiting` being those who wanted it too."""
        return Agenda(
            tuple(
                0 if one is urgency or one not in waiting else self.passed[one] + (urgency < one)
                for one in Urgency
            ),
            tokens=self.tokens + 1 if urgency is Urgency.TOKEN else 0,
        )
