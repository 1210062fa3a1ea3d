"""What 20 digits say to a meter: every field in words, and why the meter would refuse them.

Problems begin with the meter's own token result (IEC 62055-52) in small letters. What only the
meter knows, its store of TIDs and its clock, is not judged. The new key that key-change tokens
carry is never shown.
"""

from dataclasses import dataclass, field, replace

from adapters.vault.contents import (
    SERVICES,
    Contents,
    currency_of,
    pan_of,
)
from adapters.vault.expiry import end_of
from adapters.vault.wording import (
    credit_text,
    is_generic,
    management_text,
    meter_test_text,
    section_text,
)
from headend.meters import KeyType, Meter
from headend.quantities import Amount, Units
from headend.refusals import MalformedToken
from headend.tokens import TokenContents, TokenPurpose, TokenResult
from headend.vending_keys import VendingKey
from protocols.sts.block import SUBCLASS_SHIFT, unseal
from protocols.sts.cipher import BlockCipher
from protocols.sts.credit import Credit, CreditCurrency, CreditUnits
from protocols.sts.errors import CrcError, FunctionError, KeyTypeError, StsError
from protocols.sts.keychange import (
    KEY_SECTION_SUBCLASSES,
    FirstSection,
    KeySection,
    require_key_type_change,
)
from protocols.sts.management import ClearCredit, Management
from protocols.sts.metertest import MeterTest, MeterTestToken
from protocols.sts.tables import BaseDate, CreditRegister, MeterTestNumber, TokenClass
from protocols.sts.tables import KeyType as StsKeyType
from protocols.sts.tid import is_reserved, moment_of
from protocols.sts.token import block_of, decode
from protocols.sts.validity import is_expired

_PURPOSES = {
    TokenClass.CREDIT: TokenPurpose.CREDIT,
    TokenClass.METER_TEST: TokenPurpose.TEST,
    TokenClass.MANAGEMENT: TokenPurpose.MANAGEMENT,
}


@dataclass(frozen=True, slots=True)
class Held:
    """What a meter holds: attributes of its vending key, and the cipher of its decoder key."""

    key: VendingKey
    cipher: BlockCipher = field(repr=False)


def is_encrypted(digits: str) -> bool:
    """Whether a key is needed to read a token; raises MalformedToken for the reserved class 3."""
    return opened(digits)[0] is not TokenClass.METER_TEST


def explain(digits: str, meter: Meter, held: Held | None) -> TokenContents:
    """What 20 digits say to a meter; `held` may be None for a token of class 1 only."""
    token_class, block = opened(digits)
    clear = held.cipher.decrypt(block) if held is not None else block
    try:
        subclass = unseal(token_class, clear) >> SUBCLASS_SHIFT
    except CrcError:
        return unreadable(token_class)
    told = _genuine(digits, token_class, subclass, meter, held)
    return told if held is None else replace(told, mark=held.key.mark)


def _genuine(
    digits: str, token_class: TokenClass, subclass: int, meter: Meter, held: Held | None
) -> TokenContents:
    try:
        contents = decode(digits, None if held is None else held.cipher)
    except StsError as error:
        return _impossible(token_class, subclass, error)
    if isinstance(contents, MeterTestToken):
        return _test(contents, subclass, meter)
    if isinstance(contents, KeySection):
        return _section(contents, subclass, meter)
    assert held is not None  # all that is left is encrypted
    return explain_timed(contents, meter, held.key)


def opened(digits: str) -> tuple[TokenClass, int]:
    """Class and block of a token; raises MalformedToken for the reserved class 3."""
    try:
        return block_of(digits)
    except StsError as exc:
        raise MalformedToken(f"token class {exc.problem}", field="token") from None


def _problem(result: TokenResult, reason: str) -> str:
    return f"{result.name.lower()}: {reason}"


# --- what cannot be read ------------------------------------------------------------------------


def unreadable(token_class: TokenClass) -> TokenContents:
    """A token whose CRC does not fit the key."""
    encrypted = token_class is not TokenClass.METER_TEST
    reason = "not made for this meter and its key, or mistyped" if encrypted else "mistyped"
    return TokenContents(
        token_class=token_class,
        purpose=_PURPOSES[token_class],
        text=f"class {int(token_class)}, cannot be read",
        problem=_problem(TokenResult.CRC_ERROR, reason),
    )


def _impossible(token_class: TokenClass, subclass: int, error: StsError) -> TokenContents:
    """Genuine, but no meter can do it."""
    reserved = isinstance(error, FunctionError)
    result = TokenResult.FUNCTION_ERROR if reserved else TokenResult.RANGE_ERROR
    section = token_class is TokenClass.MANAGEMENT and subclass in KEY_SECTION_SUBCLASSES
    return TokenContents(
        token_class=token_class,
        subclass=subclass,
        purpose=TokenPurpose.KEY_CHANGE if section else _PURPOSES[token_class],
        text=f"genuine, of class {int(token_class)}, sub-class {subclass}, but not to be used",
        problem=_problem(result, str(error)),
    )


