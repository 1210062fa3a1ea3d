"""A head-end that serves on a real port, in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.serving import serve
from headend.api_keys import Scope
from tests.api.office import Office, a_meter_body, a_settings, an_office
from tests.api.orders import add_second_key
from tests.servers.process import free_port

START_S = 20


@contextmanager
def a_running_head_end(folder: Path, **more: Any) -> Iterator[tuple[str, str]]:
    """Its URL, and a key with every scope; it has one meter."""
    port = free_port()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()
    keys: list[str] = []

    async def run() -> None:
        settings = a_settings(folder, listen={"port": port}, **more)
        async with an_office(settings) as office:
            keys.append(await prepared(office))
            async with asyncio.TaskGroup() as group:
                group.create_task(serve(office.head_end, settings, stop=stop))
                while not await answers(port):
                    await asyncio.sleep(0.02)
                ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(START_S), "the head-end did not start"
        yield f"http://127.0.0.1:{port}", keys[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        assert not thread.is_alive(), "the head-end did not stop"
        loop.close()


async def prepared(office: Office) -> str:
    await add_second_key(office)
    caller = await office.caller()
    answer = await caller.post("/v1/meters", json=a_meter_body())
    assert answer.status_code == 201
    return await office.key(*Scope)


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
