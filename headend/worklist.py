"""Work list: what only people can settle, why, what is known of it, and the ways to close it.

Every way is an action with its own rule; a person's word is recorded as such, with who gave it. A
second token is never made: digits that were not taken go back to hand-over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.commands import TOKEN_COMMANDS, ChangeKey, EnterToken, Manage
from headend.deliveries import CLOSED_BY, Delivery, DeliveryState, Fact
from headend.evidence import Doubt, Evidence, EvidenceKind, Finding, Says, classify, doubt_of
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeState
from headend.tokens import Token, TokenResult, TokenState

# A command under way when we stop waiting is dead after this, though gateways' clocks drift.
QUIET = timedelta(minutes=5)
# Digits that went back to hand-over have this long, before a person sees them again.
AGAIN_FOR = timedelta(hours=24)


@unique
class WorkCause(StrEnum):
    """Why a person has to look."""

    OUTCOME_UNKNOWN = "outcome_unknown"
    REFUSED = "refused"
    USED_BY_ANOTHER = "used_by_another"
    KEY_MISMATCH = "key_mismatch"
    NEVER_SENT = "never_sent"
    CREDITED_AFTER_REVERSAL = "credited_after_reversal"


@unique
class Way(StrEnum):
    """How a piece of work can be closed."""

    ASK_AGAIN = "ask_again"
    CONFIRM_TAKEN = "confirm_taken"
    CONFIRM_NOT_TAKEN = "confirm_not_taken"
    WITHDRAW = "withdraw"
    CONFIRM_CHANGE = "confirm_change"
    WITHDRAW_CHANGE = "withdraw_change"
    REVERSE = "reverse"
    BOOK = "book"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One piece of work: a delivery with its sale, tokens and evidence as they stand now."""

    delivery: Delivery
    recharge: Recharge | None
    tokens: Sequence[Token]
    evidence: Sequence[Evidence]

    @property
    def since(self) -> datetime:
        """From when it waits for a person."""
        return self.delivery.changed_at

    @property
    def cause(self) -> WorkCause:
        if self.recharge is not None and self.recharge.state is RechargeState.REVERSED:
            return WorkCause.CREDITED_AFTER_REVERSAL
        if self.delivery.state is DeliveryState.FAILED:
            return WorkCause.NEVER_SENT
        match self.delivery.stopped_by:
            case Fact.REFUSED:
                return WorkCause.REFUSED
            case Fact.USED | Fact.USED_BY_ANOTHER:
                return WorkCause.USED_BY_ANOTHER
            case Fact.KEY_MISMATCH:
                return WorkCause.KEY_MISMATCH
            case _:
                return WorkCause.OUTCOME_UNKNOWN

    def ways(self, now: datetime) -> Sequence[Way]:
        """The ways that are open; each looks again when it is gone."""
        match self.cause:
            case WorkCause.CREDITED_AFTER_REVERSAL:
                return (Way.BOOK,)
            case WorkCause.NEVER_SENT:
                return (Way.REVERSE,)
        if self.of_order:
            return (Way.CONFIRM_TAKEN, Way.CONFIRM_NOT_TAKEN, Way.WITHDRAW)
        if isinstance(self.delivery.command, ChangeKey):
            asking = (Way.ASK_AGAIN,) if self.delivery.by_remote else ()
            return (*asking, Way.CONFIRM_CHANGE, Way.WITHDRAW_CHANGE)
        found = []
        if isinstance(self.delivery.command, EnterToken | Manage):
            found.append(Way.ASK_AGAIN)
            if not self.refused_by_meter:
                found += [Way.CONFIRM_TAKEN, Way.CONFIRM_NOT_TAKEN]
        if self.recharge is not None and proved_unused(self, now=now):
            found.append(Way.REVERSE)
        return found

    @property
    def of_order(self) -> bool:
        """It carries no token: supply, clock or credit parameters."""
        return not isinstance(self.delivery.command, TOKEN_COMMANDS)

    @property
    def may_be_withdrawn(self) -> bool:
        """An order in doubt, also one that would still be tried again."""
        doubtful = self.delivery.state in (DeliveryState.UNCERTAIN, DeliveryState.UNRESOLVED)
        return self.of_order and doubtful and self.delivery.stopped_by not in CLOSED_BY

    @property
    def refused_by_meter(self) -> bool:
        """The meter itself said no to a token: it will not take it from a keypad either."""
        doubt = doubt_of(self.delivery)
        findings = [_finding(token, self.evidence, doubt)[0] for token in self.waiting]
        refused = any(token.state is TokenState.REFUSED for token in self.waiting)
        return refused or Finding.REFUSED in findings

    @property
    def waiting(self) -> Sequence[Token]:
        """The tokens that are not in."""
        return [token for token in self.tokens if token.state is not TokenState.TAKEN]


