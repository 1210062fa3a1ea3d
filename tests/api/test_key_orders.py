"""Key changes and engineering tokens over REST: ordered once, told truly, digits by hand only."""

import asyncio
import re
from typing import Any

import pytest

from headend.api_keys import Scope
from headend.deliveries import Confirmation, Fact
from headend.errors import ModuleDown
from tests.api.office import (
    DRN,
    OTHER_DRN,
    RIVAL,
    SGC,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    slug,
)
from tests.api.orders import (
    ENGINEERING,
    KEY_CHANGES,
    NEXT,
    PRESENT,
    a_change,
    a_clearing,
    add_second_key,
    happens,
)

TWENTY = re.compile(r"\d(?:[ -]?\d){19,}")
BY_HAND = f"/v1/meters/{OTHER_DRN}"


@pytest.fixture
async def caller(office: Office, caller: Caller) -> Caller:
    """The caller of a head-end with two key revisions."""
    await add_second_key(office)
    return caller


@pytest.fixture
async def by_hand(caller: Caller) -> Caller:
    """With a second meter that no wire reaches."""
    body = a_meter_body(OTHER_DRN, route=None)
    assert (await caller.post("/v1/meters", json=body)).status_code == 201
    return caller


async def test_a_key_change_is_one_delivery_with_the_whole_set(office: Office, caller: Caller):
    key = await office.key(Scope.KEYS)
    async with office.with_key(key) as keeper:
        answer = await keeper.post(KEY_CHANGES, json=a_change())
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == "/v1/deliveries/k1"
    told = answer.json()
    assert told["command"]["kind"] == "change_key"
    assert (told["command"]["present"], told["command"]["to"]) == (PRESENT, NEXT)
    assert told["ordered_by"] == key.split("_")[1]
    assert (told["state"], told["methods"]) == ("waiting", ["remote"])
    assert [token["purpose"] for token in told["tokens"]] == ["key_change"] * 4
    assert [token["sequence"] for token in told["tokens"]] == [1, 2, 3, 4]
    assert not TWENTY.search(answer.text)
    assert (await caller.get("/v1/deliveries/k1")).json() == told


async def test_an_engineering_token_is_made_and_told(caller: Caller):
    body = {"id": "m1", "kind": "power_limit", "value": 6000}
    answer = await caller.post(ENGINEERING, json=body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["command"]["kind"] == "manage"
    assert told["command"]["engineering"] == {
        "kind": "power_limit",
        "value": 6000,
        "index": None,
        "sts": PRESENT,
    }
    assert [token["purpose"] for token in told["tokens"]] == ["management"]
    assert [token["mark"] for token in told["tokens"]] == ["test"]
    assert (told["stopped_by"], told["confirmed_by"]) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "meter_test", "value": 0},
        {"kind": "read_control", "index": 3},
        {"kind": "read_flag"},
        {"kind": "clear_tamper"},
    ],
)
async def test_the_same_order_again_is_the_same_delivery(caller: Caller, body):
    first = await caller.post(ENGINEERING, json={"id": "m1", **body})
    again = await caller.post(ENGINEERING, json={"id": "m1", **body})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    needs_key = body["kind"] == "clear_tamper"
    told = first.json()
    assert told["tokens"][0]["mark"] == ("test" if needs_key else None)
    assert told["command"]["engineering"]["sts"] == (PRESENT if needs_key else None)


async def test_many_callers_with_one_id_order_one_key_change(caller: Caller):
    answers = await asyncio.gather(*(caller.post(KEY_CHANGES, json=a_change()) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["tokens"][0]["masked"] for answer in answers}) == 1


CHANGES = [
    ({"to": PRESENT}, 409, "same-key", "to"),
    ({"to": NEXT | {"krn": 9}}, 409, "no-vending-key", "to.sgc"),
    ({"to": NEXT | {"sgc": "999999"}}, 409, "no-vending-key", "to.sgc"),
    ({"to": NEXT | {"ea": 9}}, 422, "malformed-order", "to.ea"),
    ({"to": NEXT | {"kt": 4}}, 422, "invalid-request", "to.kt"),
    ({"to": NEXT | {"krn": "2"}}, 422, "invalid-request", "to.krn"),
    ({"to": {"krn": 2}}, 422, "invalid-request", "to.sgc"),
    ({"three_kct": True}, 422, "malformed-order", "three_kct"),
    ({"three_kct": "yes"}, 422, "invalid-request", "three_kct"),
    ({"id": "a/b"}, 422, "invalid-request", "id"),
    ({"force": True}, 422, "invalid-request", "force"),
]


