"""Faults of one simulated meter, set from outside while it runs.

Those of the wire are consumed here, one answer at a time; how a meter dies in the middle of a
command is the meter's to act out. Knows nothing of frames and topics.
"""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Dying(StrEnum):
    """When power goes in the middle of the next remote token entry."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one answer."""

    lost: bool = False
    delay_s: float = 0.0
    garbled: bool = False


@dataclass(slots=True)
class Faults:
    """Switches of one meter; all off is a healthy wire.

    `silent`: it hears nothing. `busy`: it refuses whatever is asked. `slow_s`: each answer waits so
    long. `lose(n)`, `late(n, by_s)`, `garble(n)`: the next n answers, though it acted.
    `lose_commands(n)`: only answers to what changes something; questions are answered.
    """

    silent: bool = False
    busy: bool = False
    slow_s: float = 0.0
    dying: Dying | None = None
    down_s: float = 3.0
    to_lose: int = 0
    commands_to_lose: int = 0
    to_delay: int = 0
    late_s: float = 0.0
    to_garble: int = 0

    def lose(self, answers: int = 1) -> None:
        self.to_lose = answers

    def lose_commands(self, answers: int = 1) -> None:
        self.commands_to_lose = answers

    def late(self, answers: int = 1, *, by_s: float = 3.0) -> None:
        self.to_delay = answers
        self.late_s = by_s

    def garble(self, answers: int = 1) -> None:
        self.to_garble = answers

    def clear(self) -> None:
        """Repair everything."""
        healthy = Faults()
        for name in Faults.__slots__:
            setattr(self, name, getattr(healthy, name))

    def named(self) -> list[str]:
        """The faults that are set, for people."""
        present = {
            "silent": self.silent,
            "busy": self.busy,
            f"slow {self.slow_s:g} s": self.slow_s > 0,
            f"loses {self.to_lose}": self.to_lose > 0,
            f"loses {self.commands_to_lose} of commands": self.commands_to_lose > 0,
            f"late {self.to_delay}": self.to_delay > 0,
            f"garbles {self.to_garble}": self.to_garble > 0,
            f"dies {self.dying}": self.dying is not None,
        }
        return [name for name, on in present.items() if on]

    def next_command_fate(self) -> Fate:
        """The fate of the answer to a command, which changes something (a token, an order)."""
        if self.commands_to_lose > 0:
            self.commands_to_lose -= 1
            return Fate(lost=True)
        return self.next_fate()

    def next_fate(self) -> Fate:
        """The fate of the answer about to be given; uses up one of each counted fault."""
        delay_s = self.slow_s
        if self.to_lose > 0:
            self.to_lose -= 1
            return Fate(lost=True)
        if self.to_delay > 0:
            self.to_delay -= 1
            delay_s += self.late_s
        garbled = self.to_garble > 0
        if garbled:
            self.to_garble -= 1
        return Fate(delay_s=delay_s, garbled=garbled)
