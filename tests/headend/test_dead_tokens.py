"""What proves that a token died with the old key, and what is said to be missing otherwise."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from headend.commands import ChangeKey, Manage
from headend.dead_tokens import require_dead
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.meters import Capability
from headend.quantities import Currency, Unit, Units
from headend.readings import ReadingType
from headend.recharges import Recharge, RechargeState
from headend.refusals import NotReplaceable
from headend.tokens import ManagementKind, ManagementOrder, TokenResult, TokenState
from tests.builders import (
    NOW,
    STS,
    TENANT,
    a_delivery,
    a_key_change,
    a_meter,
    a_reading,
    a_recharge,
    a_token,
    an_attempt,
)
from tests.fakes import MemoryStore

MINUTE = timedelta(minutes=1)
SOLD, CHANGED, ASKED, READ = NOW, NOW + 10 * MINUTE, NOW + 20 * MINUTE, NOW + 30 * MINUTE
BEFORE = NOW - MINUTE
TEN = Units(Decimal(10), Unit.KWH)
ALL = ~Capability.NONE
CREDIT, IMPORT = ReadingType.CREDIT_LEFT_MILLI, ReadingType.ENERGY_IMPORT_WH
DONE = DeliveryState.DONE


class Case:
    """A sale whose token died: everything is proved, and each test takes a proof away."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.recharge = a_recharge(
            id="r1", requested=TEN, encoded=TEN, created_at=SOLD, state=RechargeState.UNRESOLVED
        )
        self.delivery = a_delivery(
            id="d1", recharge_id="r1", state=DeliveryState.UNRESOLVED, maybe_taken=True
        )
        self.change: Delivery | None = a_delivery(
            id="k1",
            command=a_key_change(),
            state=DONE,
            confirmed_by=Confirmation.READ_BACK,
            confirmed_at=CHANGED,
        )
        self.asked = an_attempt(
            delivery_id="d1", started_at=ASKED, outcome=Fact.KEY_MISMATCH, log_absent=True
        )
        self.later = [an_attempt(delivery_id="d1", method=DeliveryMethod.MANUAL, started_at=READ)]
        # 3 kWh were used meanwhile.
        self.readings: dict[str, Mapping[ReadingType, int]] = {
            "before": {CREDIT: 5_000, IMPORT: 1_000},
            "after": {CREDIT: 2_000, IMPORT: 4_000},
        }
        self.can = ALL
        self.orders: list[Delivery] = []
        self.others: list[tuple[Recharge, Delivery]] = []

    async def judge(self) -> None:
        await self._write()
        async with self.store.look() as tx:
            await require_dead(tx, self.recharge, self.delivery, self.can)

    async def _write(self) -> None:
        async with self.store.begin() as tx:
            await tx.tenants.ensure(TENANT, NOW)
            await tx.meters.add(a_meter())
            await tx.recharges.add(self.recharge)
            await tx.deliveries.add(self.delivery)
            for one in [self.change, *self.orders]:
                if one is not None:
                    await tx.deliveries.add(one)
            for attempt in [self.asked, *self.later]:
                await tx.attempts.add(attempt)
            for moment, name in ((BEFORE, "before"), (READ, "after")):
                await tx.readings.add(
                    [
                        a_reading(type=kind, value=value, taken_at=moment)
                        for kind, value in self.readings[name].items()
                    ]
                )
            for recharge, delivery in self.others:
                await tx.recharges.add(recharge)
                await tx.deliveries.add(delivery)
                await tx.tokens.add(
                    a_token(delivery_id=delivery.id, state=TokenState.TAKEN, taken_at=ASKED)
                )

    async def refused(self, reason: str) -> None:
        with pytest.raises(NotReplaceable, match=reason):
            await self.judge()


@pytest.fixture
def case() -> Case:
    return Case()


def another_sale(
    kwh: str, confirmed_by: Confirmation = Confirmation.ECHO
) -> tuple[Recharge, Delivery]:
    amount = Units(Decimal(kwh), Unit.KWH)
    recharge = a_recharge(
        id="r2", requested=amount, encoded=amount, taken=amount, created_at=SOLD + MINUTE
    )
    return recharge, a_delivery(
        id="d2", recharge_id="r2", state=DONE, confirmed_by=confirmed_by, confirmed_at=ASKED
    )


async def test_a_token_is_dead_when_log_and_register_say_so_after_a_proved_change(case):
    await case.judge()


async def test_under_the_new_key_a_crc_error_says_so_too(case):
    case.asked = replace(case.asked, outcome=Fact.REFUSED, result=TokenResult.CRC_ERROR)
    await case.judge()


async def test_what_other_sales_brought_is_no_credit_of_this_one(case):
    case.others = [another_sale("20")]
    case.readings["after"] = {CREDIT: 22_000, IMPORT: 4_000}
    await case.judge()