@pytest.mark.parametrize(("change", "status", "kind", "field"), CHANGES)
async def test_a_bad_key_change_is_not_kept(
    office: Office, caller: Caller, change, status, kind, field
):
    answer = await caller.post(KEY_CHANGES, json=a_change() | change)
    assert slug(answer) == kind
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert kind in documented(office, "/v1/meters/{drn}/key-changes", status)
    assert slug(await caller.get("/v1/deliveries/k1")) == "unknown-delivery"


TOKENS = [
    ({"kind": "power_limit"}, "malformed-order", "value"),
    ({"kind": "clear_tamper", "value": 1}, "malformed-order", "value"),
    ({"kind": "clear_credit", "value": 9}, "malformed-order", "value"),
    ({"kind": "power_limit", "value": 2**31}, "malformed-order", "value"),
    ({"kind": "set_flag", "value": 1}, "malformed-order", "index"),
    ({"kind": "set_flag", "index": 1, "value": 2}, "malformed-order", "value"),
    ({"kind": "meter_test", "value": 99}, "malformed-order", "value"),
    ({"kind": "read_control", "index": 63}, "malformed-order", "index"),
    ({"kind": "read_flag", "value": 1}, "malformed-order", "value"),
    ({"kind": "power_limit", "value": -1}, "invalid-request", "value"),
    ({"kind": "power_limit", "value": "6000"}, "invalid-request", "value"),
    ({"kind": "free_units", "value": 1}, "invalid-request", "kind"),
]


@pytest.mark.parametrize(("order", "kind", "field"), TOKENS)
async def test_a_bad_engineering_token_is_not_kept(
    office: Office, caller: Caller, order, kind, field
):
    answer = await caller.post(ENGINEERING, json={"id": "m1", **order})
    assert slug(answer) == kind
    assert answer.json()["field"] == field
    assert kind in documented(office, "/v1/meters/{drn}/engineering", answer.status_code)
    assert slug(await caller.get("/v1/deliveries/m1")) == "unknown-delivery"


async def test_orders_that_contradict_each_other_are_refused(office: Office, caller: Caller):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN))
    await caller.post(KEY_CHANGES, json=a_change())
    for path, body, kind, field in [
        (KEY_CHANGES, a_change(to=NEXT | {"ti": 8}), "order-differs", "order"),
        (f"{BY_HAND}/key-changes", a_change(), "order-differs", "meter"),
        (ENGINEERING, a_clearing("k1"), "order-differs", "order"),
        (KEY_CHANGES, a_change("k2"), "key-change-pending", "meter"),
        (ENGINEERING, a_clearing(), "key-change-pending", "meter"),
    ]:
        answer = await caller.post(path, json=body)
        assert (answer.status_code, slug(answer)) == (409, kind)
        assert answer.json()["field"] == field
        assert kind in documented(
            office, path.replace(DRN, "{drn}").replace(OTHER_DRN, "{drn}"), 409
        )


