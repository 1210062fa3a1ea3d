"""Answers of a PrismToken held against the order: a token that does not fit reaches nobody.

The digits are encrypted under a key that only the module has, so what it tells beside them is
compared: meter, key and its check value, class, amount. The module keeps a token that is not taken.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.vault.contents import currency_of
from adapters.vault.prism_frames import UnreadableAnswer
from adapters.vault.prism_messages import KeyAdvice, PrismToken
from adapters.vault.prism_orders import Asked
from headend.meters import Drn, StsConfiguration
from headend.quantities import Amount, Currency, Units
from headend.tokens import (
    MAX_TOKEN,
    Issued,
    IssuedToken,
    KeyChangeOrder,
    TokenOrder,
    TokenPurpose,
)
from headend.vending_keys import VendingKey
from protocols.sts.credit import Credit
from protocols.sts.limits import TID_MAX
from protocols.sts.tables import EncryptionAlgorithm, ManagementSubclass, TokenClass
from protocols.sts.token import CLASS_MASK, CLASS_SHIFT, DIGITS

# What a double makes of 5 decimals lies nearer to them than this.
NEAR = Decimal("0.01")

_FIRST_TWO = (ManagementSubclass.KEY_SECTION_1, ManagementSubclass.KEY_SECTION_2)
_THIRD, _FOURTH = ManagementSubclass.KEY_SECTION_3, ManagementSubclass.KEY_SECTION_4


def issued(
    tokens: Sequence[PrismToken], order: TokenOrder, asked: Asked, key: VendingKey
) -> Issued:
    """The one token of an answer that fits the order in everything; raises UnreadableAnswer."""
    if len(tokens) != 1:
        raise UnreadableAnswer(
            f"the security module gives {len(tokens)} tokens where one was asked for"
        )
    [token] = tokens
    contents = asked.contents
    _require_same(
        _told(token) | _told_key(token),
        _wanted(order.drn, order.sts.ea, key)
        | _wanted_key(order.sts)
        | {"class": int(contents.token_class), "subclass": int(contents.subclass)},
    )
    _require_digits(token, contents.token_class)
    steps = _encoded(token, asked)
    is_credit = isinstance(contents, Credit)
    purpose = TokenPurpose.CREDIT if is_credit else TokenPurpose.MANAGEMENT
    made = IssuedToken(token.token_dec, token.tid, purpose, key.mark)
    return Issued((made,), encoded=_amount(token, order, steps))


def changed(
    tokens: Sequence[PrismToken], order: KeyChangeOrder, present: VendingKey, to: VendingKey
) -> Issued:
    """The whole set of a key change in the order of entry; raises UnreadableAnswer."""
    wanted = _sections(order)
    in_order = sorted(tokens, key=lambda token: token.subclass)
    told = [token.subclass for token in in_order]
    if told != wanted or len({token.token_dec for token in tokens}) != len(wanted):
        raise UnreadableAnswer(
            f"the security module's key change has tokens of sub-classes {told}, not {wanted}"
        )
    for token in in_order:
        _require_same(
            _told(token),
            _wanted(order.drn, order.present.ea, present)
            | {"class": int(TokenClass.MANAGEMENT), "subclass": token.subclass},
        )
        # The interface leaves open whether these name the key before or after the change.
        if _told_key(token) not in (_wanted_key(order.present), _wanted_key(order.to)):
            raise UnreadableAnswer("the security module's key change is for other keys")
        _require_digits(token, TokenClass.MANAGEMENT)
    _require_advice(in_order[0].new_config, order, present, to)
    return Issued(
        tuple(
            IssuedToken(token.token_dec, None, TokenPurpose.KEY_CHANGE, present.mark)
            for token in in_order
        )
    )


def counted(amount: float, places: int) -> int | None:
    """An amount of the interface in steps of its last decimal; None if it is no such amount."""
    exact = Decimal(amount)
    if not exact.is_finite():
        return None
    steps = exact.scaleb(places)
    whole = steps.to_integral_value()
    return int(whole) if abs(steps - whole) < NEAR else None


# --- what must be the same ----------------------------------------------------------------------


def _wanted(drn: Drn, ea: int, key: VendingKey) -> dict[str, object]:
    return {"drn": drn, "ea": ea, "check_value": key.check_value.upper()}


def _told(token: PrismToken) -> dict[str, object]:
    return {
        "drn": token.drn,
        "ea": token.ea,
        "check_value": token.vk_kcv.upper(),
        "class": token.token_class,
        "subclass": token.subclass,
    }


def _wanted_key(sts: StsConfiguration) -> dict[str, object]:
    return {"sgc": int(sts.sgc), "krn": sts.krn, "tariff_index": sts.tariff_index}


def _told_key(token: PrismToken) -> dict[str, object]:
    return {"sgc": token.sgc, "krn": token.krn, "tariff_index": token.ti}


def _require_same(told: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    for name, value in wanted.items():
        if told[name] != value:
            raise UnreadableAnswer(
                f"the security module's token has {name} {told[name]} instead of {value};"
                " compare its keys with the settings"
            )


def _require_digits(token: PrismToken, token_class: TokenClass) -> None:
    if not _is_token(token, token_class):
        raise UnreadableAnswer(
            f"the security module's digits are no {token_class.name.lower()} token"
        )


def _is_token(token: PrismToken, token_class: TokenClass) -> bool:
    digits = token.token_dec
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return False
    value = int(digits)
    in_class = value & CLASS_MASK == token_class << CLASS_SHIFT
    return value <= MAX_TOKEN and in_class and 0 <= token.tid <= TID_MAX


# --- credit and management ----------------------------------------------------------------------


def _encoded(token: PrismToken, asked: Asked) -> int:
    """The amount really encoded: what was asked for, or the next that the token can hold."""
    steps = counted(token.transfer_amount, asked.places)
    if steps is None or not asked.least <= steps <= asked.most:
        raise UnreadableAnswer("the security module's token is of another amount than asked for")
    return steps


def _amount(token: PrismToken, order: TokenOrder, steps: int) -> Amount | None:
    match order.content:
        case Units(unit=unit):
            return Units.of_tenths(steps, unit)
        case Currency(code=code):
            amount = currency_of(steps, code)
            _require_magnitude(token.scaled_amount, amount)
            return amount
    return None


def _require_magnitude(scaled: str, amount: Currency) -> None:
    """Money as the module would print it must not be a power of ten away from what was sold.

    Nothing but a text of the interface says in what steps it counts money.
    """
    plain = scaled.replace(" ", "").replace(",", "")
    if not plain.replace(".", "", 1).isdecimal() or amount.value < 1:
        return
    if not amount.value / 10 < Decimal(plain) < amount.value * 10:
        raise UnreadableAnswer("the security module counts money in other steps than published")


# --- key changes --------------------------------------------------------------------------------


def _sections(order: KeyChangeOrder) -> list[int]:
    sections = list(_FIRST_TWO)
    if order.to.ea == EncryptionAlgorithm.MISTY1:
        sections += [_THIRD, _FOURTH]
    elif order.three_kct:
        sections.append(_THIRD)
    return [int(section) for section in sections]


def _require_advice(
    advice: KeyAdvice | None, order: KeyChangeOrder, present: VendingKey, to: VendingKey
) -> None:
    if advice is None:
        raise UnreadableAnswer("the security module does not say what its key change leads to")
    _require_same(
        {
            "sgc": advice.to_sgc,
            "krn": advice.to_krn,
            "tariff_index": advice.to_ti,
            "ken": advice.to_ken,
            "rollover": advice.rollover,
            "check_value": advice.to_vk_kcv.upper(),
        },
        {
            **_wanted_key(order.to),
            "ken": to.ken,
            "rollover": present.base_date != to.base_date,
            "check_value": to.check_value.upper(),
        },
    )
