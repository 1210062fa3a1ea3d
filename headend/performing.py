"""Performing: one command, once, in one session; where it may already have happened, look first."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from headend.agenda import Urgency
from headend.commands import (
    ChangeKey,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.deliveries import Confirmation, Fact
from headend.errors import (
    Misconfigured,
    NoAnswer,
    NotSent,
    Refused,
    Unsupported,
    WireError,
)
from headend.evidence import Evidence, EvidenceKind, Says, doubt_of
from headend.meters import Capability, StsConfiguration
from headend.outcomes import Outcome
from headend.ports import Clock, Driver, Session
from headend.proving import said, says_of, silence
from headend.quantities import Amount, fits
from headend.rekeying import Doubt, after_change, before_change, enter_set, held_key, key_mismatch
from headend.store import Leased
from headend.supply import Supply, as_ordered, carried_out
from headend.tokens import Token, TokenOutcome, TokenResult, TokenState
from headend.worklist import QUIET


@dataclass(slots=True)
class Attempting:
    """How far one try has come: `token_id` and `acted` tell what a lost answer means.

    `asked` is the question that is not answered yet, `evidence` what the answers said.
    """

    token_id: str | None = None
    acted: bool = False
    outcome: Outcome | None = field(default=None)
    asked: tuple[Token, datetime] | None = None
    evidence: list[Evidence] = field(default_factory=list)

    def heard(
        self, kind: EvidenceKind, says: Says | None, word: TokenOutcome | None, now: datetime
    ) -> None:
        """The answer to the question that was asked; it may say nothing that could be used."""
        assert self.asked is not None
        (token, asked_at), self.asked = self.asked, None
        if says is not None:
            one = said(token, word, kind=kind, says=says, now=now, asked_at=asked_at)
            self.evidence.append(one)

    def broken(self, error: WireError, now: datetime) -> Outcome:
        """What an error of the wire means at this point."""
        if self.asked is not None and isinstance(error, NoAnswer | NotSent):
            token, asked_at = self.asked
            self.evidence.append(silence(token, asked_at=asked_at, now=now))
        told = Outcome(fact=self._fact(error), token_id=self.token_id, detail=str(error))
        return self.told(self.outcome or told)

    def interrupted(self) -> Outcome:
        """We stopped, or ran out of time."""
        fact = Fact.NO_ANSWER if self.acted else Fact.NOT_SENT
        told = Outcome(fact=fact, token_id=self.token_id, detail="interrupted")
        return self.told(self.outcome or told)

    def told(self, outcome: Outcome) -> Outcome:
        """An outcome with the evidence that was seen on the way."""
        return replace(outcome, evidence=tuple(self.evidence))

    def _fact(self, error: WireError) -> Fact:
        match error:
            case NoAnswer():
                # Silence before the command itself was sent leaves nothing in doubt.
                return Fact.NO_ANSWER if self.acted else Fact.NOT_SENT
            case Refused():
                return Fact.REFUSED
            case Unsupported():
                return Fact.UNSUPPORTED
            case Misconfigured():
                return Fact.MISCONFIGURED
            case _:
                return Fact.NOT_SENT


@dataclass(frozen=True, slots=True)
class Sold:
    """What the tokens of a delivery were made for: the amount, and the key they were made under.

    `half_set_at` is when another key change may have left a half set in the meter. `stopped` is why
    an order in doubt must not be sent again.
    """

    encoded: Amount | None = None
    sts: StsConfiguration | None = None
    half_set_at: datetime | None = None
    stopped: Outcome | None = None


async def perform(
    driver: Driver, leased: Leased, *, clock: Clock, sold: Sold, attempting: Attempting
) -> Outcome:
    """Do the command of a leased delivery once and say what came of it; raises no wire error."""
    can = driver.capabilities(leased.meter.profile)
    try:
        async with driver.open(leased.meter, urgency=Urgency(leased.delivery.priority)) as session:
            match leased.delivery.command:
                case EnterToken() | Manage():
                    entering = _Entering(session, can, sold, attempting, clock)
                    return attempting.told(await _enter(entering, leased))
                case ChangeKey() as change:
                    doubt = Doubt(clock.now(), leased.delivery, sold.half_set_at)
                    known = await before_change(session, change, can, doubt) or sold.stopped
                    return known or await _change_key(
                        session, leased, change, can, attempting=attempting
                    )
                case SetSupply() as order:
                    settled = await _settled(session, leased, order, sold, now=clock.now())
                    return settled or await _set_supply(session, leased, order, attempting)
                case SetClock():
                    attempting.acted = True
                    by = await session.set_clock(clock.now())
                    return _proved(attempting, by)
                case SetCreditParameters(change):
                    attempting.acted = True
                    await session.set_credit_parameters(change)
                    return _proved(attempting, Confirmation.READ_BACK)
                case _:
                    assert_never(leased.delivery.command)
    except WireError as error:
        return attempting.broken(error, clock.now())


def _proved(attempting: Attempting, by: Confirmation) -> Outcome:
    """What breaks while the conversation ends makes it no less so."""
    attempting.outcome = Outcome(fact=Fact.ACCEPTED, by=by)
    return attempting.outcome


@dataclass(frozen=True, slots=True)
class _Entering:
    """One token on its way into one meter; every word of the meter on it is noted."""

    session: Session
    can: Capability
    sold: Sold
    attempting: Attempting
    clock: Clock

    async def ask(self, token: Token, expected: Amount | None) -> TokenOutcome | None:
        """What the meter remembers of the token."""
        self.attempting.asked = (token, self.clock.now())
        remembered = await self.session.token_outcome(token)
        says = says_of(token, remembered, expected)
        self.attempting.heard(EvidenceKind.TOKEN_LOG, says, remembered, self.clock.now())
        return remembered

    async def enter(self, token: Token, *, attempt: int) -> TokenOutcome:
        """The meter's own result of the entry."""
        self.attempting.asked = (token, self.clock.now())
        self.attempting.acted = True
        entered = await self.session.enter_token(token, attempt=attempt)
        says = says_of(token, entered, None)
        self.attempting.heard(EvidenceKind.ECHO, says, entered, self.clock.now())
        return entered


