"""Credit parameters: when a meter warns of low credit, lends, takes no more, comes back, or trips.

What is not named stays as the meter has it. A limit of power is an order of its own, for it is
counted and held apart (`dangers`); warnings harm nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from headend.meters import Meter
from headend.refusals import MalformedOrder, WrongUnit

POWER_LIMIT = "power_limit_w"
WARNINGS = frozenset({"low_credit_1", "low_credit_2"})
AMOUNTS = (
    "low_credit_1",
    "low_credit_2",
    "emergency_credit",
    "maximum_credit",
    "overdraft",
    "reconnect_credit",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditParameters:
    """Amounts in `unit`: that of the service, or an ISO 4217 code; power in watts, 0: no limit.

    In a change, None leaves one as it is. A supply that went off for credit comes back from
    `reconnect_credit` on; 0: from any credit on.
    """

    unit: str | None = None
    low_credit_1: Decimal | None = None
    low_credit_2: Decimal | None = None
    emergency_credit: Decimal | None = None
    maximum_credit: Decimal | None = None
    overdraft: Decimal | None = None
    reconnect_credit: Decimal | None = None
    power_limit_w: int | None = None

    @property
    def amounts(self) -> Mapping[str, Decimal]:
        """Those of credit that are named."""
        named = {name: getattr(self, name) for name in AMOUNTS}
        return {name: amount for name, amount in named.items() if amount is not None}

    @property
    def named(self) -> frozenset[str]:
        """The names of all that are named."""
        power = frozenset() if self.power_limit_w is None else frozenset({POWER_LIMIT})
        return power | self.amounts.keys()

    @property
    def plain(self) -> Mapping[str, str | int]:
        """Those that are named, amounts as decimal texts, and their unit."""
        plain: dict[str, str | int] = {
            name: format(amount, "f") for name, amount in self.amounts.items()
        }
        if self.unit is not None:
            plain["unit"] = self.unit
        if self.power_limit_w is not None:
            plain[POWER_LIMIT] = self.power_limit_w
        return plain

    @classmethod
    def of(cls, plain: Mapping[str, str | int]) -> Self:
        """What `plain` tells, again."""
        amounts = {name: Decimal(plain[name]) if name in plain else None for name in AMOUNTS}
        unit, power_w = plain.get("unit"), plain.get(POWER_LIMIT)
        return cls(
            unit=None if unit is None else str(unit),
            power_limit_w=None if power_w is None else int(power_w),
            **amounts,
        )

    def __str__(self) -> str:
        return " ".join(f"{name} {value}" for name, value in self.plain.items())


def check_parameters(change: CreditParameters, meter: Meter) -> None:
    """It makes sense for this meter. Raises MalformedOrder, WrongUnit."""
    if not change.named:
        raise MalformedOrder("name at least one parameter", field="id")
    if change.amounts and change.power_limit_w is not None:
        raise MalformedOrder("order a power limit apart from the others", field=POWER_LIMIT)
    counted = str(meter.currency or meter.service.unit)
    if change.amounts and change.unit != counted:
        asked = change.unit or "no unit"
        raise WrongUnit(f"meter {meter.drn} counts in {counted}, not in {asked}", field="unit")
