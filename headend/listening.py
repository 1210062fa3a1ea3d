"""Listening: what meters say unasked is taken in, and acknowledged after the commit."""

import asyncio
from collections.abc import Sequence

from headend.errors import Stale, StoreDown
from headend.intake import Intake
from headend.ports import Listener, Notice

# Somebody else wrote to the same rows: read them again, for as long as it takes.
CLASH_PAUSE_S = 0.05
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
            await _accepted((notice,), intake)


async def _accepted(batch: Sequence[Notice], intake: Intake) -> None:
    reports = [notice.report for notice in batch]
    while True:
        try:
            await intake.accept(reports)
            break
        except StoreDown:
            await asyncio.sleep(STORE_PAUSE_S)
        except Stale:
            if len(batch) > 1:
                raise
            await asyncio.sleep(CLASH_PAUSE_S)
    for notice in batch:
        notice.done()