async def _enter(entering: _Entering, leased: Leased) -> Outcome:
    session, can, attempting = entering.session, entering.can, entering.attempting
    sold = entering.sold
    token = _next_token(leased)
    attempting.token_id = token.id
    expected = sold.encoded if leased.delivery.size == 1 else None
    absent = False
    if leased.delivery.out and Capability.TOKEN_OUTCOME in can:
        remembered = await entering.ask(token, expected)
        if remembered is not None and (told := _remembered(token, remembered, expected)):
            attempting.outcome = told
            return await _with_supply(session, can, told)
        absent = remembered is None
    if sold.stopped is not None:
        return replace(sold.stopped, log_absent=absent)
    if mismatch := await _mismatch(session, sold, can):
        return replace(mismatch, log_absent=absent)
    entered = await entering.enter(token, attempt=leased.delivery.lockouts)
    outcome = replace(_judge(token, entered), log_absent=absent)
    # Digits that were never in the world cannot be what was used; of others the log must tell.
    if outcome.fact is Fact.USED and leased.delivery.out and Capability.TOKEN_OUTCOME in can:
        attempting.outcome = replace(
            outcome, fact=Fact.NO_ANSWER, detail="used; whose token it was is not told yet"
        )
        outcome = await _evidence(entering, token, outcome, expected)
    attempting.outcome = outcome
    if outcome.fact is Fact.USED and leased.delivery.out and Capability.CREDIT_REGISTER in can:
        attempting.outcome = outcome = await _with_registers(session, outcome)
    return await _with_supply(session, can, outcome)


async def _mismatch(session: Session, sold: Sold, can: Capability) -> Outcome | None:
    if sold.sts is None:
        return None
    held = await held_key(session, can)
    return None if held is None else key_mismatch(held, sold.sts)


async def _change_key(
    session: Session,
    leased: Leased,
    change: ChangeKey,
    can: Capability,
    *,
    attempting: Attempting,
) -> Outcome:
    attempting.acted = True
    entered = await enter_set(
        session, leased.tokens, attempt=_tries(leased), in_doubt=leased.delivery.maybe_taken
    )
    return await after_change(session, entered, change, can)


def _tries(leased: Leased) -> int:
    """Tries so far. Lock-outs are not counted among the attempts, but they need new ids as well."""
    return leased.delivery.attempts + leased.delivery.lockouts


def _next_token(leased: Leased) -> Token:
    """The first of the set that is not in."""
    return next(token for token in leased.tokens if token.state is not TokenState.TAKEN)


