"""What every bus of a process works with, and the times they all keep."""

from dataclasses import dataclass

from headend.intake import Intake
from headend.ports import Chance, Clock
from headend.store import Store

# One conversation may take this long; the slowest wire needs 48 s (a PLC token at night).
CONVERSATION_S = 60.0
# Other processes add work without being able to wake us.
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BusPorts:
    """What every bus of a process works with."""

    store: Store
    clock: Clock
    chance: Chance
    intake: Intake
