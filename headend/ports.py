"""What the core asks of the world: clock, chance, meters, security module, people.

Adapters satisfy these by shape. What it asks of the database is in `store`.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from headend.agenda import Urgency
from headend.commands import SetSupply
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation
from headend.events import MeterEvent
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Meter,
    ProfileName,
    StsConfiguration,
    TenantId,
)
from headend.readings import Reading
from headend.supply import Supply
from headend.tokens import (
    Issued,
    KeyChangeOrder,
    Token,
    TokenContents,
    TokenOrder,
    TokenOutcome,
)
from headend.usage_points import Contact
from headend.vending_keys import VendingKey


class Clock(Protocol):
    """The only wall clock; aware UTC."""

    def now(self) -> datetime: ...


class Chance(Protocol):
    """The only randomness."""

    def nibble(self) -> int: ...

    def spread(self) -> float:
        """In [0, 1)."""

    def ident(self, now: datetime) -> str:
        """A new ULID, 26 characters, sorted by time."""


# --- meters -----------------------------------------------------------------------------------


class Session(Protocol):
    """An open conversation with one meter. Raises the five wire errors of `errors`."""

    async def read(self) -> Sequence[Reading]:
        """The basic registers of the profile."""

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        """What the meter's log has above this number, oldest first, perhaps not all at once."""

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        """What the meter kept at the end of days and months that ended after `since`."""

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        """Enter one token and wait for the meter's own result.

        The command id on the wire is the token's id, so that a repeat is known as one; `attempt`
        counts the lock-outs met, after which a new id is needed.
        """

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        """What the meter remembers of this token, or None if it knows nothing of it."""

    async def supply(self) -> Supply: ...

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None: ...

    async def set_clock(self, now: datetime) -> Confirmation:
        """Set it; tells whether it was READ_BACK, or the meter only answered (ECHO).

        Raises Refused when the meter keeps another time.
        """

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        """Set those that are named, and read them back; the same again changes nothing."""

    async def sts_configuration(self) -> StsConfiguration:
        """SGC, KRN, TI, key type and EA as the meter holds them now, never from memory."""


class Driver(Protocol):
    """Opens sessions with the meters of one dialect on one bus."""

    def capabilities(self, profile: ProfileName) -> Capability:
        """What a profile can do; NONE for a profile of another dialect."""

    def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AbstractAsyncContextManager[Session]:
        """A conversation; on a shared line `urgency` decides at each of its turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSeen:
    """What a meter told unasked (or late) of a token.

    `token_id` is our command id when it answers a command of ours; else only the echo tells.
    """

    token_id: str | None = None
    outcome: TokenOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """What a meter answered when asked at `asked_at` of one token; None: it knows nothing of it."""

    token_id: str
    asked_at: datetime
    outcome: TokenOutcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one meter said at one time, polled or pushed. `alive`: it can be reached now.

    `stored`: retained by a broker, or stored and sent late: it tells of the past, proves nothing.
    `asked_at` is when our question left, None for what was told unasked; `told_at` the time of the
    message by the other side's clock; `answers` are to our questions.
    """

    tenant: TenantId
    drn: Drn
    bus: BusName
    address: str
    readings: tuple[Reading, ...] = ()
    events: tuple[MeterEvent, ...] = ()
    supply: Supply | None = None
    tokens: tuple[TokenSeen, ...] = ()
    answers: tuple[TokenAnswer, ...] = ()
    alive: bool = True
    stored: bool = False
    asked_at: datetime | None = None
    told_at: datetime | None = None


class Notice(Protocol):
    """One message from a meter; `done` acknowledges it, after the commit."""

    @property
    def report(self) -> Report: ...

    def done(self) -> None: ...


class Listener(Protocol):
    """Hears what meters say unasked."""

    def notices(self) -> AsyncIterator[Sequence[Notice]]:
        """Batches in the order of arrival, as many as are waiting (bounded)."""


# --- the security module -----------------------------------------------------------------------


class SecurityModule(Protocol):
    """Holds the vending keys and never shows them."""

    async def key(self, tenant: TenantId, sgc: str, krn: int) -> VendingKey:
        """Attributes of one key; raises NoVendingKey, ModuleDown."""

    async def check(self, order: TokenOrder) -> VendingKey:
        """The key an order would be issued under; makes nothing, needs no TID and RND.

        Raises what `issue` would refuse of it, so that nothing is stored that can never be issued.
        """

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        """Make tokens; the same message id gives the same digits.

        Raises ModuleDown, OrderRefused.
        """

    async def change_key(self, order: KeyChangeOrder, *, message_id: str) -> Issued:
        """The whole set of a key change, or none of it. Raises ModuleDown, OrderRefused."""

    async def read(self, tenant: TenantId, meter: Meter, digits: str) -> TokenContents:
        """What 20 digits say under the key of a meter. Raises ModuleDown, OrderRefused."""


# --- people ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a person is told. `digits` in order of entry; empty in a note that all is well.

    `id` is that of no other tenant's note. `test`: made under a test key, and told as such.
    """

    id: str
    tenant: TenantId
    drn: Drn
    language: str
    contacts: tuple[Contact, ...]
    digits: tuple[str, ...] = field(repr=False)
    amount: str | None
    reference: str | None
    taken: bool = False
    test: bool = False
    # Who had it from which provider already, to no avail: these are not asked again.
    tried: frozenset[tuple[Contact, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A message that a provider took for one person; that it arrives is not said.

    `reference` is the name by which a receipt will speak of it; `receipt_within_s` None: this
    provider sends no receipts.
    """

    contact: Contact
    provider: str
    reference: str
    receipt_within_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What the people in charge are told of a home that paid and is dark; holds no digits.

    `limit`: beyond the legal limit; `state` are words of ours, of the sale and its cause.
    """

    id: str
    drn: Drn
    language: str
    contacts: tuple[Contact, ...]
    recharge: str
    reference: str | None
    limit: bool
    minutes: int
    state: str


class Alarm(Protocol):
    """Tells the people in charge."""

    async def tell(self, alert: Alert) -> None:
        """Raises NotSent when nobody could be told; telling twice is harmless."""


class Handover(Protocol):
    """Gives digits to a person: a message, a receipt, a hand-held unit."""

    async def give(self, note: Note) -> Sequence[Dispatch]:
        """Raises NotSent when nobody could be told; giving twice is harmless."""
