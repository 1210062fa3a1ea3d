"""Proving: evidence is written down, weighed with all that is known, and the delivery follows it.

The only place where evidence becomes a fact. Never mints, never sends, never guesses: what decides
nothing is kept for people to read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from headend.commands import ChangeKey
from headend.deliveries import Delivery, DeliveryState, Fact
from headend.evidence import (
    CONFIRMATIONS,
    Evidence,
    EvidenceKind,
    Finding,
    Says,
    Verdict,
    classify,
    doubt_of,
)
from headend.outcomes import Outcome, write_outcome
from headend.quantities import Amount, fits
from headend.recharges import Recharge
from headend.store import Transaction
from headend.supply import Supply
from headend.tokens import Token, TokenOutcome, TokenResult, TokenState


def says_of(token: Token, outcome: TokenOutcome | None, expected: Amount | None) -> Says | None:
    """What a meter's word on one token says of ours; None: nothing that could be used."""
    if outcome is None:
        return Says.NOT_SEEN
    strange = None not in (token.tid, outcome.tid) and token.tid != outcome.tid
    if strange:
        return None  # a word that names another token is no word on ours
    if outcome.result.taken:
        foreign = expected is not None and outcome.amount is not None
        return Says.OTHER_TOKEN if foreign and not _same(expected, outcome) else Says.TAKEN
    if outcome.result.refused:
        return Says.REFUSED
    return Says.USED if outcome.result is TokenResult.USED_ERROR else None


def _same(expected: Amount | None, outcome: TokenOutcome) -> bool:
    return expected is not None and outcome.amount is not None and fits(expected, outcome.amount)


def said(
    token: Token,
    outcome: TokenOutcome | None,
    *,
    kind: EvidenceKind,
    says: Says,
    now: datetime,
    asked_at: datetime | None = None,
    told_at: datetime | None = None,
    stored: bool = False,
) -> Evidence:
    """The evidence of a meter's word on a token."""
    return Evidence(
        tenant=token.tenant,
        delivery_id=token.delivery_id,
        token_id=token.id,
        kind=kind,
        says=says,
        stored=stored,
        result=outcome.result if outcome else None,
        origin=outcome.origin if outcome else None,
        asked_at=asked_at,
        told_at=told_at or (outcome.at if outcome else None),
        first_at=now,
        received_at=now,
    )


def silence(token: Token, *, asked_at: datetime, now: datetime) -> Evidence:
    """Nobody answered."""
    return said(
        token, None, kind=EvidenceKind.SILENCE, says=Says.NO_ANSWER, now=now, asked_at=asked_at
    )


async def weigh_in(
    tx: Transaction,
    delivery: Delivery,
    evidence: Evidence,
    *,
    now: datetime,
    spread: float,
    echo: TokenOutcome | None = None,
    supply: Supply | None = None,
) -> Verdict:
    """Write evidence of a token down and let the delivery follow what all of it means."""
    await tx.evidence.note(evidence)
    known = await tx.evidence.of(delivery.id, delivery.tenant)
    about = [one for one in (*known, evidence) if one.token_id == evidence.token_id]
    verdict = classify(about, doubt_of(delivery))
    fact = _fact_of(verdict)
    if fact is None or delivery.state is DeliveryState.DONE:
        return verdict
    source = verdict.rests_on or evidence
    outcome = Outcome(
        fact=fact,
        by=CONFIRMATIONS.get(source.kind),
        token_id=evidence.token_id,
        echo=echo,
        supply=supply,
    )
    await write_outcome(tx, delivery, outcome, now=now, spread=spread)
    return verdict


def _fact_of(verdict: Verdict) -> Fact | None:
    if verdict.finding.taken:
        return Fact.SEEN
    return Fact.REFUSED if verdict.finding is Finding.REFUSED else None


def verdicts(delivery: Delivery, evidence: Sequence[Evidence]) -> Mapping[str | None, Verdict]:
    """What all evidence means, by token."""
    doubt = doubt_of(delivery)
    tokens = {one.token_id for one in evidence if one.token_id is not None}
    return {
        token: classify([one for one in evidence if one.token_id == token], doubt)
        for token in tokens
    }


async def expected_of(tx: Transaction, delivery: Delivery) -> tuple[Recharge | None, Amount | None]:
    """The recharge of a delivery, and the amount that its single token was made for."""
    if delivery.recharge_id is None:
        return None, None
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    single = recharge is not None and delivery.size == 1
    return recharge, recharge.encoded if recharge is not None and single else None


def may_still_be_seen(delivery: Delivery, token: Token) -> bool:
    """A word on this token can change anything."""
    if isinstance(delivery.command, ChangeKey):
        return False  # a word about one part proves no key: only who enters the set can judge it
    return delivery.state is not DeliveryState.DONE and token.state is not TokenState.TAKEN
