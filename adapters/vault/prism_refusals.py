"""What an error code of a PrismToken means for a sale: refused for good, or only delayed.

A code we do not know delays: the sale stays open and a person sees it. Texts carry the code and
values of our own, never the module's text.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.vault.prism_messages import ApiError
from headend.errors import HeadendError, ModuleDown
from headend.meters import Drn, StsConfiguration
from headend.refusals import (
    AmountTooLarge,
    KeyExpired,
    MalformedMeterNumber,
    MalformedOrder,
    NoVendingKey,
    OrderRefused,
    WrongCheckDigit,
)

KEY = "the key of {keys}"


@dataclass(frozen=True, slots=True)
class _Refusal:
    kind: type[OrderRefused]
    text: str
    field: str


_REFUSALS: Mapping[str, _Refusal] = {
    "ESts.VkExpired": _Refusal(
        KeyExpired, f"{KEY} has expired; load a newer one and change the meter's key", "krn"
    ),
    "ESts.VkBeforeBdt": _Refusal(
        KeyExpired, f"{KEY} begins later than now; compare the module's clock", "krn"
    ),
    "EKeystore.NotFound": _Refusal(
        NoVendingKey, f"{KEY} is not in the security module; load its key file there", "sgc"
    ),
    "ESts.DrnOrPan.CheckDigit": _Refusal(
        WrongCheckDigit, "the security module finds a wrong check digit in {drn}", "drn"
    ),
    "ESts.DrnOrPan": _Refusal(
        MalformedMeterNumber, "the security module takes {drn} for no meter number", "drn"
    ),
}

_AMOUNT = _Refusal(
    AmountTooLarge, "the security module makes no token of this amount", "amount.value"
)
_VALUE = _Refusal(MalformedOrder, "the security module makes no token of this value", "value")
_RANGE = _Refusal(MalformedOrder, "the security module refuses {parameter} of this order", "sts")

_ADVICE: Mapping[str, str] = {
    "EAuthentication.Permission": "give the account the right to make tokens of this kind",
    "EAuthentication": "check the account",
    "ESm": "see the module's own log",
    "EService": "see the module's own log",
}


def refusal_of(
    error: ApiError, drn: Drn, *keys: StsConfiguration, credit: bool = True
) -> HeadendError:
    """The error to raise for an order: an OrderRefused, or ModuleDown.

    `keys` are those that it is about; `credit` tells what the amount of the order is called.
    """
    refusal = _refusal(error, credit=credit)
    if refusal is None:
        advice = next((text for code, text in _ADVICE.items() if error.is_a(code)), "")
        return ModuleDown(f"the security module answers {error.code}; {advice}".rstrip("; "))
    named = " or of ".join(f"supply group {key.sgc}, revision {key.krn}," for key in keys)
    parameter = error.parameter or "a value"
    return refusal.kind(
        refusal.text.format(keys=named, drn=drn, parameter=parameter), field=refusal.field
    )


def _refusal(error: ApiError, *, credit: bool) -> _Refusal | None:
    if error.is_a("EParamRange"):
        amount = _AMOUNT if credit else _VALUE
        return amount if error.parameter == "transferAmount" else _RANGE
    return next((refusal for code, refusal in _REFUSALS.items() if error.is_a(code)), None)
