"""An office whose head-end serves on a real port, in this very loop, and posts its events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from api.serving import serve
from headend.api_keys import Scope
from headend.outbox import announce
from tests.api.office import TENANT, Office, a_settings, an_office
from tests.api.running import answers
from tests.builders import an_announcement
from tests.servers.process import free_port


@dataclass
class Running:
    """A head-end that serves, and how to listen to it."""

    office: Office
    url: str
    key: str
    stop: asyncio.Event

    def client(self, key: str | None = None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=20)

    async def say(self, *drns: str, tenant=TENANT, at=None) -> None:
        at = at or self.office.head_end.clock.now()
        async with self.office.head_end.store.begin() as tx:
            said = [an_announcement(tenant=tenant, drn=drn, at=at) for drn in drns]
            await announce(tx, *said)

    async def ordered(self, count: int) -> None:
        """Wait until so many have their place in the stream."""
        while True:
            async with self.office.head_end.store.look() as tx:
                if (await tx.outbox.span()).newest >= count:
                    return
            await asyncio.sleep(0.02)

    async def prune(self) -> None:
        async with self.office.head_end.store.begin() as tx:
            now = self.office.head_end.clock.now()
            await tx.outbox.prune(before=now - timedelta(days=30), limit=1000)


@asynccontextmanager
async def a_running_head_end(folder: Path, **more: Any) -> AsyncIterator[Running]:
    port, stop = free_port(), asyncio.Event()
    settings = a_settings(folder, role="all", buses={}, listen={"port": port}, **more)
    async with an_office(settings) as office:
        serving = asyncio.create_task(serve(office.head_end, settings, stop=stop))
        while not await answers(port):
            assert not serving.done(), serving
            await asyncio.sleep(0.02)
        url = f"http://127.0.0.1:{port}"
        try:
            yield Running(office, url, await office.key(*Scope), stop)
        finally:
            stop.set()
            async with asyncio.timeout(15):
                await serving
