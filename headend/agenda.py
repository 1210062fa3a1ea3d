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

    `let_in`: the last turn was that of one who had waited enough, before somebody more urgent.
    """

    passed: tuple[int, ...] = (0,) * len(Urgency)
    let_in: bool = False

    def choose(self, waiting: Collection[Urgency]) -> Urgency:
        """Whose turn it is among those that wait; at least one does.

        The most urgent; but who was passed over TURNS_IN_A_ROW times goes before, and of several
        such the most urgent. Of these no two in a row go before a token.
        """
        first = min(waiting)
        if self.let_in and first is Urgency.TOKEN:
            return first
        starving = [one for one in waiting if self.passed[one] >= TURNS_IN_A_ROW]
        return min(starving, default=first)

    def took(self, urgency: Urgency, waiting: Collection[Urgency]) -> "Agenda":
        """The agenda after a turn, `waiting` being those who wanted it too."""
        return Agenda(
            tuple(
                0 if one is urgency or one not in waiting else self.passed[one] + (urgency < one)
                for one in Urgency
            ),
            let_in=any(one < urgency for one in waiting),
        )
