"""What a PrismToken says of 20 digits, as contents of a token.

The module judges, we put it in words. Tokens of class 1 are clear text and never asked about.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum, unique

from adapters.vault.contents import Contents
from adapters.vault.explanations import (
    default_key_problem,
    expiry_problem,
    explain_timed,
    unreadable,
)
from adapters.vault.prism_answers import counted
from adapters.vault.prism_frames import UnreadableAnswer
from adapters.vault.prism_messages import PrismToken, Verified
from headend.meters import Meter
from headend.quantities import CURRENCY_PLACES
from headend.tokens import TokenContents, TokenPurpose
from headend.vending_keys import VendingKey
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.errors import StsError
from protocols.sts.management import (
    ClearCredit,
    ClearTamper,
    Management,
    PhaseUnbalanceLimit,
    PowerLimit,
    TariffRate,
    WaterFactor,
)
from protocols.sts.tables import CreditSubclass, ManagementSubclass, TokenClass

_MAKERS: Mapping[int, Callable[[int, int, int], Management]] = {
    ManagementSubclass.POWER_LIMIT: PowerLimit,
    ManagementSubclass.CLEAR_CREDIT: ClearCredit,
    ManagementSubclass.TARIFF_RATE: TariffRate,
    ManagementSubclass.PHASE_UNBALANCE_LIMIT: PhaseUnbalanceLimit,
    ManagementSubclass.WATER_FACTOR: WaterFactor,
}
_PURPOSES = {
    TokenClass.CREDIT: TokenPurpose.CREDIT,
    TokenClass.MANAGEMENT: TokenPurpose.MANAGEMENT,
}
RND_UNKNOWN = 0


@unique
class Verdict(StrEnum):
    """What the module says of a token's digits."""

    OK = "EVerify.Ok"
    WRONG_KEY = "EVerify.Crc"
    DEFAULT_KEY = "EVerify.DdtkCredit"
    KEY_EXPIRED = "EVerify.KeyExpired"


def contents_told(
    verified: Verified, token_class: TokenClass, meter: Meter, key: VendingKey
) -> TokenContents:
    """The module's answer about digits of a class; raises UnreadableAnswer."""
    try:
        verdict = Verdict(verified.validation_result)
    except ValueError:
        raise UnreadableAnswer("the security module's verdict is of no known kind") from None
    match verdict:
        case Verdict.OK:
            told = _genuine(verified.token, token_class, meter, key)
        case Verdict.WRONG_KEY:
            return unreadable(token_class)
        case Verdict.DEFAULT_KEY:
            told = _not_to_be_used(token_class, default_key_problem())
        case Verdict.KEY_EXPIRED:
            told = _not_to_be_used(token_class, expiry_problem(key))
    return replace(told, mark=key.mark)


def _genuine(
    token: PrismToken | None, token_class: TokenClass, meter: Meter, key: VendingKey
) -> TokenContents:
    if token is None:
        if token_class is TokenClass.CREDIT:
            raise UnreadableAnswer("the security module finds credit and does not say how much")
        return TokenContents(
            token_class=token_class,
            purpose=TokenPurpose.KEY_CHANGE,
            text="key change; genuine, the security module does not tell which part of the set",
        )
    if token.token_class != token_class:
        raise UnreadableAnswer("the security module tells of another class than the digits are of")
    try:
        contents = _contents(token, token_class)
    except (StsError, ValueError):
        raise UnreadableAnswer("the security module tells of a token that cannot be") from None
    if contents is not None:
        return explain_timed(contents, meter, key, with_rnd=False)
    return TokenContents(
        token_class=token_class,
        subclass=token.subclass,
        purpose=_PURPOSES[token_class],
        text=f"genuine, of class {int(token_class)}, sub-class {token.subclass}; TID {token.tid}",
        tid=token.tid,
    )


def _contents(token: PrismToken, token_class: TokenClass) -> Contents | None:
    """The token as its sub-class has it; None where the interface does not say what it tells."""
    if token_class is TokenClass.CREDIT:
        subclass = CreditSubclass(token.subclass)
        if subclass.is_currency:
            return CreditCurrency(subclass, token.tid, _counted(token, CURRENCY_PLACES))
        return CreditUnits(subclass, RND_UNKNOWN, token.tid, _counted(token, 0))
    if token.subclass == ManagementSubclass.CLEAR_TAMPER:
        return ClearTamper(RND_UNKNOWN, token.tid)
    maker = _MAKERS.get(token.subclass)
    return maker(RND_UNKNOWN, token.tid, _counted(token, 0)) if maker is not None else None


def _counted(token: PrismToken, places: int) -> int:
    steps = counted(token.transfer_amount, places)
    if steps is None:
        raise ValueError("no amount")
    return steps


def _not_to_be_used(token_class: TokenClass, problem: str) -> TokenContents:
    return TokenContents(
        token_class=token_class,
        purpose=_PURPOSES[token_class],
        text=f"genuine, of class {int(token_class)}, but not to be used",
        problem=problem,
    )
