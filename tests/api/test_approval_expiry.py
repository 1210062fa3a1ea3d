"""For how long a second person may approve is a setting, for orders, jobs and caps alike."""

import asyncio
import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from headend.api_keys import Scope
from headend.dangers import Danger
from tests.api.office import a_meter_body, a_settings, an_office
from tests.api.orders import ENGINEERING
from tests.api.test_harm import SUPPLY, an_opening, tightened, waiting
from tests.api.test_jobs import opening, post


async def test_an_approval_waits_as_long_as_the_settings_say(tmp_path: Path, empty_database: Path):
    shutil.copy(empty_database, tmp_path / "headend.db")
    async with an_office(a_settings(tmp_path, role="all", approvals_expire_h=1.5)) as office:
        caller = await office.caller()
        assert (await caller.post("/v1/meters", json=a_meter_body())).status_code == 201
        for danger in (Danger.OPEN_SUPPLY, Danger.CLEAR_CREDIT):
            await tightened(office, danger, per_key_hour=0)
        person, _ = await office.person("Ama Mensah")
        clerk = office.with_key(await office.key(*Scope, person=person))
        await waiting(office, an_opening(office, "o1"), clerk, SUPPLY)
        await waiting(office, {"id": "e1", "kind": "clear_credit", "value": 0}, clerk, ENGINEERING)
        _, other = await office.person("Kofi Boateng")
        loose = {"per_key_hour": 9, "per_key_day": 9, "per_group_hour": 9, "per_group_day": 9}
        assert (await other.put("/v1/caps/open_supply", json=loose)).status_code == 403
        assert (await post(clerk, opening(office))).status_code == 202
        (jobs,) = (work for work in office.head_end.works if work.name == "jobs")
        working = asyncio.ensure_future(jobs.run())
        told: list[dict[str, str]] = []
        async with asyncio.timeout(20):
            while len(told) < 4:
                await asyncio.sleep(0.05)
                told = (await other.get("/v1/approvals")).json()["items"]
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    assert sorted(one["subject"] for one in told) == ["caps", "job", "order", "order"]
    for one in told:
        asked, ends = (datetime.fromisoformat(one[name]) for name in ("created_at", "expires_at"))
        assert ends - asked == timedelta(hours=1.5)
