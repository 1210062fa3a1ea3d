"""Deliveries: one command on its way to one meter, and the table of what may happen to it.

Hand-over and doubt are fields, not states: remote and keypad go on side by side. Laws, held by
property tests: FAILED and CANCELLED only if the digits were never out; DONE stays DONE; after
`maybe_taken` never WAITING again; a late truth never raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum, auto, unique
from typing import TypeAlias

from headend.commands import Command
from headend.meters import BusName, Drn, TenantId
from headend.tokens import TokenResult

RETRY_FIRST_S = 2.0
# Within the window before fall-back a lost answer costs little and a quick retry lights a home.
RETRY_MAX_S = 30.0
# After the digits are with a person, or after so many tries, remote goes on until the deadline, but
# it must not crowd the line; a meter that is heard again is tried at once.
RETRY_MAX_HANDED_S = 900.0
MANY_ATTEMPTS = 100
HAND_OVER_RETRY_FIRST_S = 5.0
HAND_OVER_RETRY_MAX_S = 300.0
ASKED_FOR = timedelta(hours=1)
# So many of the newest of a kind of command are looked at.
NEWEST_LIMIT = 20


@unique
class DeliveryMethod(IntEnum):
    """How a command reaches a meter (COSEM Token gateway: token_delivery_method)."""

    REMOTE = 0
    LOCAL = 1  # hand-held unit, infrared
    MANUAL = 2  # keypad


@unique
class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    DONE = "done"
    FAILED = "failed"
    UNRESOLVED = "unresolved"
    CANCELLED = "cancelled"


OPEN_STATES = frozenset({DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.UNCERTAIN})


_STOPPED = frozenset({DeliveryState.FAILED, DeliveryState.UNRESOLVED, DeliveryState.CANCELLED})


@unique
class Fact(StrEnum):
    """Something that happened to a delivery."""

    LEASED = "leased"
    ACCEPTED = "accepted"
    NO_ANSWER = "no_answer"
    NOT_READY = "not_ready"
    NOT_SENT = "not_sent"
    LOCKED_OUT = "locked_out"
    UNSUPPORTED = "unsupported"
    MISCONFIGURED = "misconfigured"
    USED = "used"
    USED_BY_ANOTHER = "used_by_another"
    REFUSED = "refused"
    SEEN = "seen"
    HANDED = "handed"
    REVEALED = "revealed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNWANTED = "unwanted"
    HELD = "held"
    KEY_MISMATCH = "key_mismatch"
    ASK_AGAIN = "ask_again"
    WITHDRAWN = "withdrawn"
    NOT_AS_ORDERED = "not_as_ordered"


@unique
class Confirmation(StrEnum):
    """How we know that the meter took it."""

    ECHO = "echo"
    TOKEN_LOG = "token_log"
    CREDIT_REGISTER = "credit_register"
    USED = "used"
    READ_BACK = "read_back"
    PERSON = "person"


# UNRESOLVED by one of these it waits for nobody: a person gave it up, or the meter has told.
CLOSED_BY = frozenset({Fact.WITHDRAWN, Fact.NOT_AS_ORDERED})


class _To(Enum):
    """Targets of the table that depend on the delivery."""

    BACK = auto()
    LOST = auto()
    USED = auto()
    UNWANTED = auto()


_Target: TypeAlias = DeliveryState | _To
_W, _S, _U = DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.UNCERTAIN

NEXT: Mapping[tuple[DeliveryState, Fact], _Target] = {
    (_W, Fact.LEASED): _S,
    (_U, Fact.LEASED): _S,
    (_S, Fact.ACCEPTED): DeliveryState.DONE,
    (_S, Fact.NO_ANSWER): _U,
    (_S, Fact.NOT_READY): _U,
    (_S, Fact.NOT_SENT): _To.BACK,
    (_S, Fact.LOCKED_OUT): _To.BACK,
    (_S, Fact.UNSUPPORTED): _To.BACK,
    (_S, Fact.MISCONFIGURED): _To.BACK,
    (_S, Fact.USED): _To.USED,
    (_S, Fact.USED_BY_ANOTHER): DeliveryState.UNRESOLVED,
    (_S, Fact.REFUSED): _To.LOST,
    # The worker looked once more before sending, and the command is no longer wanted.
    (_S, Fact.UNWANTED): _To.UNWANTED,
    # Not now: another delivery comes first, or the meter must forget a half key-change set.
    (_S, Fact.HELD): _To.BACK,
    (_S, Fact.KEY_MISMATCH): _To.LOST,
    # A meter's answer may come after we stopped waiting for it.
    (_U, Fact.USED): _To.USED,
    (_U, Fact.USED_BY_ANOTHER): DeliveryState.UNRESOLVED,
    (_U, Fact.REFUSED): _To.LOST,
    # A person wants the meter asked once more.
    (DeliveryState.UNRESOLVED, Fact.ASK_AGAIN): _U,
    (_W, Fact.EXPIRED): _To.LOST,
    (_U, Fact.EXPIRED): _To.LOST,
    (_W, Fact.WITHDRAWN): _To.LOST,
    (_U, Fact.WITHDRAWN): _To.LOST,
    (DeliveryState.UNRESOLVED, Fact.WITHDRAWN): DeliveryState.UNRESOLVED,
    # Looked at when nothing could be under way any more: it was not done, or is undone by now.
    (_S, Fact.NOT_AS_ORDERED): _To.LOST,
    (_U, Fact.NOT_AS_ORDERED): _To.LOST,
    (DeliveryState.UNRESOLVED, Fact.NOT_AS_ORDERED): DeliveryState.UNRESOLVED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One command on its way to one meter.

    `rank` orders the deliveries of one meter (the first TID, or the time of ordering); `size` is
    the number of tokens of the set (1 for other commands) and `entered` how many of them are in;
    `lockouts` counts the lock-outs met; `doubted_at` is the last doubt; `stopped_by` is the fact
    that ended it without the meter having taken it.
    """

    id: str
    tenant: TenantId
    drn: Drn
    bus: BusName | None
    command: Command
    recharge_id: str | None = None
    ordered_by: str | None = None
    priority: int
    rank: int
    state: DeliveryState = DeliveryState.WAITING
    methods: frozenset[DeliveryMethod]
    attempts: int = 0
    lockouts: int = 0
    size: int = 1
    entered: int = 0
    maybe_taken: bool = False
    doubted_at: datetime | None = None
    revealed: bool = False
    handed_at: datetime | None = None
    told_at: datetime | None = None
    hand_attempts: int = 0
    hand_not_before: datetime | None = None
    not_before: datetime
    fallback_at: datetime | None = None
    deadline: datetime
    confirmed_by: Confirmation | None = None
    confirmed_at: datetime | None = None
    stopped_by: Fact | None = None
    result: TokenResult | None = None
    lease_id: str | None = None
    lease_until: datetime | None = None
    created_at: datetime
    changed_at: datetime

    @property
    def out(self) -> bool:
        """The digits may be at work in the world."""
        return self.maybe_taken or self.handed_at is not None or self.revealed or self.entered > 0

    @property
    def by_remote(self) -> bool:
        """Remote is still a way."""
        return DeliveryMethod.REMOTE in self.methods and self.bus is not None

    def next_hand_over(self) -> DeliveryMethod | None:
        """The hand-over not yet given, LOCAL before MANUAL, or None."""
        if self.handed_at is not None:
            return None
        hands = sorted(self.methods - {DeliveryMethod.REMOTE})
        return hands[0] if hands else None

    def after(
        self,
        fact: Fact,
        *,
        now: datetime,
        spread: float = 0.0,
        until: datetime | None = None,
        by: Confirmation | None = None,
        entered: int | None = None,
    ) -> "Delivery":
        """The delivery as it stands after a fact; facts that change nothing are no error.

        `spread` in [0, 1) scatters retries; `until` is the end of a lock-out told by the meter;
        `entered` is how many tokens of the set are in, when more than one more is known to be.
        """
        match fact:
            case Fact.SEEN:
                return self._taken(now, by or Confirmation.TOKEN_LOG, entered)
            case Fact.HANDED:
                return self._handed(now)
            case Fact.REVEALED:
                return replace(self, revealed=True, changed_at=now)
            case Fact.CANCELLED:
                return self._cancelled(now)
        target = NEXT.get((self.state, fact))
        if target is None:
            return self
        marked = self._marked(fact, now=now)
        arrived = marked._arrive(target, now=now, by=by)
        if arrived.state in _STOPPED:
            return replace(arrived, stopped_by=fact)
        return arrived._scheduled(fact, now=now, spread=spread, until=until)

    def _taken(self, now: datetime, by: Confirmation, entered: int | None = None) -> "Delivery":
        """One token more is in (or `entered` in all); DONE with the last of the set."""
        if self.state is DeliveryState.DONE:
            return self
        inside = max(self.entered, self.entered + 1 if entered is None else entered)
        if inside < self.size:
            return replace(self, entered=inside, changed_at=now)
        return replace(
            self,
            state=DeliveryState.DONE,
            entered=self.size,
            confirmed_by=by,
            confirmed_at=now,
            lease_id=None,
            lease_until=None,
            changed_at=now,
        )

    def _handed(self, now: datetime) -> "Delivery":
        if self.state not in OPEN_STATES | {DeliveryState.UNRESOLVED} or self.handed_at:
            return self
        return replace(self, handed_at=now, hand_attempts=0, hand_not_before=None, changed_at=now)

    def _cancelled(self, now: datetime) -> "Delivery":
        if self.state is not DeliveryState.WAITING or self.out:
            return self
        return replace(self, state=DeliveryState.CANCELLED, changed_at=now)

    def _marked(self, fact: Fact, *, now: datetime) -> "Delivery":
        match fact:
            case Fact.LEASED:
                return replace(self, attempts=self.attempts + 1, changed_at=now)
            case Fact.NO_ANSWER | Fact.NOT_READY:
                return replace(self, maybe_taken=True, doubted_at=now, changed_at=now)
            case Fact.LOCKED_OUT:
                return replace(
                    self, attempts=self.attempts - 1, lockouts=self.lockouts + 1, changed_at=now
                )
            case Fact.ASK_AGAIN:
                return replace(self, deadline=max(self.deadline, now + ASKED_FOR), changed_at=now)
            case Fact.HELD:
                return replace(self, attempts=self.attempts - 1, changed_at=now)
            case Fact.UNSUPPORTED | Fact.MISCONFIGURED:
                return replace(self, methods=self.methods - {DeliveryMethod.REMOTE}, changed_at=now)
            case _:
                return replace(self, changed_at=now)

    def _arrive(self, target: _Target, *, now: datetime, by: Confirmation | None) -> "Delivery":
        match target:
            case _To.BACK:
                state = DeliveryState.UNCERTAIN if self.maybe_taken else DeliveryState.WAITING
            case _To.LOST:
                state = DeliveryState.UNRESOLVED if self.out else DeliveryState.FAILED
            case _To.USED:
                if self.out:
                    return self._taken(now, Confirmation.USED)
                state = DeliveryState.UNRESOLVED
            case _To.UNWANTED:
                state = DeliveryState.UNCERTAIN if self.out else DeliveryState.CANCELLED
            case DeliveryState.DONE:
                return self._taken(now, by or Confirmation.ECHO)
            case DeliveryState():
                state = target
        if state is DeliveryState.SENDING:
            return replace(self, state=state)
        return replace(self, state=state, lease_id=None, lease_until=None)

    def _scheduled(
        self, fact: Fact, *, now: datetime, spread: float, until: datetime | None
    ) -> "Delivery":
        if self.state not in (DeliveryState.WAITING, DeliveryState.UNCERTAIN):
            return self
        if fact in (Fact.LOCKED_OUT, Fact.HELD) and until is not None:
            return replace(self, not_before=until)
        if fact is Fact.ASK_AGAIN:
            return replace(self, not_before=now)
        tries = max(1, self.attempts)
        hurried = self.handed_at is None and tries < MANY_ATTEMPTS
        longest_s = RETRY_MAX_S if hurried else RETRY_MAX_HANDED_S
        return replace(
            self, not_before=retry_at(tries, now=now, spread=spread, longest_s=longest_s)
        )

    @property
    def hand_over_at(self) -> datetime:
        """When the digits go to a person: at `fallback_at`, or at once when remote cannot be."""
        due = self.fallback_at if self.by_remote and self.fallback_at else self.created_at
        return max(due, self.hand_not_before or due)

    def hand_over_failed(self, *, now: datetime, spread: float) -> "Delivery":
        """Nobody could be told this time: try again later, until the deadline."""
        tries = self.hand_attempts + 1
        again = retry_at(
            tries,
            now=now,
            spread=spread,
            first_s=HAND_OVER_RETRY_FIRST_S,
            longest_s=HAND_OVER_RETRY_MAX_S,
        )
        return replace(self, hand_attempts=tries, hand_not_before=again, changed_at=now)

    @property
    def next_moment(self) -> datetime:
        """When something is due next: a retry, the hand-over, or the end."""
        moments = [self.deadline]
        if self.by_remote:
            moments.append(self.not_before)
        if self.next_hand_over() is not None:
            moments.append(self.hand_over_at)
        return min(moments)


def retry_at(
    attempts: int,
    *,
    now: datetime,
    spread: float,
    first_s: float = RETRY_FIRST_S,
    longest_s: float = RETRY_MAX_S,
) -> datetime:
    """Exponential back-off, scattered over its upper half. `spread` in [0, 1)."""
    assert 0.0 <= spread < 1.0
    wait_s = min(first_s * 2.0 ** min(attempts - 1, 16), longest_s)
    return now + timedelta(seconds=wait_s * (0.5 + spread / 2))
