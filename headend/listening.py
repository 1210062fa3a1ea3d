"""Listening: what meters say unasked is taken in, and acknowledged after the commit."""

import asyncio
from collections.abc import Sequence

from headend.errors import Stale, StoreDown
from headend.intake import Intake
from headend.ports import Listener, Notice

# Somebody else wrote to the same rows: read them again. More often than this is a bug.
TRIES = 5
STORE_PAUSE_S = 1.0


async def listen(listener: Listener, intake: Intake) -> None:
    """Take notices in, batch by batch, until cancelled; nothing is acknowledged unwritten."""
    async for batch in listener.notices():
        await _take(batch, intake)


async def _take(batch: Sequence[Notice], intake: Intake) -> None:
    """One commit for the batch; if rows clash, one for each notice."""
    try:
        await _accepted(batch, intake)
    except Stale:
        for notice in batch:
            await _accepted((notice,), intake, tries=TRIES)


async def _accepted(batch: Sequence[Notice], intake: Intake, *, tries: int = 1) -> None:
    reports = [notice.report for notice in batch]
    while True:
        try:
            await intake.accept(reports)
            break
        except StoreDown:
            await asyncio.sleep(STORE_PAUSE_S)
        except Stale:
            tries -= 1
            if tries <= 0:
                raise
    for notice in batch:
        notice.done()
