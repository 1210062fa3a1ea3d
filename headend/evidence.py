"""Evidence: what is known of a token after a doubt, from whom and when; and what follows from it.

Only what is newer than the doubt counts: retained and stored messages tell of the past and prove
nothing, nor does an answer to a question that was asked before the token went out. The order in
which evidence comes never matters. Knows nothing of wires and stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.deliveries import Confirmation, Delivery
from headend.meters import TenantId
from headend.readings import CLOCK_DRIFT
from headend.tokens import TokenOrigin, TokenResult

# Questions that are so close belong to one conversation.
ONE_CONVERSATION = timedelta(seconds=60)
# Rows of one delivery; the same said again is one row that counts.
KEPT = 100


@unique
class EvidenceKind(StrEnum):
    """Where evidence comes from."""

    ECHO = "echo"  # the meter's answer to our entry
    TOKEN_LOG = "token_log"  # asked, without entering anything
    EVENT = "event"  # told unasked
    CREDIT_REGISTER = "credit_register"
    SUPPLY = "supply"  # how the meter's supply stands after an order of it
    SILENCE = "silence"
    PERSON = "person"


@unique
class Says(StrEnum):
    """What it says of our token or order.

    `booked`: the back-office has put its books right; `withdrawn`: nobody wants it any more.
    """

    TAKEN = "taken"
    REFUSED = "refused"
    USED = "used"
    OTHER_TOKEN = "other_token"
    NOT_SEEN = "not_seen"
    NO_ANSWER = "no_answer"
    BOOKED = "booked"
    WITHDRAWN = "withdrawn"


@unique
class Weight(StrEnum):
    """Whether it settles the matter, only supports an answer, or is too old to say anything."""

    DECIDES = "decides"
    SUPPORTS = "supports"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that is known, said `times` times from `first_at` to `received_at` (our clock).

    `asked_at` is when the question left us, None for what was told unasked; `told_at` is the other
    side's clock; `stored`: retained by a broker, or stored and sent late. `by` names a person.
    """

    tenant: TenantId
    delivery_id: str
    token_id: str | None = None
    kind: EvidenceKind
    says: Says
    by: str = ""
    stored: bool = False
    result: TokenResult | None = None
    origin: TokenOrigin | None = None
    asked_at: datetime | None = None
    told_at: datetime | None = None
    first_at: datetime
    received_at: datetime
    times: int = 1
    detail: str = ""

    def same_as(self, other: "Evidence") -> bool:
        """The same said of the same token, by the same source."""
        return _said(self) == _said(other)

    def again(self, newer: "Evidence") -> "Evidence":
        """The same said once more, whichever of both came first."""
        latest = max(self, newer, key=lambda one: one.received_at)
        return replace(
            latest,
            asked_at=_latest(self.asked_at, newer.asked_at),
            told_at=_latest(self.told_at, newer.told_at),
            first_at=min(self.first_at, newer.first_at),
            times=self.times + newer.times,
        )


def _said(one: Evidence) -> tuple[object, ...]:
    said = (one.kind, one.says, one.by, one.stored, one.result, one.origin)
    return (one.tenant, one.delivery_id, one.token_id, *said)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


@dataclass(frozen=True, slots=True)
class Doubt:
    """From when the digits may have been at work, after when we enter nothing more, and whether a
    person may have them.
    """

    since: datetime
    last: datetime
    in_hands: bool


def doubt_of(delivery: Delivery) -> Doubt:
    """The doubt that a delivery is in; nothing of it was in the world before it was made."""
    last = delivery.doubted_at or delivery.handed_at or delivery.created_at
    in_hands = delivery.revealed or delivery.handed_at is not None
    return Doubt(delivery.created_at, last, in_hands)


def weigh(evidence: Evidence, doubt: Doubt) -> Weight:
    """What one piece of evidence is worth."""
    if not _fresh(evidence, doubt):
        return Weight.NOTHING
    match evidence.says:
        case Says.TAKEN:
            return Weight.DECIDES
        case Says.REFUSED | Says.OTHER_TOKEN if evidence.kind in _MAY_REFUSE:
            return Weight.DECIDES
        case _:
            return Weight.SUPPORTS