@pytest.mark.parametrize(
    "can", [ALL & ~Capability.TOKEN_OUTCOME, ALL & ~Capability.CREDIT_REGISTER]
)
async def test_a_model_that_offers_one_of_the_two_proves_by_it(case, can):
    case.can = can
    if Capability.TOKEN_OUTCOME not in can:
        case.asked = replace(case.asked, log_absent=False)
    else:
        case.readings = {"before": {}, "after": {}}
    await case.judge()


async def test_digits_that_were_never_out_need_no_register(case):
    case.delivery = replace(case.delivery, state=DeliveryState.FAILED, maybe_taken=False)
    case.asked = replace(case.asked, log_absent=False)
    case.readings = {"before": {}, "after": {}}
    await case.judge()


async def test_money_is_proved_by_the_log_alone(case):
    rand = Currency(Decimal(10), "ZAR")
    case.recharge = a_recharge(id="r1", requested=rand, encoded=rand, created_at=SOLD)
    case.readings = {"before": {}, "after": {}}
    await case.judge()


def no_change(case: Case) -> None:
    case.change = None


def changed(**fields: Any) -> Any:
    def change(case: Case) -> None:
        assert case.change is not None
        case.change = replace(case.change, **fields)

    return change


def asked(**fields: Any) -> Any:
    def ask(case: Case) -> None:
        case.asked = replace(case.asked, **fields)

    return ask


def read(name: str, values: Mapping[ReadingType, int]) -> Any:
    def reading(case: Case) -> None:
        case.readings[name] = values

    return reading


def cannot(*missing: Capability) -> Any:
    def without(case: Case) -> None:
        for one in missing:
            case.can &= ~one

    return without


def cleared(case: Case) -> None:
    clear = Manage(ManagementOrder(ManagementKind.CLEAR_CREDIT, value=0), STS)
    case.orders = [a_delivery(id="m1", command=clear, state=DONE, confirmed_at=ASKED)]


def tampered_only(case: Case) -> None:
    other = Manage(ManagementOrder(ManagementKind.CLEAR_TAMPER), STS)
    case.orders = [a_delivery(id="m1", command=other, state=DONE, confirmed_at=ASKED)]


def unsure_sale(case: Case) -> None:
    case.others = [another_sale("20", Confirmation.USED)]
    case.readings["after"] = {CREDIT: 22_000, IMPORT: 4_000}


def asked_again_in_vain(case: Case) -> None:
    case.later = [an_attempt(delivery_id="d1", started_at=READ, outcome=Fact.NO_ANSWER)]


OTHER_KEY = replace(STS, krn=7)
MISSING = [
    (no_change, "no key change after this sale was proved"),
    (changed(confirmed_by=Confirmation.PERSON), "no key change after this sale was proved"),
    (changed(confirmed_at=SOLD), "no key change after this sale was proved"),
    (
        changed(command=ChangeKey(present=OTHER_KEY, to=replace(STS, krn=2))),
        "no key change after this sale was proved",
    ),
    (asked(started_at=CHANGED - MINUTE), "has not been asked for the old token since"),
    (asked(method=DeliveryMethod.MANUAL), "has not been asked for the old token since"),
    (asked(outcome=Fact.NO_ANSWER), "did not say that the token is of another key: no_answer"),
    (
        asked(outcome=Fact.REFUSED, result=TokenResult.OLD_ERROR),
        "did not say that the token is of another key: refused",
    ),
    (asked_again_in_vain, "did not say that the token is of another key: no_answer"),
    (asked(log_absent=False), "token log was not read when it was last asked"),
    (
        cannot(Capability.TOKEN_OUTCOME, Capability.CREDIT_REGISTER),
        "offers neither a token log nor a register",
    ),
    (read("before", {}), "no reading of the credit register from before the sale"),
    (read("before", {IMPORT: 1_000}), "no reading of the credit register from before the sale"),
    (read("after", {}), "was not read since the key was changed"),
    (read("after", {CREDIT: 2_000}), "without a register of what was consumed"),
    (read("after", {CREDIT: 12_000, IMPORT: 4_000}), "was credited 10, of which other sales"),
    (read("after", {CREDIT: 3_000, IMPORT: 4_000}), "was credited 1, of which other sales"),
    (unsure_sale, "was credited 20, of which other sales explain 0"),
    (cleared, "credit was cleared since the sale"),
]


@pytest.mark.parametrize(("takes_away", "reason"), MISSING)
async def test_what_is_not_proved_is_named(case, takes_away, reason):
    takes_away(case)
    await case.refused(reason)


async def test_other_engineering_orders_hide_nothing(case):
    tampered_only(case)
    await case.judge()
