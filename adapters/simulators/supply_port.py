"""Remote supply orders of a simulated meter: open, permit close, close; each acted on once.

Orders set, they never toggle; the answer to the last id is repeated. A permission is kept even
while the meter has no credit, so that supply returns with the next token.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, unique

from adapters.simulators.logs import RequestId
from adapters.simulators.relay import Hold, Relay


@unique
class SupplyCommand(IntEnum):
    """Values of register D202."""

    OPEN = 0xA5C0
    PERMIT_CLOSE = 0xA5C1
    CLOSE_NOW = 0xA5C2


@unique
class SupplyResult(IntEnum):
    """Values of register D20B."""

    NONE = 0
    DONE = 1
    NO_CREDIT = 2
    TAMPER_LOCK = 3
    EXPIRED = 5
    CONTACTS_DID_NOT_FOLLOW = 6
    NOT_AUTHORISED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyOrder:
    """One order; `due_at` is true time, `until` is by the meter's clock."""

    id: RequestId
    command: SupplyCommand
    due_at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyAnswer:
    """What came of the last order; `at` is by the meter's clock."""

    id: RequestId
    result: SupplyResult
    closed: bool
    at: datetime


class SupplyPort:
    """The order that waits for its time, and the answer to the last one."""

    def __init__(self) -> None:
        self.pending: SupplyOrder | None = None
        self.answer: SupplyAnswer | None = None

    def take(self, order: SupplyOrder) -> None:
        """Let an order wait; a newer one takes its place, an answered one is not done again."""
        if self.answer is None or self.answer.id != order.id:
            self.pending = order

    def finish(self, answer: SupplyAnswer) -> None:
        self.pending = None
        self.answer = answer

    def cut(self) -> None:
        """Power is gone: the waiting order with it."""
        self.pending = None


def obstacle(relay: Relay, order: SupplyOrder) -> SupplyResult:
    """Why supply is not as an order wanted it; DONE when nothing is in the way."""
    if order.command is not SupplyCommand.OPEN:
        if Hold.TAMPER in relay.holds:
            return SupplyResult.TAMPER_LOCK
        if Hold.CREDIT in relay.holds:
            return SupplyResult.NO_CREDIT
    return SupplyResult.DONE if relay.obeys else SupplyResult.CONTACTS_DID_NOT_FOLLOW
