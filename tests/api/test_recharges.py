"""Recharges over REST: sold once, told truly, digits only where they belong."""

import asyncio
import json
import re

import pytest

from headend.api_keys import Scope
from tests.api.office import (
    DRN,
    OTHER_DRN,
    SGC,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    slug,
)

MASKED = re.compile(r"\*{16}\d{4}")
BROUGHT = "10203040506070809011"
# A token that belongs to no class in use: its class bits are 3.
CLASS_3 = str(3 << 27).zfill(20)


async def test_a_sale_is_answered_at_once_and_told_in_full(caller: Caller):
    body = a_recharge_body(
        reference="bill 7",
        sales_point="web",
        sale={
            "money": {"amount_minor": 2560, "currency": "EUR"},
            "lines": [
                {"kind": "energy", "units": {"value": "25.6", "unit": "kWh"}},
                {
                    "kind": "tax",
                    "text": "VAT 20 %",
                    "money": {"amount_minor": 427, "currency": "EUR"},
                },
                {"kind": "debt", "money": {"amount_minor": 100, "currency": "EUR"}},
            ],
            "receipt_number": "R-17",
            "business_date": "2026-03-01",
        },
    )
    answer = await caller.post("/v1/recharges", json=body)
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/v1/recharges/sale-1"
    told = answer.json()
    assert told["state"] == "issued"
    assert told["sts"] == {"sgc": SGC, "krn": 1, "ti": 1, "kt": 2, "ea": 11}
    assert told["requested"] == {"kind": "units", "value": "25.6", "unit": "kWh"}
    assert told["encoded"] == {"kind": "units", "value": "25.6", "unit": "kWh"}
    assert told["taken"] is None
    assert told["sale"] == body["sale"]
    assert told["fallback"] == body["fallback"]
    assert told["next"]["step"] == "send"
    unseen = {"state": "unknown", "cause": None, "missing": None, "debt": None, "proof": None}
    assert told["supply"] == {**unseen, "at": None}
    assert (told["evidence"], told["findings"]) == ([], [])
    (token,) = told["tokens"]
    assert token["purpose"] == "credit"
    assert token["sequence"] == 1
    assert token["state"] == "waiting"
    assert token["digits"] is None
    assert MASKED.fullmatch(token["masked"])
    assert told["created_at"].endswith("Z")
    assert (await caller.get("/v1/recharges/sale-1")).json() == told


async def test_the_same_request_again_is_the_same_sale(office: Office, caller: Caller):
    first = await caller.post("/v1/recharges", json=a_recharge_body())
    again = await caller.post("/v1/recharges", json=a_recharge_body())
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(await office.recharges()) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"meter": OTHER_DRN}, "meter"),
        ({"amount": {"kind": "units", "value": "25.7", "unit": "kWh"}}, "amount"),
        ({"amount": None, "tokens": [BROUGHT]}, "amount"),
        ({"reference": "other"}, "reference"),
        ({"sales_point": "other"}, "sales_point"),
        ({"fallback": []}, "fallback"),
        ({"sale": {"money": {"amount_minor": 1, "currency": "EUR"}}}, "sale"),
    ],
)
async def test_the_same_id_with_other_content_names_the_field(caller: Caller, change, field):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN))
    await caller.post("/v1/recharges", json=a_recharge_body())
    answer = await caller.post("/v1/recharges", json=a_recharge_body() | change)
    assert answer.status_code == 409
    assert slug(answer) == "recharge-differs"
    assert answer.json()["field"] == field


