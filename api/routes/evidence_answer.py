"""What is known of a token after a doubt, for the call centre: every word, and what it means."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from api.routes.forms import Told, grows
from api.routes.token_answer import ResultTold
from headend.commands import TOKEN_COMMANDS
from headend.deliveries import Delivery
from headend.evidence import (
    Doubt,
    Evidence,
    EvidenceKind,
    Finding,
    Says,
    Weight,
    classify,
    doubt_of,
    in_words,
    weigh,
)
from headend.tokens import Token, TokenOrigin


class EvidenceTold(Told):
    """One word on a token, said `times` times from `first_at` to `last_at`.

    `told_at` is the meter's or the gateway's own clock, `asked_at` when the question left us;
    `stored`: from a retained or stored message, which proves nothing. `by`: who said it.
    """

    kind: Annotated[EvidenceKind, grows(EvidenceKind)]
    says: Annotated[Says, grows(Says)]
    weight: Annotated[Weight, grows(Weight)]
    token: str | None
    by: str | None
    result: ResultTold | None
    origin: Annotated[TokenOrigin, grows(TokenOrigin)] | None
    stored: bool
    asked_at: datetime | None
    told_at: datetime | None
    first_at: datetime
    last_at: datetime
    times: int
    detail: str

    @classmethod
    def of(cls, evidence: Evidence, doubt: Doubt) -> "EvidenceTold":
        return cls(
            kind=evidence.kind,
            says=evidence.says,
            weight=weigh(evidence, doubt),
            token=evidence.token_id,
            by=evidence.by or None,
            result=ResultTold.of(evidence.result),
            origin=evidence.origin,
            stored=evidence.stored,
            asked_at=evidence.asked_at,
            told_at=evidence.told_at,
            first_at=evidence.first_at,
            last_at=evidence.received_at,
            times=evidence.times,
            detail=evidence.detail,
        )


class FindingTold(Told):
    """What all evidence of one token means, and a sentence that says it.

    `sequence` 0: of an order that carries no token.
    """

    sequence: int
    finding: Annotated[Finding, grows(Finding)]
    reason: ResultTold | None
    text: str


def evidence_told(
    delivery: Delivery | None, evidence: Sequence[Evidence]
) -> Sequence[EvidenceTold]:
    """All of it, oldest first; empty where nothing was ever in doubt."""
    if delivery is None:
        return ()
    doubt = doubt_of(delivery)
    return [EvidenceTold.of(one, doubt) for one in evidence]


def findings_told(
    delivery: Delivery | None, tokens: Sequence[Token], evidence: Sequence[Evidence]
) -> Sequence[FindingTold]:
    """One finding for each token that there is evidence of, in the order of entry."""
    if delivery is None:
        return ()
    doubt = doubt_of(delivery)
    if not isinstance(delivery.command, TOKEN_COMMANDS):
        return _of_order(evidence, doubt)
    found = []
    for token in tokens:
        about = [one for one in evidence if one.token_id == token.id]
        if about:
            verdict = classify(about, doubt)
            found.append(
                FindingTold(
                    sequence=token.sequence,
                    finding=verdict.finding,
                    reason=ResultTold.of(verdict.reason),
                    text=in_words(verdict),
                )
            )
    return found


def _of_order(evidence: Sequence[Evidence], doubt: Doubt) -> Sequence[FindingTold]:
    if not evidence:
        return ()
    verdict = classify(evidence, doubt)
    text = in_words(verdict, order=True)
    return [FindingTold(sequence=0, finding=verdict.finding, reason=None, text=text)]
