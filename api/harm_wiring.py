"""Wiring of what bounds harm: the desks where people decide, and the works that follow."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from api.head_end import Work
from headend.approval_desk import ApprovalDesk
from headend.command_desk import CommandDesk
from headend.errors import Stale, StoreDown
from headend.harm_watch import HarmWatch
from headend.key_desk import KeyDesk
from headend.ports import Chance, Clock
from headend.store import Store

# Approved orders are carried out at once; this is for those that a crash or a module held up.
FOLLOW_UP_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class HarmBounds:
    """The desk of approvals, and what runs for them where the wires are served."""

    approvals: ApprovalDesk
    works: Sequence[Work]


def open_harm_bounds(
    store: Store, commands: CommandDesk, keys: KeyDesk, *, clock: Clock, chance: Chance
) -> HarmBounds:
    """Put it together; nothing runs yet."""
    approvals = ApprovalDesk(store, commands, keys, clock=clock)
    watch = HarmWatch(store, clock=clock, chance=chance)
    return HarmBounds(
        approvals=approvals,
        works=[
            Work("approvals", partial(_follow_up, approvals)),
            Work("harm watch", watch.serve),
        ],
    )


async def _follow_up(approvals: ApprovalDesk) -> None:
    while True:
        with suppress(Stale, StoreDown):
            await approvals.finish_approved()
        await asyncio.sleep(FOLLOW_UP_EVERY_S)