@pytest.mark.parametrize("header", ["7d3a", '"7d3a"'])
async def test_an_idempotency_key_does_what_an_id_does(office: Office, caller: Caller, header):
    body, headers = a_recharge_body(None), {"Idempotency-Key": header}
    first = await caller.post("/v1/recharges", json=body, headers=headers)
    again = await caller.post("/v1/recharges", json=body, headers={"Idempotency-Key": "7d3a"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert first.json()["idempotency_key"] == "7d3a"
    assert len(await office.recharges()) == 1


async def test_many_callers_with_one_id_at_once_sell_once(office: Office, caller: Caller):
    answers = await asyncio.gather(
        *(caller.post("/v1/recharges", json=a_recharge_body()) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["tokens"][0]["masked"] for answer in answers}) == 1
    assert len(await office.recharges()) == 1


async def test_a_caller_that_hangs_up_loses_nothing(office: Office, caller: Caller):
    posting = asyncio.create_task(caller.post("/v1/recharges", json=a_recharge_body()))
    while not office.head_end.writes.running:
        await asyncio.sleep(0)
    posting.cancel()
    await asyncio.wait([posting])
    await office.head_end.writes.settle()
    (kept,) = await office.recharges()
    assert kept.issued_at is not None


UNITS = {"kind": "units", "value": "1", "unit": "kWh"}
MONEY = {"kind": "currency", "value": "100.00", "currency": "ZAR"}
BAD = [
    ({"meter": OTHER_DRN}, 404, "unknown-meter", "meter"),
    ({"meter": DRN[:-1] + str((int(DRN[-1]) + 1) % 10)}, 422, "wrong-check-digit", "meter"),
    ({"meter": "123"}, 422, "malformed-meter-number", "meter"),
    ({"meter": "abcdefghijk"}, 422, "malformed-meter-number", "meter"),
    ({"meter": 1000000016}, 422, "invalid-request", "meter"),
    ({"amount": None}, 422, "amount-or-tokens", "amount"),
    ({"tokens": [BROUGHT]}, 422, "amount-or-tokens", "amount"),
    ({"amount": UNITS | {"value": "0"}}, 422, "amount-not-positive", "amount.value"),
    ({"amount": UNITS | {"value": "-1"}}, 422, "amount-not-positive", "amount.value"),
    ({"amount": UNITS | {"value": "1820162.5"}}, 422, "amount-too-large", "amount.value"),
    ({"amount": UNITS | {"value": "1e3"}}, 422, "malformed-amount", "amount.value"),
    ({"amount": UNITS | {"value": "1,5"}}, 422, "malformed-amount", "amount.value"),
    ({"amount": UNITS | {"value": ""}}, 422, "malformed-amount", "amount.value"),
    ({"amount": UNITS | {"value": "NaN"}}, 422, "malformed-amount", "amount.value"),
    ({"amount": UNITS | {"value": 25.6}}, 422, "invalid-request", "amount.value"),
    ({"amount": UNITS | {"unit": "Wh"}}, 422, "invalid-request", "amount.unit"),
    ({"amount": UNITS | {"unit": "m3"}}, 422, "wrong-unit", "amount.unit"),
    ({"amount": UNITS | {"kind": "currency"}}, 422, "invalid-request", "amount.currency"),
    ({"amount": UNITS | {"kind": "hours"}}, 422, "invalid-request", "amount"),
    ({"amount": MONEY}, 422, "wrong-unit", "amount.currency"),
    ({"amount": MONEY | {"currency": "zar"}}, 422, "invalid-request", "amount.currency"),
    ({"amount": MONEY | {"value": "0"}}, 422, "amount-not-positive", "amount.value"),
    ({"amount": MONEY | {"value": "0.000001"}}, 422, "malformed-amount", "amount.value"),
    ({"amount": MONEY | {"value": "1000000000001"}}, 422, "amount-too-large", "amount.value"),
    ({"amount": "25.6"}, 422, "invalid-request", "amount"),
    ({"amount": None, "tokens": ["123"]}, 422, "malformed-token", "tokens.0"),
    ({"amount": None, "tokens": [BROUGHT, "9" * 20]}, 422, "malformed-token", "tokens.1"),
    ({"amount": None, "tokens": [CLASS_3]}, 422, "malformed-token", "tokens"),
    ({"amount": None, "tokens": [BROUGHT, BROUGHT]}, 409, "token-already-known", "tokens"),
    ({"amount": None, "tokens": [int(BROUGHT)]}, 422, "invalid-request", "tokens.0"),
    ({"amount": None, "tokens": BROUGHT}, 422, "invalid-request", "tokens"),
    (
        {"amount": None, "tokens": [str(n).zfill(20) for n in range(13)]},
        422,
        "too-many-tokens",
        "tokens",
    ),
    ({"id": ""}, 422, "invalid-request", "id"),
    ({"id": "a/b"}, 422, "invalid-request", "id"),
    ({"id": "x" * 65}, 422, "invalid-request", "id"),
    ({"reference": "a\x00b"}, 422, "invalid-request", "reference"),
    ({"reference": "\ud800"}, 422, "invalid-request", "reference"),
    ({"fallback": [{"kind": "sms", "address": "0155"}]}, 422, "invalid-request", None),
    ({"fallback": [{"kind": "email", "address": "a b@c"}]}, 422, "invalid-request", None),
    ({"fallback": [{"kind": "pigeon", "address": "x"}]}, 422, "invalid-request", None),
    ({"sale": {"money": {"amount_minor": 1.5, "currency": "EUR"}}}, 422, "invalid-request", None),
    ({"sale": {"money": {"amount_minor": 1, "currency": "eur"}}}, 422, "invalid-request", None),
    ({"ammount": UNITS}, 422, "invalid-request", "ammount"),
]


@pytest.mark.parametrize(("change", "status", "kind", "field"), BAD)
async def test_a_bad_order_is_its_own_problem_and_leaves_no_trace(
    office: Office, caller: Caller, change, status, kind, field
):
    # Escaped, so that even half a surrogate travels.
    content = json.dumps(a_recharge_body() | change).encode()
    headers = {"Content-Type": "application/json"}
    answer = await caller.post("/v1/recharges", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert slug(answer) == kind
    if field is not None:
        assert answer.json()["field"] == field
    assert await office.recharges() == []
    assert not re.search(r"\d{20}", answer.text)


async def test_an_order_without_any_id_is_refused(office: Office, caller: Caller):
    answer = await caller.post("/v1/recharges", json=a_recharge_body(None))
    assert slug(answer) == "id-required"
    assert await office.recharges() == []


async def test_a_meter_that_nothing_reaches_gets_no_sale(office: Office, caller: Caller):
    body = a_meter_body(OTHER_DRN, route=None, keypad="none")
    await caller.post("/v1/meters", json=body)
    answer = await caller.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN))
    assert slug(answer) == "no-delivery-method"
    assert await office.recharges() == []


@pytest.mark.parametrize("state", ["suspended", "retired"])
async def test_a_meter_out_of_service_gets_no_sale(office: Office, caller: Caller, state):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, state=state))
    answer = await caller.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN))
    assert answer.status_code == 409
    assert slug(answer) == "meter-not-in-service"
    assert await office.recharges() == []