# --- tokens with a TID --------------------------------------------------------------------------


def explain_timed(
    contents: Contents, meter: Meter, key: VendingKey, *, with_rnd: bool = True
) -> TokenContents:
    """A genuine credit or management token; without `with_rnd` its RND is not known."""
    amount = None
    if isinstance(contents, CreditUnits | CreditCurrency):
        amount = _amount(contents, meter)
        text, problem = credit_text(contents, amount), _credit_problem(contents, meter, key)
    else:
        text, problem = management_text(contents), _management_problem(contents)
    if is_expired(contents.tid, key.ken):
        problem = expiry_problem(key)
    moment = moment_of(BaseDate(key.base_date), contents.tid)
    reserved = ", the minute kept for special tokens" if is_reserved(contents.tid) else ""
    rnd = ""
    if with_rnd and not isinstance(contents, CreditCurrency):
        rnd = f", RND {contents.rnd}"
    return TokenContents(
        token_class=contents.token_class,
        subclass=int(contents.subclass),
        purpose=_PURPOSES[contents.token_class],
        text=f"{text}; TID {contents.tid} ({moment:%Y-%m-%d %H:%M} UTC{reserved}){rnd}",
        tid=contents.tid,
        moment=moment,
        amount=amount,
        problem=problem,
    )


def expiry_problem(key: VendingKey) -> str:
    """Why a meter refuses what comes after the end of its key."""
    reason = f"the key (KEN {key.ken}) ended at {end_of(key).at:%Y-%m-%d %H:%M} UTC"
    return _problem(TokenResult.KEY_EXPIRED_ERROR, reason)


def default_key_problem() -> str:
    """Why a meter refuses credit under a default key."""
    return _problem(TokenResult.DDTK_ERROR, "a meter that holds a default key refuses credit")


def _amount(credit: Credit, meter: Meter) -> Amount | None:
    """The amount, unless it is money and nothing tells of what currency."""
    if isinstance(credit, CreditUnits):
        return Units.of_tenths(credit.amount_tenths, SERVICES[credit.subclass].unit)
    if meter.currency is None:
        return None
    return currency_of(credit.amount_1e5, meter.currency)


def _credit_problem(credit: Credit, meter: Meter, key: VendingKey) -> str | None:
    service = SERVICES[credit.subclass]
    in_money = isinstance(credit, CreditCurrency)
    if key.key_type is KeyType.DEFAULT:
        return default_key_problem()
    if service is not meter.service:
        reason = f"credit for {service}, but the meter sells {meter.service}"
        return _problem(TokenResult.FUNCTION_ERROR, reason)
    if in_money != (meter.currency is not None):
        counted = meter.currency or meter.service.unit
        carried = "money" if in_money else service.unit
        reason = f"credit in {carried}, but the meter counts {counted}"
        return _problem(TokenResult.FUNCTION_ERROR, reason)
    return None


def _management_problem(management: Management) -> str | None:
    if isinstance(management, ClearCredit) and management.register not in _REGISTERS:
        return _problem(TokenResult.RANGE_ERROR, f"no credit register {management.register}")
    return None


_REGISTERS = frozenset(CreditRegister)


# --- key-change tokens --------------------------------------------------------------------------


def _section(section: KeySection, subclass: int, meter: Meter) -> TokenContents:
    return TokenContents(
        token_class=section.token_class,
        subclass=subclass,
        purpose=TokenPurpose.KEY_CHANGE,
        text=f"key change, {section_text(section)}",
        problem=_section_problem(section, meter),
    )


def _section_problem(section: KeySection, meter: Meter) -> str | None:
    if not isinstance(section, FirstSection):
        return None
    try:
        require_key_type_change(StsKeyType(meter.sts.key_type), section.key_type)
    except KeyTypeError as error:
        return _problem(TokenResult.KEY_TYPE_ERROR, error.problem)
    return None


# --- class 1 ------------------------------------------------------------------------------------


def _test(token: MeterTestToken, subclass: int, meter: Meter) -> TokenContents:
    return TokenContents(
        token_class=token.token_class,
        subclass=subclass,
        purpose=TokenPurpose.TEST,
        text=meter_test_text(token),
        problem=_test_problem(token, meter),
    )


def _test_problem(token: MeterTestToken, meter: Meter) -> str | None:
    code = pan_of(meter.drn).drn.mfr_code
    # No public text says whether a code is binary or decimal in its field.
    if token.mfr_code not in {0, int(code), int(code, 16)}:
        reason = f"the meter's manufacturer code is {code}"
        return _problem(TokenResult.MFR_CODE_ERROR, reason)
    if isinstance(token, MeterTest) and is_generic(token):
        known = [number for number in token.numbers if number in _TESTS]
        if not known or len(known) < len(token.numbers):
            return _problem(TokenResult.FUNCTION_ERROR, "the standard knows no such test")
    return None


_TESTS = frozenset(MeterTestNumber)
