"""The same interface on the production database: what depends on it most."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.store.migrate import migrate
from tests.api.office import (
    DRN,
    SGC,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    a_settings,
    an_office,
    slug,
)


@pytest.fixture
async def office(tmp_path: Path, postgres_url: str) -> AsyncIterator[Office]:
    await migrate(postgres_url)
    async with an_office(a_settings(tmp_path, database_url=postgres_url)) as office:
        yield office


@pytest.fixture
async def caller(office: Office) -> Caller:
    caller = await office.caller()
    assert (await caller.post("/v1/meters", json=a_meter_body())).status_code == 201
    return caller


async def test_many_callers_with_one_id_at_once_sell_once(office: Office, caller: Caller):
    answers = await asyncio.gather(
        *(caller.post("/v1/recharges", json=a_recharge_body()) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["tokens"][0]["masked"] for answer in answers}) == 1
    assert len(await office.recharges()) == 1


async def test_many_sales_of_one_meter_at_once_are_all_sold(office: Office, caller: Caller):
    answers = await asyncio.gather(
        *(caller.post("/v1/recharges", json=a_recharge_body(f"s{n}")) for n in range(12))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["tokens"][0]["masked"] for answer in answers}) == 12
    tids = sorted(recharge.tid or 0 for recharge in await office.recharges())
    assert len(set(tids)) == 12


async def test_of_many_patches_of_one_version_one_wins(caller: Caller):
    answers = await asyncio.gather(
        *(
            caller.patch(
                f"/v1/meters/{DRN}",
                json={"route": {"address": str(number)}},
                headers={"If-Match": '"1"'},
            )
            for number in range(1, 11)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9


async def test_pages_and_policies_are_as_on_sqlite(caller: Caller):
    group = {"limit_per_day": "1000.5", "reveal_at": {"hall": "at_once"}}
    put = await caller.put(f"/v1/supply-groups/{SGC}", json=group)
    assert put.status_code == 201
    assert (await caller.get(f"/v1/supply-groups/{SGC}")).json()["limit_per_day"] == "1000.5"
    for number in range(3):
        await caller.post("/v1/recharges", json=a_recharge_body(f"s{number}"))
    page = (await caller.get("/v1/recharges?limit=2")).json()
    rest = (await caller.get(f"/v1/recharges?limit=2&cursor={page['next']}")).json()
    assert [one["id"] for one in page["items"] + rest["items"]] == ["s2", "s1", "s0"]
    assert slug(await caller.get("/v1/recharges?cursor=x")) == "malformed-order"


@pytest.mark.parametrize("text", ["\x00", "\ud800", "a\nb"])
async def test_text_that_the_database_cannot_keep_never_reaches_it(caller: Caller, text: str):
    headers = {"Content-Type": "application/json"}
    for verb, path, body in [
        ("POST", "/v1/recharges", a_recharge_body(reference=text)),
        ("PUT", "/v1/usage-points/p", {"name": text}),
    ]:
        content = json.dumps(body).encode()
        answer = await caller.request(verb, path, content=content, headers=headers)
        assert slug(answer) == "invalid-request"