async def test_the_limits_of_the_supply_group_hold(office: Office, caller: Caller):
    limits = {"limit_per_recharge": "30", "limit_per_day": "50"}
    await caller.put(f"/v1/supply-groups/{SGC}", json=limits)
    above = a_recharge_body(amount=UNITS | {"value": "30.1"})
    assert slug(await caller.post("/v1/recharges", json=above)) == "amount-above-limit"
    assert (await caller.post("/v1/recharges", json=a_recharge_body("a"))).status_code == 201
    answer = await caller.post("/v1/recharges", json=a_recharge_body("b"))
    assert slug(answer) == "amount-above-limit"
    assert len(await office.recharges()) == 1


async def test_a_group_without_a_key_gets_no_sale(office: Office, caller: Caller):
    sts = {"sgc": "999999", "krn": 1, "ti": 1, "kt": 2, "ea": 11}
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, sts=sts))
    answer = await caller.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN))
    assert answer.status_code == 409
    assert slug(answer) == "no-vending-key"
    assert await office.recharges() == []


async def test_tokens_made_elsewhere_are_taken_as_they_are(caller: Caller):
    body = a_recharge_body(amount=None, tokens=["1020 3040 5060 7080 9011"])
    answer = await caller.post("/v1/recharges", json=body)
    assert answer.status_code == 201
    told = answer.json()
    assert told["requested"] is None
    assert told["tokens"][0]["masked"] == "*" * 16 + BROUGHT[-4:]
    assert BROUGHT not in answer.text