def _judge(token: Token, echo: TokenOutcome) -> Outcome:
    """The meter's own result of the entry, as a fact."""
    return Outcome(fact=_fact_of(token, echo), by=Confirmation.ECHO, token_id=token.id, echo=echo)


def _fact_of(token: Token, echo: TokenOutcome) -> Fact:
    result = echo.result
    if result.taken:
        # An answer that names another token is no answer to ours.
        strange = token.tid is not None and echo.tid is not None and echo.tid != token.tid
        return Fact.NO_ANSWER if strange else Fact.ACCEPTED
    if result.refused:
        return Fact.REFUSED
    match result:
        case TokenResult.USED_ERROR:
            return Fact.USED
        case TokenResult.LOCK_OUT | TokenResult.REQUEST_ID_USED:
            return Fact.LOCKED_OUT  # both need a pause, and then a new command id
        case _:
            return Fact.NOT_READY


def _remembered(token: Token, echo: TokenOutcome, expected: Amount | None) -> Outcome | None:
    """What the meter remembers, if that settles it; None: enter it (again)."""
    if echo.result.taken:
        if _foreign(echo, expected):
            return Outcome(
                fact=Fact.REFUSED,
                token_id=token.id,
                echo=echo,
                detail="the meter took another token of the same TID",
            )
        return Outcome(fact=Fact.SEEN, by=Confirmation.TOKEN_LOG, token_id=token.id, echo=echo)
    if echo.result.refused:
        return Outcome(fact=Fact.REFUSED, token_id=token.id, echo=echo)
    return None


def _foreign(echo: TokenOutcome, expected: Amount | None) -> bool:
    """Same TID, other amount: another vendor's token of the same minute."""
    return expected is not None and echo.amount is not None and not fits(expected, echo.amount)


async def _evidence(
    entering: _Entering, token: Token, used: Outcome, expected: Amount | None
) -> Outcome:
    """USED is not proof: ask the log whose token it was."""
    remembered = await entering.ask(token, expected)
    if remembered is None:
        return used
    return _remembered(token, remembered, expected) or used


async def _with_registers(session: Session, used: Outcome) -> Outcome:
    """Whether the credit is in may be told by the registers, where the log no longer does."""
    try:
        return replace(used, readings=tuple(await session.read()))
    except WireError:
        return used


async def _with_supply(session: Session, can: Capability, outcome: Outcome) -> Outcome:
    """A credit with the supply seen after it; an unreadable supply is looked at later."""
    if outcome.fact not in (Fact.ACCEPTED, Fact.SEEN, Fact.USED):
        return outcome
    supply = await _look_at_supply(session, can)
    return replace(outcome, supply=supply)


async def _look_at_supply(session: Session, can: Capability) -> Supply | None:
    if Capability.SUPPLY not in can:
        return None
    try:
        return await session.supply()
    except WireError:
        return None


async def _settled(
    session: Session, leased: Leased, order: SetSupply, sold: Sold, *, now: datetime
) -> Outcome | None:
    """What a look at the supply settles of an order in doubt; None: it is sent (again)."""
    if not leased.delivery.maybe_taken:
        return None
    seen = await session.supply()
    stands = carried_out(seen, order.action)
    if stands:
        return Outcome(fact=Fact.SEEN, by=Confirmation.READ_BACK, supply=seen)
    if sold.stopped is None:
        return None
    over = stands is False and sold.stopped.fact is Fact.UNWANTED
    if over and now >= doubt_of(leased.delivery).last + QUIET:
        return Outcome(fact=Fact.NOT_AS_ORDERED, supply=seen, detail=sold.stopped.detail)
    return replace(sold.stopped, supply=seen)


async def _set_supply(
    session: Session, leased: Leased, order: SetSupply, attempting: Attempting
) -> Outcome:
    attempting.acted = True
    await session.set_supply(order, order_id=leased.delivery.id)
    # Whatever breaks from here on, the meter has the order.
    attempting.outcome = Outcome(fact=Fact.NO_ANSWER, detail="ordered, but not read back")
    seen = await session.supply()
    if as_ordered(seen, order.action):
        return Outcome(fact=Fact.ACCEPTED, by=Confirmation.READ_BACK, supply=seen)
    return Outcome(
        fact=Fact.NOT_READY, supply=seen, detail=f"the meter reads {seen.state} after the order"
    )
