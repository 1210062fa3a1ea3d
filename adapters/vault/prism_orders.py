"""Orders as a PrismToken wants them: what to call, with which amount, and what it may round to.

Amounts travel in the interface's own type, a double, before any compression: credit in tenths of a
unit or in the base currency to 5 decimals, limits in watts, the rest as the 16 bits of the token.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from adapters.vault.contents import Contents, contents_of
from adapters.vault.key_changes import naming_side, require_possible
from adapters.vault.key_types import require_sells, require_type
from adapters.vault.prism_messages import IssuingMethod, MeterConfig
from headend.meters import Drn, StsConfiguration
from headend.quantities import CURRENCY_PLACES
from headend.refusals import AmountTooLarge, CommandUnsupported, OrderRefused
from headend.tokens import KeyChangeOrder, TokenOrder
from headend.vending_keys import VendingKey
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.errors import StsError
from protocols.sts.keychange import require_key_type_change
from protocols.sts.management import PhaseUnbalanceLimit, PowerLimit, SetControl, SetFlag
from protocols.sts.tables import KeyType as StsKeyType

TCT_NUMERIC = 2  # the carrier does not enter the token
KEN_UNKNOWN = 255  # of the meter; compared only where key changes may be added, and they may not
# Beyond, a double no longer holds every step of 0.00001.
CURRENCY_STEPS_MAX = 2**53


@dataclass(frozen=True, slots=True)
class Asked:
    """One credit or management token: the call that makes it, and the amounts that fit the order.

    `places` are the decimals of the interface's amount; `least` and `most` count in its last one.
    """

    method: IssuingMethod
    contents: Contents
    places: int
    least: int
    most: int

    @property
    def amount(self) -> float:
        """The amount to ask for; exact, or the double nearest to its decimals."""
        return float(Decimal(self.least).scaleb(-self.places))


def asked_for(order: TokenOrder, key: VendingKey) -> Asked:
    """What to ask the module for; raises OrderRefused for what needs no module to be refused."""
    require_type(key, order.sts)
    # TID and RND are the module's own choice: they only have to be some.
    contents = contents_of(replace(order, rnd=0), tid=0)
    match contents:
        case CreditUnits():
            require_sells(key)
            least, most = contents.amount_tenths, contents.encoded_tenths
            return Asked("issueCreditToken", contents, 0, least, most)
        case CreditCurrency():
            require_sells(key)
            least, most = contents.amount_1e5, contents.encoded_1e5
            if most > CURRENCY_STEPS_MAX:
                raise AmountTooLarge(
                    "the interface of the security module does not carry so much money exactly",
                    field="amount.value",
                )
            return Asked("issueCreditToken", contents, CURRENCY_PLACES, least, most)
        case PowerLimit() | PhaseUnbalanceLimit():
            return Asked("issueMseToken", contents, 0, contents.watts, contents.encoded_watts)
        case SetFlag() | SetControl():
            raise CommandUnsupported(
                "the interface of the security module does not say how it takes flags and controls;"
                " set them at the meter",
                field="kind",
            )
    return Asked("issueMseToken", contents, 0, contents.data, contents.data)


def require_changeable(order: KeyChangeOrder, present: VendingKey, to: VendingKey) -> None:
    """Refuse a key change that needs no module to be refused; raises OrderRefused."""
    require_possible(order)
    with naming_side("present"):
        require_type(present, order.present)
    with naming_side("to"):
        require_type(to, order.to)
    try:
        require_key_type_change(StsKeyType(present.key_type), StsKeyType(to.key_type))
    except StsError as error:
        raise OrderRefused(error.problem, field=f"to.{error.field}") from None


def meter_config(drn: Drn, sts: StsConfiguration, *, three_kct: bool = False) -> MeterConfig:
    """A meter as the module wants it told."""
    return MeterConfig(
        drn=drn,
        ea=sts.ea,
        tct=TCT_NUMERIC,
        sgc=int(sts.sgc),
        krn=sts.krn,
        ti=sts.tariff_index,
        ken=KEN_UNKNOWN,
        three_kct=three_kct,
    )