# An event of a refusal may be of somebody's mistyping.
_MAY_REFUSE = frozenset({EvidenceKind.ECHO, EvidenceKind.TOKEN_LOG})


def _fresh(evidence: Evidence, doubt: Doubt) -> bool:
    if evidence.stored:
        return False
    # That it is not there says something only when nothing can come after the question; a supply
    # that stands as ordered may have stood so before the order left.
    absent = evidence.says in _ABSENT
    since = doubt.last if absent or evidence.kind is EvidenceKind.SUPPLY else doubt.since
    if evidence.asked_at is not None:
        return evidence.asked_at >= since
    if absent and evidence.kind is not EvidenceKind.PERSON:
        return False
    if evidence.told_at is not None and evidence.told_at + CLOCK_DRIFT < since:
        return False
    return evidence.received_at >= since


_ABSENT = frozenset({Says.NOT_SEEN, Says.NO_ANSWER})


@unique
class Finding(StrEnum):
    """What became of a token, as far as evidence tells."""

    TAKEN_REMOTELY = "taken_remotely"
    TAKEN_BY_HAND = "taken_by_hand"
    TAKEN = "taken"  # by which way is not told
    REFUSED = "refused"
    NOT_SEEN = "not_seen"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"

    @property
    def taken(self) -> bool:
        return self in _TAKEN


