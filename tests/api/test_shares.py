"""Files of jobs in memory: so many at once for a key, so many for a process, given back always."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.jobs_file import FILES_AT_ONCE_OF_KEY
from headend.job_desk import JobDesk
from tests.api.office import DRN, Caller, Office, slug
from tests.api.test_jobs import CSV

FILE = f"do,meter\nclock,{DRN}\n".encode()


def slow(go_on: asyncio.Event) -> AsyncIterator[bytes]:
    async def parts() -> AsyncIterator[bytes]:
        yield FILE
        await go_on.wait()

    return parts()


async def send(caller: Caller, ident: str, content: Any) -> Any:
    return await caller.post(f"/v1/jobs?id={ident}", content=content, headers=CSV)


async def until_held(office: Office, many: int) -> None:
    async with asyncio.timeout(20):
        while office.head_end.job_files.held != many:
            await asyncio.sleep(0.01)


async def test_so_many_files_are_taken_in_at_once_and_then_there_is_room_again(
    office: Office, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(office.head_end.job_files, "_most", FILES_AT_ONCE_OF_KEY + 1)
    go_on, other, third = asyncio.Event(), await office.caller(), await office.caller()
    sending = [
        asyncio.create_task(send(caller, f"c{number}", slow(go_on)))
        for number in range(FILES_AT_ONCE_OF_KEY)
    ]
    await until_held(office, FILES_AT_ONCE_OF_KEY)
    mine = await send(caller, "one-more", FILE)
    assert (mine.status_code, slug(mine)) == (429, "too-many-at-once")
    assert int(mine.headers["Retry-After"]) < 60
    sending.append(asyncio.create_task(send(other, "other", slow(go_on))))
    await until_held(office, FILES_AT_ONCE_OF_KEY + 1)
    full = await send(third, "third", FILE)
    assert (full.status_code, slug(full)) == (503, "too-busy")
    assert int(full.headers["Retry-After"]) > 0
    assert (await third.get("/v1/jobs")).status_code == 200  # all else is answered
    go_on.set()
    assert {answer.status_code for answer in await asyncio.gather(*sending)} == {202}
    assert office.head_end.job_files.held == 0
    assert (await send(third, "third", FILE)).status_code == 202
    refused = await send(third, "bad", b"nothing")
    assert slug(refused) == "job-file-refused"
    assert office.head_end.job_files.held == 0


async def test_a_file_counts_until_it_is_stored_although_its_caller_has_left(
    office: Office, caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    go_on, submit = asyncio.Event(), JobDesk.submit

    async def storing(self: JobDesk, *what: Any) -> Any:
        await go_on.wait()
        return await submit(self, *what)

    monkeypatch.setattr(JobDesk, "submit", storing)
    leaving = asyncio.create_task(send(caller, "left", FILE))
    async with asyncio.timeout(20):
        while not office.head_end.writes.running:
            await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert office.head_end.job_files.held == 1
    go_on.set()
    await until_held(office, 0)
    assert (await caller.get("/v1/jobs/left")).json()["size"] == 1
