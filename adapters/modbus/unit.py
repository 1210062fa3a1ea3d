"""Unit: one address of a line, and whether we know who answers there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from adapters.modbus.doubt import in_doubt
from adapters.modbus.frames import Table
from adapters.modbus.lessons import Lessons
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Profile
from headend.agenda import Urgency
from headend.errors import NoAnswer
from headend.meters import Drn, Meter, ProfileName
from protocols.modbus.blocks import Pace, Span
from protocols.modbus.stsm import Feature

# A meter can be swapped for another in the time of a coffee; asking again costs one read.
BELIEVED_S = 3600.0
NO_FEATURES = Feature(0)
# Asks who is there, and remembers it; raises Misconfigured for somebody else.
Meeting = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """What the first conversation with a meter found.

    `profile` is that of its variant. `factors` multiply readings; `amount_exponent` is that of its
    credit, which is in `currency` (ISO 4217) or, where that is None, in units. `tells_details`:
    more of its supply than the status block has.
    """

    profile: Profile
    drn: Drn
    currency: str | None = None
    factors: Mapping[str, Decimal] = field(default_factory=dict)
    amount_exponent: int = 0
    features: Feature = NO_FEATURES
    tells_details: bool = False


class Memory:
    """What is remembered of one address from conversation to conversation."""

    def __init__(self) -> None:
        self.known: Acquaintance | None = None
        self.connection = 0
        self.answered_at = 0.0
        self.lessons = Lessons()


class Unit:
    """One address of a line, in one conversation of some urgency.

    After a silence it may be another meter that answers.
    """

    def __init__(
        self,
        line: ModbusLine,
        address: int,
        memory: Memory,
        *,
        urgency: Urgency = Urgency.READING,
    ) -> None:
        self.address = address
        self._line = line
        self._memory = memory
        self._urgency = urgency
        self._meet: Meeting | None = None

    @property
    def pace(self) -> Pace:
        """What reading this meter costs, by what is known of its delay now."""
        return self._line.pace(self.address)

    @property
    def lessons(self) -> Lessons:
        """What this address taught of its registers."""
        return self._memory.lessons

    def known(self, profile: ProfileName, meter: Meter) -> Acquaintance | None:
        """The acquaintance with this meter, if it can still be believed."""
        known = self._memory.known
        now = asyncio.get_running_loop().time()
        if known is None or now - self._memory.answered_at > BELIEVED_S:
            return None
        if self._reopened:
            return None  # whoever plugged the line in again may have changed what hangs on it
        wanted = (profile, meter.drn, meter.currency)
        return known if (known.profile.name, known.drn, known.currency) == wanted else None

    def meet_with(self, meeting: Meeting) -> None:
        """How to ask who is there, should the line be opened again in this conversation."""
        self._meet = meeting

    def remember(self, known: Acquaintance) -> None:
        self._memory.known = known
        self._memory.connection = self._line.connections
        self._memory.lessons.meet()

    def forget(self) -> None:
        """What answers is not believed any more: it is asked who it is before the next word."""
        self._memory.known = None

    async def read(self, table: Table, span: Span) -> tuple[int, ...]:
        """Read registers; raises the errors of the wire."""
        with self._watched():
            words = await self._line.read(self.address, table, span, urgency=self._urgency)
        await self._meet_again()
        return words

    async def write(
        self, start: int, words: tuple[int, ...], *, shown: tuple[int, ...] | None = None
    ) -> None:
        """Write holding registers with one FC16; raises the errors of the wire.

        `shown` stands in recordings for words that hold a secret.
        """
        with self._watched():
            await self._line.write(self.address, start, words, urgency=self._urgency, shown=shown)
        # It is out, whoever took it: that a stranger answers, or nobody, makes it no less so.
        with in_doubt():
            await self._meet_again()

    @property
    def _reopened(self) -> bool:
        return self._memory.connection != self._line.connections

    async def _meet_again(self) -> None:
        """An idle line may be opened again by the question itself: its answer waits for a probe."""
        if self._memory.known is None or self._meet is None or not self._reopened:
            return
        self.forget()
        await self._meet()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except NoAnswer:
            self._memory.known = None
            raise
        self._memory.answered_at = asyncio.get_running_loop().time()
