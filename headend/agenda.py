"""Who gets the bus next: commands before polls, but polls never starve.

Among commands the store orders by priority (token, supply, clock) and then by rank.
"""

from dataclasses import dataclass, replace
from enum import StrEnum, unique

# With this many commands in a row a due reading has waited long enough on a busy line.
COMMANDS_IN_A_ROW = 8


@unique
class Turn(StrEnum):
    """What a free slot of a bus does next."""

    COMMAND = "command"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class Agenda:
    """How many commands have gone since the last poll."""

    commands: int = 0

    def choose(self) -> Turn:
        """The kind that is asked first; the other follows if there is none of it."""
        return Turn.POLL if self.commands >= COMMANDS_IN_A_ROW else Turn.COMMAND

    def took(self, turn: Turn, count: int) -> "Agenda":
        """The agenda after `count` jobs of a kind; a poll turn without work counts as taken."""
        if turn is Turn.POLL:
            return replace(self, commands=0)
        return replace(self, commands=self.commands + count)
