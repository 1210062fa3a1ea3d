"""Races: two callers with one id at the same moment; the slower one finds what the faster one did.

Knows nothing of what is ordered.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

from headend.errors import Stale

P = ParamSpec("P")
T = TypeVar("T")
RACES = 5


def lost_races_again(
    order: Callable[P, Awaitable[T]],
) -> Callable[P, Coroutine[None, None, T]]:
    """Order anew from the start when it was Stale, so that it ends as a repeat does.

    After RACES lost races in a row the last Stale is raised.
    """

    @wraps(order)
    async def until_won(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(RACES - 1):
            try:
                return await order(*args, **kwargs)
            except Stale:
                continue
        return await order(*args, **kwargs)

    return until_won
