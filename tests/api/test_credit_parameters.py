"""Orders of credit parameters over REST: their form, their caps, and what is told of them."""

from typing import Any

import pytest

from headend.audit import AuditAction
from headend.dangers import SAFE, Danger
from tests.api.office import DRN, OTHER_DRN, Caller, Office, a_meter_body, slug
from tests.api.test_harm import audited, tightened, waiting

PATH = f"/v1/meters/{DRN}/credit-parameters"


def a_warning(ident: str = "p1", **more: Any) -> dict[str, Any]:
    return {"id": ident, "unit": "kWh", "low_credit_1": "20", **more}


def a_limit(ident: str = "l1", **more: Any) -> dict[str, Any]:
    return {"id": ident, "power_limit_w": 6000, **more}


async def test_an_order_is_taken_once_and_told(caller: Caller):
    first = await caller.post(PATH, json=a_warning(reconnect_credit="5.50"))
    assert first.status_code == 202, first.text
    assert first.headers["Location"] == "/v1/deliveries/p1"
    command = first.json()["command"]
    assert command["kind"] == "set_credit_parameters"
    named = {name: value for name, value in command["parameters"].items() if value is not None}
    assert named == {"unit": "kWh", "low_credit_1": "20", "reconnect_credit": "5.50"}
    again = await caller.post(PATH, json=a_warning(reconnect_credit="5.50"))
    assert (again.status_code, again.json()["id"]) == (200, "p1")
    assert slug(await caller.post(PATH, json=a_warning())) == "order-differs"


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        ({"id": "x"}, "malformed-order", "id"),
        ({"id": "x", "low_credit_1": "20"}, "wrong-unit", "unit"),
        (a_warning(unit="ZAR"), "wrong-unit", "unit"),
        (a_warning(power_limit_w=1), "malformed-order", "power_limit_w"),
        (a_warning(low_credit_1="-1"), "invalid-request", "low_credit_1"),
        (a_warning(low_credit_1="1e9"), "invalid-request", "low_credit_1"),
        (a_warning(overdraft=5), "invalid-request", "overdraft"),
        (a_limit(power_limit_w=-1), "invalid-request", "power_limit_w"),
        (a_limit(power_limit_w=2**32), "invalid-request", "power_limit_w"),
        (a_limit(low_credit="1"), "invalid-request", "low_credit"),
    ],
)
async def test_a_bad_order_is_not_kept(caller: Caller, body: dict[str, Any], kind: str, field: str):
    answer = await caller.post(PATH, json=body)
    assert (slug(answer), answer.json()["field"]) == (kind, field)
    assert slug(await caller.get(f"/v1/deliveries/{body['id']}")) == "unknown-delivery"


async def test_a_model_without_them_is_refused_by_their_names(caller: Caller):
    await caller.post("/v1/meters", json=a_meter_body(OTHER_DRN, profile="eastron-sdm630"))
    answer = await caller.post(f"/v1/meters/{OTHER_DRN}/credit-parameters", json=a_limit())
    assert slug(answer) == "command-unsupported"
    assert "has no power_limit_w" in answer.json()["detail"]


async def test_power_limits_are_capped_and_warnings_are_not(caller: Caller):
    cap = SAFE[Danger.POWER_LIMIT].per_key_hour
    for number in range(cap):
        assert (await caller.post(PATH, json=a_limit(f"l{number}"))).status_code == 202
    answer = await caller.post(PATH, json=a_limit("one-too-many"))
    assert (answer.status_code, slug(answer)) == (429, "cap-reached")
    for number in range(cap + 1):
        assert (await caller.post(PATH, json=a_warning(f"w{number}"))).status_code == 202


async def test_above_the_cap_a_second_person_approves_and_it_is_carried_out(
    office: Office, caller: Caller
):
    await tightened(office, Danger.METER_CONTROL)
    person, _ = await office.person("Ama Mensah")
    named = {"requested_by": person}
    first = a_warning("c0", emergency_credit="1", **named)
    assert (await caller.post(PATH, json=first)).status_code == 202
    order = a_warning("c1", emergency_credit="2", **named)
    approval = await waiting(office, order, caller, PATH)
    _, other = await office.person("Kofi Boateng")
    (listed,) = (await other.get("/v1/approvals?state=waiting")).json()["items"]
    assert listed["command"]["parameters"]["emergency_credit"] == "2"
    answer = await other.post(f"/v1/approvals/{approval}/approval")
    assert (answer.status_code, answer.json()["state"]) == (200, "carried_out"), answer.text
    assert (await caller.get("/v1/deliveries/c1")).json()["state"] == "waiting"
    ordered = await audited(office, AuditAction.ORDERED)
    assert "low_credit_1 20 emergency_credit 2 unit kWh" in {
        entry.about["what"] for entry in ordered
    }
