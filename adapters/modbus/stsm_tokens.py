"""What an STSM meter says of a token, in the head-end's words: results, amounts, evidence."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256

from headend.errors import NoAnswer
from headend.tokens import Token, TokenOrigin, TokenOutcome, TokenResult
from protocols.modbus.stsm import LoggedToken, TokenJudgement

# One attempt more for each lock-out met; a token that met more of them is another matter.
ATTEMPTS_REMEMBERED = 64
_CREDIT_CLASS = 0
# Register D088, kept in the log; 0 is the keypad.
_ORIGINS = {
    0: TokenOrigin.KEYPAD,
    1: TokenOrigin.HEADEND,
    2: TokenOrigin.LOCAL,
    3: TokenOrigin.HANDHELD,
}
# "Come again": the meter has decided nothing about the token.
_UNDECIDED = frozenset({TokenResult.RESERVED, TokenResult.LOCK_OUT, TokenResult.NOT_READY})


def request_id(command_id: str, attempt: int) -> int:
    """The u32 that a command has on the wire: the same for a repeat, another after a lock-out."""
    digest = sha256(f"{command_id}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4]) or 1  # 0 is what an idle meter shows


def own_request_ids(token: Token) -> frozenset[int]:
    """All ids under which we may have entered this token."""
    return frozenset(request_id(token.id, attempt) for attempt in range(ATTEMPTS_REMEMBERED))


def scaled(amount: int, exponent: int) -> Decimal:
    """An amount of the meter in units of the service."""
    return Decimal(amount).scaleb(exponent)


def judged(
    judgement: TokenJudgement, exponent: int, *, credit_before: Decimal | None = None
) -> TokenOutcome:
    """The outcome that a result block tells; raises NoAnswer for a code that is none."""
    result = _result(judgement.code)
    if result is None:
        raise NoAnswer(f"the meter gave {judgement.code} as token result, which means nothing")
    credited = result.taken and judgement.token_class == _CREDIT_CLASS
    return TokenOutcome(
        result=result,
        tid=judgement.tid or None,
        amount=scaled(judgement.amount, exponent) if credited else None,
        credit_before=credit_before,
        credit_after=scaled(judgement.credit_after, exponent),
        lockout_s=judgement.lockout_s,
        at=_time(judgement.processed),
        origin=TokenOrigin.HEADEND,
    )


def decided(outcome: TokenOutcome) -> bool:
    """The meter has judged the token, not merely put it off."""
    return outcome.result not in _UNDECIDED


def logged(
    entries: Iterable[LoggedToken], token: Token, own_ids: frozenset[int], exponent: int
) -> TokenOutcome | None:
    """What the token log knows of this token, by its TID; taken before refused, ours before others.

    A log entry of another sender counts only if the token was taken: then its TID is spent. Without
    a TID (management, key change) nothing is told: 16 bits of a request id are too few to trust.
    """
    own_low = frozenset(ident & 0xFFFF for ident in own_ids)
    found = [
        (result.taken, entry.request_low in own_low, outcome)
        for entry in entries
        if entry.tid == token.tid
        and (result := _result(entry.code)) is not None
        and decided(outcome := _logged(entry, result, exponent))
    ]
    worth = [(taken, own, outcome) for taken, own, outcome in found if taken or own]
    return max(worth, key=lambda each: each[:2])[2] if worth else None


def _logged(entry: LoggedToken, result: TokenResult, exponent: int) -> TokenOutcome:
    credited = result.taken and entry.token_class == _CREDIT_CLASS
    return TokenOutcome(
        result=result,
        tid=entry.tid,
        amount=scaled(entry.amount, exponent) if credited else None,
        at=_time(entry.processed),
        origin=_ORIGINS.get(entry.origin),
    )


def _result(code: int) -> TokenResult | None:
    try:
        return TokenResult(code)
    except ValueError:
        return None


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