def _finding(
    token: Token, evidence: Sequence[Evidence], doubt: Doubt
) -> tuple[Finding, Evidence | None]:
    verdict = classify([one for one in evidence if one.token_id == token.id], doubt)
    return verdict.finding, verdict.rests_on


def proved_unused(work: Work, *, now: datetime) -> bool:
    """No token of it is in the meter nor can ever be: only then the money may go back.

    Either nobody has the digits and the meter's log, asked when nothing was under way any more,
    does not know them; or the meter has found them too old, which never changes, and its registers
    show that they were not in before: a used token that its store has forgotten is too old as well.
    """
    if work.delivery.state is not DeliveryState.UNRESOLVED or work.delivery.entered:
        return False
    tokens = work.tokens
    return bool(tokens) and all(_never(token, work, now=now) for token in tokens)


def _never(token: Token, work: Work, *, now: datetime) -> bool:
    doubt = doubt_of(work.delivery)
    finding, source = _finding(token, work.evidence, doubt)
    about = [one for one in work.evidence if one.token_id == token.id]
    if any(one.says is Says.TAKEN for one in about):
        return False  # whoever says so, and whatever outweighs it: the money stays
    if not doubt.in_hands and any(_not_in_log(one, doubt, now=now) for one in about):
        return finding is Finding.NOT_SEEN or _too_old(token, finding, source)
    return _too_old(token, finding, source) and any(_not_in_register(one, doubt) for one in about)


def _too_old(token: Token, finding: Finding, source: Evidence | None) -> bool:
    old = source is not None and source.result is TokenResult.OLD_ERROR
    return token.result is TokenResult.OLD_ERROR or (finding is Finding.REFUSED and old)


def _not_in_log(one: Evidence, doubt: Doubt, *, now: datetime) -> bool:
    asked = one.kind is EvidenceKind.TOKEN_LOG and one.says is Says.NOT_SEEN
    return asked and one.asked_at is not None and doubt.last + QUIET <= one.asked_at <= now


def _not_in_register(one: Evidence, doubt: Doubt) -> bool:
    read = one.kind is EvidenceKind.CREDIT_REGISTER and one.says is Says.NOT_SEEN
    return read and one.asked_at is not None and one.asked_at >= doubt.last + QUIET


def handed_again(delivery: Delivery, *, now: datetime) -> Delivery:
    """Digits that were not taken go to the customer once more, and remote goes on; no new token."""
    again = delivery.after(Fact.ASK_AGAIN, now=now)
    return replace(
        again,
        revealed=again.revealed or again.handed_at is not None,
        handed_at=None,
        hand_attempts=0,
        hand_not_before=None,
        fallback_at=now,
        deadline=max(again.deadline, now + AGAIN_FOR),
    )


def word_of(
    delivery: Delivery, token: Token | None, says: Says, *, by: str, note: str, now: datetime
) -> Evidence:
    """What a person has seen or done, as evidence."""
    return Evidence(
        tenant=delivery.tenant,
        delivery_id=delivery.id,
        token_id=token.id if token else None,
        kind=EvidenceKind.PERSON,
        says=says,
        by=by,
        first_at=now,
        received_at=now,
        detail=note,
    )


class WorkList(Protocol):
    """What the store knows of it."""

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Delivery]:
        """Oldest first (by creation).

        UNRESOLVED deliveries whose sale is neither reversed nor replaced, without those that
        CLOSED_BY names; those of FAILED sales, and those that are DONE though their sale was
        reversed; none that a person has booked.
        """