async def test_tokens_that_belong_to_another_sale_are_refused(office: Office, caller: Caller):
    body = a_recharge_body("a", amount=None, tokens=[BROUGHT])
    assert (await caller.post("/v1/recharges", json=body)).status_code == 201
    answer = await caller.post("/v1/recharges", json=body | {"id": "b"})
    assert answer.status_code == 409
    assert slug(answer) == "token-already-known"
    assert [recharge.id for recharge in await office.recharges()] == ["a"]


@pytest.mark.parametrize("change", [{"kt": 1}, {"ea": 7}])
async def test_a_configuration_that_the_key_cannot_serve_leaves_no_trace(
    office: Office, caller: Caller, change
):
    sts = a_meter_body()["sts"] | change
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, sts=sts))
    answer = await caller.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN))
    assert slug(answer) in {"no-vending-key", "order-refused"}
    assert await office.recharges() == []


# --- digits -------------------------------------------------------------------------------------


async def test_a_till_with_the_scope_gets_the_digits_at_once(office: Office, caller: Caller):
    await caller.put(f"/v1/supply-groups/{SGC}", json={"reveal_at": {"hall-3": "at_once"}})
    body = a_recharge_body(sales_point="hall-3")
    told = (await caller.post("/v1/recharges", json=body)).json()
    digits = told["tokens"][0]["digits"]
    assert re.fullmatch(r"\d{20}", digits)
    again = await caller.post("/v1/recharges", json=body)
    assert again.status_code == 200
    assert again.json()["tokens"][0]["digits"] == digits
    # Nobody gets them without asking, and nobody without the scope.
    assert digits not in (await caller.get("/v1/recharges/sale-1")).text
    assert digits in (await caller.get("/v1/recharges/sale-1?reveal=true")).text
    seller = await office.caller(Scope.RECHARGE, Scope.READ)
    assert digits not in (await seller.post("/v1/recharges", json=body)).text
    assert slug(await seller.get("/v1/recharges/sale-1?reveal=true")) == "scope-missing"
    assert digits not in (await caller.get("/v1/recharges")).text


async def test_elsewhere_the_digits_wait_for_the_fallback(caller: Caller):
    told = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    assert told["reveal"] == "on_fallback"
    shown = (await caller.get("/v1/recharges/sale-1?reveal=true")).json()
    assert shown["tokens"][0]["digits"] is None
    await caller.put(f"/v1/supply-groups/{SGC}", json={"fallback_after_s": 0})
    await caller.post("/v1/recharges", json=a_recharge_body("sale-2"))
    shown = (await caller.get("/v1/recharges/sale-2?reveal=true")).json()
    assert re.fullmatch(r"\d{20}", shown["tokens"][0]["digits"])


async def test_a_policy_of_never_is_kept(caller: Caller):
    group = {"reveal": "never", "fallback_after_s": 0}
    await caller.put(f"/v1/supply-groups/{SGC}", json=group)
    await caller.post("/v1/recharges", json=a_recharge_body())
    shown = (await caller.get("/v1/recharges/sale-1?reveal=true")).json()
    assert shown["tokens"][0]["digits"] is None


# --- reversal -----------------------------------------------------------------------------------


