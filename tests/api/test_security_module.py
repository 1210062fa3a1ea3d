"""A head-end whose keys lie in a PrismToken: sales, health and metrics, over REST and real TLS."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.vault.key_import import check_value
from api.wiring import head_end
from headend.errors import ModuleDown
from headend.recharges import RechargeState
from protocols.sts.keys import VendingKey
from protocols.sts.tables import BaseDate, Dkga
from tests.adapters.vault.prism_token import (
    PASSWORD,
    REALM,
    USERNAME,
    Authority,
    PrismTokenServer,
)
from tests.api.office import (
    SGC,
    TENANT,
    VENDING_KEY,
    Caller,
    Office,
    a_meter_body,
    a_recharge_body,
    a_settings,
    slug,
)
from tests.api.orders import ENGINEERING
from tests.builders import a_drn

MODULE_KEY = VendingKey(
    bytes.fromhex(VENDING_KEY), dkga=Dkga.HMAC_SHA_256, sgc=int(SGC), krn=1,
    base_date=BaseDate.Y2014, ken=255,
)  # fmt: skip


@dataclass
class Branch:
    """An office whose keys lie in the module, and a caller of it with one meter."""

    office: Office
    caller: Caller
    module: PrismTokenServer
    authority: Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("pki"), "ours")


@pytest.fixture
async def branch(
    tmp_path: Path,
    empty_database: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Branch]:
    monkeypatch.setenv("HEADEND_PRISM_PASSWORD", PASSWORD)
    shutil.copy(empty_database, tmp_path / "headend.db")
    module = PrismTokenServer(keys={(int(SGC), 1): MODULE_KEY})
    async with running(module, authority):
        pass  # it has a port now, and is down
    settings = a_settings(tmp_path, security_module=_settings(module, authority))
    async with head_end(settings) as head:
        office = Office(settings, head)
        async with head.store.begin() as tx:
            await tx.tenants.ensure(TENANT, head.clock.now())
        caller = await office.caller()
        answer = await caller.post("/v1/meters", json=a_meter_body())
        assert answer.status_code == 201, answer.text
        yield Branch(office, caller, module, authority)
        await head.writes.settle()
    assert not (tmp_path / "master.key").exists()


@asynccontextmanager
async def running(module: PrismTokenServer, authority: Authority) -> AsyncIterator[None]:
    async with module.run(authority.serve_as("localhost")):
        yield


def _settings(module: PrismTokenServer, authority: Authority) -> dict[str, object]:
    key = {
        "tenant": TENANT, "sgc": SGC, "krn": 1, "key_type": 2, "base_date": 2014, "ken": 255,
        "dkga": 4, "check_value": check_value(MODULE_KEY),
    }  # fmt: skip
    return {
        "host": "localhost", "port": module.port, "ca_file": authority.file, "realm": REALM,
        "username": USERNAME, "keys": [key],
    }  # fmt: skip


async def test_a_sale_is_made_by_the_module(branch: Branch):
    async with running(branch.module, branch.authority):
        answer = await branch.caller.post("/v1/recharges", json=a_recharge_body())
    assert answer.status_code == 201, answer.text
    [recharge] = await branch.office.recharges()
    [(_, made)] = branch.module.made
    async with branch.office.head_end.store.look() as tx:
        delivery = await tx.deliveries.of("sale-1", TENANT)
        assert delivery is not None
        [token] = await tx.tokens.of(delivery.id, TENANT)
    assert (recharge.tid, token.digits, token.tid) == (None, made.tokenDec, made.tid)


async def test_a_module_that_is_down_delays_the_sale_and_loses_nothing(branch: Branch):
    answer = await branch.caller.post("/v1/recharges", json=a_recharge_body())
    assert answer.status_code == 201, answer.text
    [recharge] = await branch.office.recharges()
    assert recharge.state is RechargeState.OPEN
    async with running(branch.module, branch.authority):
        await asyncio.sleep(2.1)  # as long as nobody tries a module that was down
        again = await branch.caller.post("/v1/recharges", json=a_recharge_body())
        assert again.status_code == 200
    [recharge] = await branch.office.recharges()
    assert recharge.state is not RechargeState.OPEN
    assert len(branch.module.made) == 1


async def test_whether_it_can_vend_the_module_says(branch: Branch):
    down = await branch.caller.get("/v1/health/can-vend")
    assert down.status_code == 503
    assert "cannot be reached" in down.json()["because"][0]
    async with running(branch.module, branch.authority):
        await asyncio.sleep(2.1)
        up = await branch.caller.get("/v1/health/can-vend")
    assert (up.status_code, up.json()["ok"]) == (200, True)


async def test_the_ends_of_its_keys_are_metrics(branch: Branch):
    text = (await branch.caller.get("/metrics")).text
    name = "headend_vending_key_expires_timestamp_seconds"
    found = re.search(rf'{name}{{krn="1",sgc="{SGC}",tenant="{TENANT}"}} (\S+)', text)
    assert found, text
    assert float(found[1]) == 2395167300  # 2045-11-24 20:15 UTC, the last minute of base 2014


async def test_closing_the_head_end_closes_its_connections(branch: Branch):
    async with running(branch.module, branch.authority):
        async with head_end(branch.office.settings) as second:
            assert not await second.vending.ring.obstacles(TENANT, now=second.clock.now())
            assert branch.module.connections
        async with asyncio.timeout(2):
            while branch.module.connections:
                await asyncio.sleep(0.01)


async def test_another_order_under_the_id_of_one_that_the_module_delayed_is_a_contradiction(
    branch: Branch,
):
    path = ENGINEERING
    limit = {"id": "m1", "kind": "power_limit", "value": 6000}
    down = await branch.caller.post(path, json=limit)
    assert slug(down) == "security-module-down"
    await branch.caller.post("/v1/recharges", json=a_recharge_body())
    async with running(branch.module, branch.authority):
        await asyncio.sleep(2.1)
        dearer = a_recharge_body(amount={"kind": "units", "value": "99", "unit": "kWh"})
        for answer in (
            await branch.caller.post(path, json=limit | {"value": 9000}),
            await branch.caller.post(path, json=limit | {"kind": "clear_credit", "value": 0}),
            await branch.caller.post("/v1/recharges", json=dearer),
        ):
            assert answer.status_code == 409, answer.text
            assert slug(answer) in ("order-differs", "recharge-differs")
        assert branch.module.made == []
        assert (await branch.caller.post(path, json=limit)).status_code == 201
    assert len(branch.module.made) == 1


async def test_digits_made_for_an_order_whose_answer_was_lost_go_to_no_other_order(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
):
    """One that is counted nowhere, so that nothing of it was stored."""
    path = ENGINEERING
    module = branch.office.head_end.vending.module
    issue = type(module).issue

    async def lost(*what: Any, **more: Any) -> Any:
        await issue(*what, **more)
        raise ModuleDown("its answer was lost")

    async with running(branch.module, branch.authority):
        with monkeypatch.context() as losing:
            losing.setattr(type(module), "issue", lost)
            answer = await branch.caller.post(path, json={"id": "m1", "kind": "clear_tamper"})
            assert slug(answer) == "security-module-down"
        other = a_drn(2)
        body = a_meter_body(other, route={"bus": "line-1", "address": "18"})
        assert (await branch.caller.post("/v1/meters", json=body)).status_code == 201
        again = await branch.caller.post(
            f"/v1/meters/{other}/engineering", json={"id": "m1", "kind": "clear_tamper"}
        )
        assert again.status_code == 201, again.text
    assert len(branch.module.made) == 2
