"""The order of a recharge as JSON, so that a repeat can be compared with it field by field.

Rows outlive releases: never reorder or rename, add at the end with a default.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.store.usage_points import contacts_json, contacts_of
from headend.meters import TenantId
from headend.quantities import Amount, Currency, Unit, Units
from headend.recharges import RechargeOrder


def order_json(order: RechargeOrder) -> dict[str, object]:
    """An order as the database keeps it; the tenant is a column of the row."""
    return {
        "id": order.id,
        "idempotency_key": order.idempotency_key,
        "drn": order.drn,
        "amount": _amount_json(order.amount),
        "tokens": list(order.tokens),
        "reference": order.reference,
        "sales_point": order.sales_point,
        "fallback_to": contacts_json(order.fallback_to),
        "sale": order.sale,
    }


def order_of(plain: Mapping[str, Any], tenant: TenantId) -> RechargeOrder:
    """The order again, equal to the one that came."""
    return RechargeOrder(
        tenant=tenant,
        id=plain["id"],
        idempotency_key=plain["idempotency_key"],
        drn=plain["drn"],
        amount=_amount_of(plain["amount"]),
        tokens=tuple(plain["tokens"]),
        reference=plain["reference"],
        sales_point=plain["sales_point"],
        fallback_to=contacts_of(plain["fallback_to"]),
        sale=plain["sale"],
    )


def unit_and_currency(amount: Amount) -> tuple[str | None, str | None]:
    """What an amount is counted in: a unit of credit or the code of a currency."""
    match amount:
        case Units():
            return amount.unit.value, None
        case Currency():
            return None, amount.code


def counted_in(value: Decimal, unit: str | None, currency: str | None) -> Amount:
    """The amount again."""
    if currency is not None:
        return Currency(value, currency)
    assert unit is not None, "an amount is counted in something"
    return Units(value, Unit(unit))


def _amount_json(amount: Amount | None) -> list[str | None] | None:
    return None if amount is None else [str(amount.value), *unit_and_currency(amount)]


def _amount_of(plain: Sequence[str] | None) -> Amount | None:
    return None if plain is None else counted_in(Decimal(plain[0]), plain[1], plain[2])