async def test_a_change_that_was_counted_is_not_repeated_with_another_number_of_tokens(
    office: Office, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    async def down(*_order: Any, **_more: Any) -> None:
        raise ModuleDown("the security module does not answer")

    with monkeypatch.context() as away:
        away.setattr(office.head_end.keys._module, "change_key", down)
        assert slug(await caller.post(KEY_CHANGES, json=a_change())) == "security-module-down"
    other = await caller.post(KEY_CHANGES, json=a_change(three_kct=True))
    assert (other.status_code, slug(other)) == (409, "order-differs")
    assert (await caller.post(KEY_CHANGES, json=a_change())).status_code == 201


async def test_meters_that_cannot_take_an_order_get_none(caller: Caller):
    retired = a_meter_body(OTHER_DRN, state="retired")
    await caller.post("/v1/meters", json=retired)
    answer = await caller.post(f"{BY_HAND}/key-changes", json=a_change())
    assert slug(answer) == "meter-not-in-service"
    mute = {"state": "in_service", "keypad": "none", "route": None}
    await caller.patch(BY_HAND, json=mute, headers={"If-Match": "*"})
    for path, body in [("key-changes", a_change()), ("engineering", a_clearing())]:
        answer = await caller.post(f"{BY_HAND}/{path}", json=body)
        assert slug(answer) == "no-delivery-method"
    assert slug(await caller.get("/v1/deliveries/k1")) == "unknown-delivery"


async def test_another_tenant_orders_nothing_here(office: Office, caller: Caller):
    await caller.post(KEY_CHANGES, json=a_change())
    rival = await office.caller(tenant=RIVAL)
    for path, body, kind in [
        (KEY_CHANGES, a_change(), "unknown-meter"),
        (ENGINEERING, a_clearing(), "unknown-meter"),
        ("/v1/tokens/verify", {"meter": DRN, "token": "1" * 20}, "unknown-meter"),
        ("/v1/deliveries/k1/confirmation", {"seen_by": "x"}, "unknown-delivery"),
        ("/v1/deliveries/k1/inquiry", None, "unknown-delivery"),
        ("/v1/recharges/sale-1/replacement", {"id": "x"}, "unknown-recharge"),
    ]:
        assert slug(await rival.post(path, json=body)) == kind
    assert slug(await rival.get("/v1/deliveries/k1")) == "unknown-delivery"


# --- by hand ------------------------------------------------------------------------------------


async def test_by_hand_the_digits_are_shown_in_order_and_count_as_out(
    office: Office, by_hand: Caller
):
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    shown = (await by_hand.get("/v1/deliveries/k1?reveal=true")).json()["tokens"]
    assert [re.fullmatch(r"\d{20}", token["digits"]) is not None for token in shown] == [True] * 4
    plain = await by_hand.get("/v1/deliveries/k1")
    assert not TWENTY.search(plain.text)
    reader = await office.caller(Scope.READ, Scope.KEYS)
    assert slug(await reader.get("/v1/deliveries/k1?reveal=true")) == "scope-missing"
    expired = await happens(office, "k1", Fact.EXPIRED)
    assert expired.state == "unresolved"


async def test_by_remote_the_digits_are_not_shown(caller: Caller):
    await caller.post(KEY_CHANGES, json=a_change())
    answer = await caller.get("/v1/deliveries/k1?reveal=true")
    assert answer.status_code == 200
    assert not TWENTY.search(answer.text)


async def test_a_policy_of_never_holds_for_key_changes_too(by_hand: Caller):
    await by_hand.put(f"/v1/supply-groups/{SGC}", json={"reveal": "never"})
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    assert not TWENTY.search((await by_hand.get("/v1/deliveries/k1?reveal=true")).text)


async def test_the_digits_of_credit_are_shown_by_its_recharge_only(by_hand: Caller):
    await by_hand.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    sold = (await by_hand.post("/v1/recharges", json=a_recharge_body())).json()
    assert sold["tokens"][0]["digits"]
    answer = await by_hand.get(f"/v1/deliveries/{sold['delivery']}?reveal=true")
    assert answer.json()["tokens"][0]["masked"] == sold["tokens"][0]["masked"]
    assert not TWENTY.search(answer.text)


async def test_a_person_confirms_a_key_change_and_the_record_follows(
    office: Office, by_hand: Caller
):
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    path, body = "/v1/deliveries/k1/confirmation", {"seen_by": "K. Otieno"}
    early = await by_hand.post(path, json=body)
    assert (early.status_code, slug(early)) == (409, "nothing-to-confirm")
    assert (await by_hand.get(BY_HAND)).json()["sts"] == PRESENT
    await by_hand.get("/v1/deliveries/k1?reveal=true")
    engineer = await office.caller(Scope.ENGINEERING, Scope.READ)
    assert slug(await engineer.post(path, json=body)) == "scope-missing"
    for _ in range(2):
        told = (await by_hand.post(path, json=body)).json()
        assert (told["state"], told["confirmed_by"]) == ("done", "person")
    assert {token["state"] for token in told["tokens"]} == {"taken"}
    assert "K. Otieno" in told["attempts"][-1]["detail"]
    assert (await by_hand.get(BY_HAND)).json()["sts"] == NEXT


@pytest.mark.parametrize("body", [{}, {"seen_by": ""}, {"seen_by": 1}, None])
async def test_a_confirmation_names_who_saw_it(by_hand: Caller, body):
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    answer = await by_hand.post("/v1/deliveries/k1/confirmation", json=body)
    assert slug(answer) == "invalid-request"


async def test_credit_and_supply_are_not_confirmed_by_people(caller: Caller):
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    await caller.post(f"/v1/meters/{DRN}/clock", json={"id": "c1"})
    for ident in (sold["delivery"], "c1"):
        answer = await caller.post(f"/v1/deliveries/{ident}/confirmation", json={"seen_by": "x"})
        assert slug(answer) == "nothing-to-confirm"


# --- changes that nobody confirms ---------------------------------------------------------------


async def test_an_unconfirmed_change_stops_sales_and_orders_until_it_is_withdrawn(
    office: Office, by_hand: Caller
):
    sale = a_recharge_body(meter=OTHER_DRN)
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    await by_hand.get("/v1/deliveries/k1?reveal=true")
    early = await by_hand.post("/v1/recharges", json=sale)
    await happens(office, "k1", Fact.EXPIRED)
    for answer, path in [
        (early, "/v1/recharges"),
        (await by_hand.post("/v1/recharges", json=sale), "/v1/recharges"),
        (await by_hand.post(f"{BY_HAND}/engineering", json=a_clearing()), "engineering"),
        (await by_hand.post(f"{BY_HAND}/key-changes", json=a_change("k2")), "key-changes"),
    ]:
        assert (answer.status_code, slug(answer)) == (409, "key-change-unconfirmed")
        assert "confirm the change or withdraw it" in answer.json()["detail"]
        assert "key-change-unconfirmed" in documented(
            office, path if path.startswith("/") else f"/v1/meters/{{drn}}/{path}", 409
        )
    path, body = "/v1/deliveries/k1/withdrawal", {"seen_by": "K. Otieno"}
    engineer = await office.caller(Scope.ENGINEERING, Scope.READ)
    assert slug(await engineer.post(path, json=body)) == "scope-missing"
    assert slug(await by_hand.post(path, json={})) == "invalid-request"
    told = (await by_hand.post(path, json=body)).json()
    assert (told["state"], told["stopped_by"]) == ("unresolved", "withdrawn")
    assert {token["state"] for token in told["tokens"]} == {"dead"}
    assert "K. Otieno" in told["attempts"][-1]["detail"]
    sold = await by_hand.post("/v1/recharges", json=sale)
    assert (sold.status_code, sold.json()["sts"]) == (201, PRESENT)


async def test_what_cannot_be_withdrawn_says_so(office: Office, caller: Caller):
    await caller.post(KEY_CHANGES, json=a_change())
    await happens(office, "k1", Fact.LEASED, Fact.ACCEPTED, by=Confirmation.READ_BACK)
    answer = await caller.post("/v1/deliveries/k1/withdrawal", json={"seen_by": "x"})
    assert (answer.status_code, slug(answer)) == (409, "nothing-to-withdraw")
    assert "nothing-to-withdraw" in documented(office, "/v1/deliveries/{id}/withdrawal", 409)


async def test_a_till_gets_the_set_with_the_credit(by_hand: Caller):
    await by_hand.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    await by_hand.post(f"{BY_HAND}/key-changes", json=a_change())
    sold = (await by_hand.post("/v1/recharges", json=a_recharge_body(meter=OTHER_DRN))).json()
    shown = [*sold["key_change"], *sold["tokens"]]
    assert [token["purpose"] for token in shown] == ["key_change"] * 4 + ["credit"]
    assert all(re.fullmatch(r"[0-9]{20}", token["digits"]) for token in shown)
    assert sold["sts"] == NEXT
    plain = await by_hand.get("/v1/recharges/sale-1")
    assert not TWENTY.search(plain.text)


# --- asking again -------------------------------------------------------------------------------


async def test_an_unresolved_token_is_asked_about_again(office: Office, caller: Caller):
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    path = f"/v1/deliveries/{sold['delivery']}/inquiry"
    assert (await caller.post(path)).json()["state"] == "waiting"
    await happens(office, sold["delivery"], Fact.LEASED, Fact.NO_ANSWER, Fact.EXPIRED)
    assert (await caller.get("/v1/recharges/sale-1")).json()["state"] == "unresolved"
    keeper = await office.caller(Scope.KEYS, Scope.ENGINEERING, Scope.READ)
    assert slug(await keeper.post(path)) == "scope-missing"
    told = (await caller.post(path)).json()
    assert told["state"] == "uncertain"
    assert (await caller.get("/v1/recharges/sale-1")).json()["state"] == "issued"


async def test_orders_without_tokens_and_dead_tokens_are_not_asked_about(caller: Caller):
    await caller.post(f"/v1/meters/{DRN}/clock", json={"id": "c1"})
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    await caller.post("/v1/recharges/sale-1/reversal", json={"reason": "mistyped"})
    for ident in ("c1", sold["delivery"]):
        answer = await caller.post(f"/v1/deliveries/{ident}/inquiry")
        assert (answer.status_code, slug(answer)) == (409, "nothing-to-ask")


# --- credit and keys ----------------------------------------------------------------------------


async def test_credit_sold_during_a_key_change_waits_for_the_new_key(
    office: Office, caller: Caller
):
    await caller.post(KEY_CHANGES, json=a_change())
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    assert (sold["state"], sold["sts"], sold["key_change"]) == ("open", NEXT, [])
    assert "key change k1 is proved" in sold["next"]["text"]
    await happens(office, "k1", Fact.LEASED, Fact.ACCEPTED, by=Confirmation.READ_BACK)
    again = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    assert (again["state"], again["sts"]) == ("issued", NEXT)


async def test_a_wrong_record_is_told_plainly(office: Office, caller: Caller):
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    await happens(office, sold["delivery"], Fact.LEASED, Fact.KEY_MISMATCH)
    told = (await caller.get("/v1/recharges/sale-1")).json()
    assert (told["state"], told["stopped_by"]) == ("failed", "key_mismatch")
    assert told["next"]["step"] == "person_decides"
    assert "another key than our record" in told["next"]["text"]
    delivery = (await caller.get(f"/v1/deliveries/{sold['delivery']}")).json()
    assert delivery["stopped_by"] == "key_mismatch"


async def test_credit_that_died_with_the_old_key_is_replaced_once(office: Office, caller: Caller):
    path = "/v1/recharges/sale-1/replacement"
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    await caller.post("/v1/recharges", json=a_recharge_body("sale-2"))
    early = await caller.post(path, json={"id": "sale-3"})
    assert (early.status_code, slug(early)) == (409, "not-replaceable")
    await caller.post(KEY_CHANGES, json=a_change())
    await happens(office, "k1", Fact.LEASED, Fact.ACCEPTED, by=Confirmation.READ_BACK)
    await happens(office, sold["delivery"], Fact.LEASED, Fact.KEY_MISMATCH)
    taken = await caller.post(path, json={"id": "sale-2"})
    assert (taken.status_code, slug(taken)) == (409, "recharge-differs")
    made = await caller.post(path, json={"id": "sale-3"})
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == "/v1/recharges/sale-3"
    assert (made.json()["replaces"], made.json()["sts"]) == ("sale-1", NEXT)
    assert made.json()["requested"] == sold["requested"]
    again = await caller.post(path, json={"id": "sale-3"})
    assert (again.status_code, again.json()) == (200, made.json())
    dead = (await caller.get("/v1/recharges/sale-1")).json()
    assert (dead["state"], dead["replaced_by"]) == ("replaced", "sale-3")
    assert slug(await caller.post(path, json={"id": "sale-4"})) == "not-replaceable"
    inquiry = await caller.post(f"/v1/deliveries/{sold['delivery']}/inquiry")
    assert slug(inquiry) == "nothing-to-ask"


async def test_tokens_made_elsewhere_are_not_replaced(caller: Caller):
    brought = a_recharge_body(amount=None, tokens=["10203040506070809011"])
    sold = await caller.post("/v1/recharges", json=brought)
    assert sold.json()["tokens"][0]["mark"] is None
    answer = await caller.post("/v1/recharges/sale-1/replacement", json={"id": "sale-2"})
    assert (answer.status_code, slug(answer)) == (409, "not-replaceable")


# --- verifying ----------------------------------------------------------------------------------


async def test_a_token_of_ours_is_known_by_its_digits(caller: Caller):
    await caller.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    sold = (await caller.post("/v1/recharges", json=a_recharge_body())).json()
    digits = sold["tokens"][0]["digits"]
    grouped = " ".join(digits[place : place + 4] for place in range(0, 20, 4))
    answer = await caller.post("/v1/tokens/verify", json={"meter": DRN, "token": grouped})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["ours"]["recharge"] == "sale-1"
    assert told["ours"]["token"]["state"] == "waiting"
    assert told["contents"]["amount"] == {"kind": "units", "value": "25.6", "unit": "kWh"}
    assert told["contents"]["problem"] is None
    marks = sold["tokens"][0]["mark"], told["ours"]["token"]["mark"], told["contents"]["mark"]
    assert marks == ("test", "test", "test")
    assert not TWENTY.search(answer.text)


async def test_a_token_of_ours_for_another_meter_is_none_of_this_one(by_hand: Caller):
    await by_hand.put(f"/v1/supply-groups/{SGC}", json={"reveal": "at_once"})
    sold = (await by_hand.post("/v1/recharges", json=a_recharge_body())).json()
    body = {"meter": OTHER_DRN, "token": sold["tokens"][0]["digits"]}
    told = (await by_hand.post("/v1/tokens/verify", json=body)).json()
    assert told["ours"] is None
    assert told["contents"]["problem"].startswith("crc_error")
    assert told["contents"]["mark"] is None
    assert told["contents"]["amount"] is None


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        ({"token": "123"}, 422, "malformed-token", "token"),
        ({"token": "9" * 20}, 422, "malformed-token", "token"),
        ({"token": str(3 << 27).zfill(20)}, 422, "malformed-token", "token"),
        ({"token": "abcd" * 5}, 422, "malformed-token", "token"),
        ({"token": 10203040506070809011}, 422, "invalid-request", "token"),
        ({"meter": OTHER_DRN}, 404, "unknown-meter", "meter"),
        ({"meter": "123"}, 422, "malformed-meter-number", "meter"),
    ],
)
async def test_garbage_is_no_token(office: Office, caller: Caller, body, status, kind, field):
    asked = {"meter": DRN, "token": "10203040506070809011"} | body
    answer = await caller.post("/v1/tokens/verify", json=asked)
    assert (answer.status_code, slug(answer)) == (status, kind)
    assert answer.json()["field"] == field
    assert kind in documented(office, "/v1/tokens/verify", status)
    assert not TWENTY.search(answer.text)


async def test_nobody_guesses_tokens_without_end(office: Office, caller: Caller):
    key = await office.key(Scope.ENGINEERING)
    async with office.with_key(key) as guesser:
        for number in range(200):
            body = {"meter": DRN, "token": str(number).zfill(20)}
            assert (await guesser.post("/v1/tokens/verify", json=body)).status_code == 200
        answer = await guesser.post("/v1/tokens/verify", json=body)
    assert (answer.status_code, slug(answer)) == (429, "too-many-guesses")
    assert int(answer.headers["Retry-After"]) > 0
    other = await caller.post("/v1/tokens/verify", json=body)
    assert other.status_code == 200


def documented(office: Office, path: str, status: int) -> set[str]:
    answer = office.app.openapi()["paths"][path]["post"]["responses"][str(status)]
    return set(answer["content"]["application/problem+json"]["examples"])