_TAKEN = frozenset({Finding.TAKEN_REMOTELY, Finding.TAKEN_BY_HAND, Finding.TAKEN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, the evidence it rests on (None: there is none), and the meter's reason if any."""

    finding: Finding
    rests_on: Evidence | None = None
    reason: TokenResult | None = None


def classify(evidence: Sequence[Evidence], doubt: Doubt) -> Verdict:
    """What the evidence means; the order in which it came makes no difference."""
    deciding = _meters_first([one for one in evidence if weigh(one, doubt) is Weight.DECIDES])
    taken = [one for one in deciding if one.says is Says.TAKEN]
    if taken and _gainsaid(taken, evidence):
        return Verdict(Finding.UNKNOWN, _best(taken))
    if taken:
        return Verdict(_way(taken, doubt), _best(taken))
    if deciding:
        latest = _best(deciding)
        return Verdict(Finding.REFUSED, latest, latest.result)
    supporting = [one for one in evidence if weigh(one, doubt) is Weight.SUPPORTS]
    return _undecided(supporting)


def _gainsaid(taken: Sequence[Evidence], evidence: Sequence[Evidence]) -> bool:
    """Only the registers show it, and the log, read with them or later, does not: it may be the
    credit of another vendor's token.
    """
    if any(one.kind is not EvidenceKind.CREDIT_REGISTER for one in taken):
        return False
    read_at = max(one.asked_at or one.received_at for one in taken) - ONE_CONVERSATION
    return any(
        one.kind is EvidenceKind.TOKEN_LOG and one.says is Says.NOT_SEEN and not one.stored
        and one.asked_at is not None and one.asked_at >= read_at
        for one in evidence
    )  # fmt: skip


def _meters_first(deciding: Sequence[Evidence]) -> Sequence[Evidence]:
    """What the meter itself says outweighs what a person has read."""
    by_meter = [one for one in deciding if one.kind is not EvidenceKind.PERSON]
    return by_meter or deciding


def _way(taken: Sequence[Evidence], doubt: Doubt) -> Finding:
    """By hand or remotely, as the meter tells it; without a word of it, by who had the digits."""
    origins = {one.origin for one in taken if one.origin is not None}
    if origins & _HANDS:
        return Finding.TAKEN_BY_HAND
    if origins or any(one.kind is EvidenceKind.ECHO for one in taken) or not doubt.in_hands:
        return Finding.TAKEN_REMOTELY
    return Finding.TAKEN


_HANDS = frozenset({TokenOrigin.KEYPAD, TokenOrigin.HANDHELD})


def _undecided(supporting: Sequence[Evidence]) -> Verdict:
    if used := [one for one in supporting if one.says is Says.USED]:
        return Verdict(Finding.UNKNOWN, _best(used))  # somebody's token of this identifier is in
    absent = [one for one in supporting if one.says in _ABSENT]
    if not absent:
        return Verdict(Finding.UNKNOWN)
    latest = _best(absent)
    seen = latest.says is Says.NOT_SEEN
    return Verdict(Finding.NOT_SEEN if seen else Finding.UNREACHABLE, latest)


_STRENGTH = {
    EvidenceKind.ECHO: 5,
    EvidenceKind.TOKEN_LOG: 4,
    EvidenceKind.EVENT: 3,
    EvidenceKind.CREDIT_REGISTER: 2,
    EvidenceKind.SUPPLY: 2,
    EvidenceKind.PERSON: 1,
    EvidenceKind.SILENCE: 0,
}


def _best(evidence: Sequence[Evidence]) -> Evidence:
    """The newest; of one moment the strongest."""
    return max(evidence, key=lambda one: (one.received_at, _STRENGTH[one.kind], one.says, one.by))


CONFIRMATIONS = {
    EvidenceKind.ECHO: Confirmation.ECHO,
    EvidenceKind.TOKEN_LOG: Confirmation.TOKEN_LOG,
    EvidenceKind.EVENT: Confirmation.TOKEN_LOG,
    EvidenceKind.CREDIT_REGISTER: Confirmation.CREDIT_REGISTER,
    EvidenceKind.SUPPLY: Confirmation.READ_BACK,
    EvidenceKind.PERSON: Confirmation.PERSON,
}


def in_words(verdict: Verdict, *, order: bool = False) -> str:
    """A sentence for the call centre; `order`: of a command that carries no token."""
    text = (_WORDS | _WORDS_OF_ORDERS if order else _WORDS)[verdict.finding]
    if verdict.reason is not None:
        text += f" ({verdict.reason.name.lower()})"
    source = verdict.rests_on
    if source is None:
        return f"{text}."
    when = f"{source.received_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{text}: {_SOURCES[source.kind]}{f' {source.by}' if source.by else ''}, {when}."


_WORDS = {
    Finding.TAKEN_REMOTELY: "The meter took the token, sent by remote",
    Finding.TAKEN_BY_HAND: "The meter took the token, typed by hand",
    Finding.TAKEN: "The meter took the token, by which way it does not tell",
    Finding.REFUSED: "The meter refused the token",
    Finding.NOT_SEEN: "The meter knows nothing of the token",
    Finding.UNREACHABLE: "The meter has not answered since",
    Finding.UNKNOWN: "Nothing tells yet whether the meter took the token",
}
_WORDS_OF_ORDERS = {
    Finding.TAKEN_REMOTELY: "The meter stands as ordered",
    Finding.REFUSED: "The meter refused the order",
    Finding.NOT_SEEN: "The meter does not stand as ordered",
    Finding.UNKNOWN: "Nothing tells yet whether the meter carried the order out",
}
_SOURCES = {
    EvidenceKind.ECHO: "its answer to the entry",
    EvidenceKind.TOKEN_LOG: "its token log, asked for",
    EvidenceKind.EVENT: "its own report",
    EvidenceKind.CREDIT_REGISTER: "its credit and consumption registers",
    EvidenceKind.SUPPLY: "its supply, asked for",
    EvidenceKind.SILENCE: "asked in vain",
    EvidenceKind.PERSON: "said by",
}


class EvidenceLog(Protocol):
    """What the store keeps of evidence."""

    async def note(self, evidence: Evidence) -> bool:
        """Add it, or count it with the same said before; False when KEPT rows are there already."""

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Evidence]:
        """Oldest first (by `first_at`), at most KEPT."""