async def test_a_sale_whose_digits_were_never_out_is_undone(caller: Caller):
    await caller.post("/v1/recharges", json=a_recharge_body())
    answer = await caller.post("/v1/recharges/sale-1/reversal", json={"reason": "wrong meter"})
    assert answer.status_code == 200
    told = answer.json()
    assert told["state"] == "reversed"
    assert told["reversal_reason"] == "wrong meter"
    assert told["tokens"][0]["state"] == "dead"
    assert told["next"]["step"] == "nothing"
    again = await caller.post("/v1/recharges/sale-1/reversal", json={"reason": "wrong meter"})
    assert again.status_code == 200


async def test_a_sale_whose_digits_were_shown_needs_a_credit_note(caller: Caller):
    await caller.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    await caller.post("/v1/recharges", json=a_recharge_body())
    answer = await caller.post("/v1/recharges/sale-1/reversal", json={"reason": "x"})
    assert answer.status_code == 409
    assert slug(answer) == "credit-note-required"
    assert answer.json()["reason"] == "revealed"
    assert (await caller.get("/v1/recharges/sale-1")).json()["state"] == "issued"


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "force": True}, None])
async def test_a_reversal_needs_a_reason(caller: Caller, body):
    await caller.post("/v1/recharges", json=a_recharge_body())
    answer = await caller.post("/v1/recharges/sale-1/reversal", json=body)
    assert slug(answer) == "invalid-request"
    assert (await caller.get("/v1/recharges/sale-1")).json()["state"] == "issued"


async def test_unknown_recharges_are_told_as_such(caller: Caller):
    assert slug(await caller.get("/v1/recharges/nope")) == "unknown-recharge"
    answer = await caller.post("/v1/recharges/nope/reversal", json={"reason": "x"})
    assert slug(answer) == "unknown-recharge"
    assert slug(await caller.get("/v1/deliveries/nope")) == "unknown-delivery"


# --- lists --------------------------------------------------------------------------------------


async def test_pages_follow_each_other_newest_first(caller: Caller):
    for number in range(5):
        await caller.post("/v1/recharges", json=a_recharge_body(f"sale-{number}"))
    seen, path = [], "/v1/recharges?limit=2"
    while path:
        answer = await caller.get(path)
        seen += [item["id"] for item in answer.json()["items"]]
        link = answer.headers.get("Link", "")
        assert bool(link) == (answer.json()["next"] is not None)
        path = link.partition(">")[0].removeprefix("<")
        assert not link or "limit=2" in path
    assert seen == [f"sale-{number}" for number in (4, 3, 2, 1, 0)]


async def test_recharges_are_found_by_meter_state_reference_and_time(caller: Caller):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN))
    first = await caller.post("/v1/recharges", json=a_recharge_body("a", reference="bill 1"))
    await caller.post("/v1/recharges", json=a_recharge_body("b", meter=OTHER_DRN))
    await caller.post("/v1/recharges/b/reversal", json={"reason": "x"})
    at = first.json()["created_at"]

    async def found(**query):
        answer = await caller.get("/v1/recharges", params=query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert await found(meter=DRN) == ["a"]
    assert await found(state="reversed") == ["b"]
    assert await found(reference="bill 1") == ["a"]
    assert await found(since=at) == ["b", "a"]
    assert await found(until=at) == []
    assert await found(meter=DRN, state="reversed") == []


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("cursor=nonsense", "malformed-order"),
        ("cursor=%00", "invalid-request"),
        ("limit=0", "invalid-request"),
        ("limit=201", "invalid-request"),
        ("limit=x", "invalid-request"),
        ("state=paid", "invalid-request"),
        ("meter=12", "malformed-meter-number"),
        ("since=yesterday", "invalid-request"),
        ("since=1700000000", "invalid-request"),
        ("since=2026-01-01T00:00:00", "invalid-request"),
        ("until=9999-12-31T23:59:59-05:00", "invalid-request"),
        ("reference=%00", "invalid-request"),
    ],
)
async def test_a_bad_query_is_its_own_problem(caller: Caller, query, kind):
    assert slug(await caller.get(f"/v1/recharges?{query}")) == kind
