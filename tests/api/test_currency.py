"""Meters that count money: described, sold to and told in it, never mixed with units."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from api.commands.meters_file import OPTIONAL, REQUIRED, read_meters, write_refused
from headend.meters import TenantId
from tests.api.office import DRN, OTHER_DRN, SGC, Caller, a_meter_body, a_recharge_body, slug

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MONEY = {"kind": "currency", "value": "100.00", "currency": "ZAR"}
HEADER = "drn,service,profile,sgc,krn,ti,kt,ea,keypad"
ROW = f"{DRN},electricity,stsm,{SGC},1,1,2,11,meter"


@pytest.fixture
async def money(caller: Caller) -> Caller:
    """A caller with a second meter that counts rand."""
    body = a_meter_body(OTHER_DRN, currency="ZAR")
    answer = await caller.post("/v1/meters", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["currency"] == "ZAR"
    return caller


@pytest.mark.parametrize("value", ["100.00", "0.00001", "1234.56789"])
async def test_money_is_sold_told_and_read_back_from_the_token(money: Caller, value):
    await money.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    body = a_recharge_body(meter=OTHER_DRN, amount=MONEY | {"value": value})
    answer = await money.post("/v1/recharges", json=body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["requested"] == MONEY | {"value": value}
    assert told["encoded"]["kind"] == "currency"
    assert told["encoded"]["currency"] == "ZAR"
    # A token carries 14 bits of an amount; what is lost is rounded in the customer's favour.
    assert Decimal(value) <= Decimal(told["encoded"]["value"]) < Decimal(value) * Decimal("1.001")
    again = await money.post("/v1/recharges", json=body)
    assert (again.status_code, again.json()) == (200, told)
    listed = (await money.get("/v1/recharges")).json()["items"]
    assert [item["requested"] for item in listed] == [told["requested"]]
    asked = {"meter": OTHER_DRN, "token": told["tokens"][0]["digits"]}
    verified = (await money.post("/v1/tokens/verify", json=asked)).json()
    assert verified["contents"]["amount"] == told["encoded"]
    assert (verified["contents"]["subclass"], verified["contents"]["problem"]) == (4, None)


@pytest.mark.parametrize(
    ("meter", "amount", "field"),
    [
        (OTHER_DRN, {"kind": "units", "value": "1", "unit": "kWh"}, "amount.unit"),
        (OTHER_DRN, MONEY | {"currency": "EUR"}, "amount.currency"),
        (DRN, MONEY, "amount.currency"),
    ],
)
async def test_money_and_units_are_not_mixed(money: Caller, meter, amount, field):
    answer = await money.post("/v1/recharges", json=a_recharge_body(meter=meter, amount=amount))
    assert slug(answer) == "wrong-unit"
    assert answer.json()["field"] == field


async def test_the_same_id_with_another_currency_is_another_sale(money: Caller):
    await money.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN, amount=MONEY))
    other = a_recharge_body(meter=OTHER_DRN, amount=MONEY | {"currency": "EUR"})
    answer = await money.post("/v1/recharges", json=other)
    assert slug(answer) == "recharge-differs"
    assert answer.json()["field"] == "amount"


@pytest.mark.parametrize("currency", ["zar", "ZA", "RAND", "Z R", 710, ""])
async def test_what_is_no_currency_makes_no_meter(caller: Caller, currency):
    answer = await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, currency=currency))
    assert slug(answer) == "invalid-request"
    assert answer.json()["field"] == "currency"


async def test_a_patch_gives_and_takes_away_a_currency(caller: Caller):
    path, match = f"/v1/meters/{DRN}", {"If-Match": "*"}
    assert (await caller.get(path)).json()["currency"] is None
    for currency in ("ZAR", None):
        answer = await caller.patch(path, json={"currency": currency}, headers=match)
        assert answer.json()["currency"] == currency
        untouched = await caller.patch(path, json={"keypad": "meter"}, headers=match)
        assert untouched.json()["currency"] == currency


# --- files --------------------------------------------------------------------------------------


def read(text: str):
    return read_meters(text.encode(), tenant=TenantId("city"), now=NOW)


def test_a_file_names_the_currency_in_its_last_column():
    (row,) = read(f"{HEADER},currency\n{ROW},ZAR\n").sound()
    assert row.meter is not None
    assert row.meter.currency == "ZAR"


@pytest.mark.parametrize("text", [f"{HEADER}\n{ROW}\n", f"{HEADER},currency\n{ROW},\n"])
def test_files_without_a_currency_are_read_as_before(text):
    (row,) = read(text).sound()
    assert row.meter is not None
    assert row.meter.currency is None


def test_a_bad_currency_is_told_with_its_column_and_kept_for_mending():
    found = read(f"{HEADER},currency\n{ROW},rand\n")
    assert [(fault.line, fault.column) for fault in found.faults] == [(2, "currency")]
    header, line = write_refused(found).splitlines()
    assert header == ",".join((*REQUIRED, *OPTIONAL, "error"))
    assert re.search(r",rand,currency: ", line)
