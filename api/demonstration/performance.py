"""The performance: the head-end serves, all stories are played, and everything is compared.

A Ctrl-C ends it at any moment, and whatever ends it, nothing is left behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from api.demonstration.backoffice import BackOffice, Unexpected
from api.demonstration.checking import Finding, check
from api.demonstration.house import House, furnished_house
from api.demonstration.playing import PATIENCE_S, Audience, Stage
from api.demonstration.scene import Scene, cast
from api.demonstration.stories import STORIES, Story
from api.serving import serve
from api.simulation import Control, Fleet

FALLBACK_AFTER_S = 4
CONNECT_S = 20.0

BeforeCheck = Callable[[Fleet], None]


class Front(Audience, Protocol):
    """The audience, which is also told of the house and of the result."""

    def prepared(self, house: House, scenes: Sequence[Scene]) -> None:
        """Everything runs; the sales begin."""

    def concluded(self, findings: Sequence[Finding]) -> None:
        """Everything was compared."""

    def stays_open(self, house: House) -> None:
        """It goes on until Ctrl-C."""


class Interrupted(Exception):
    """Somebody ended the performance before its end."""


async def perform(
    front: Front,
    *,
    stories: Sequence[Story] = STORIES,
    keep: bool = False,
    patience_s: float = PATIENCE_S,
    before_check: BeforeCheck | None = None,
) -> Sequence[Finding]:
    """Play the demonstration and say what came of each recharge.

    `keep` leaves it running after that, until a signal. `before_check` is called with the meters
    before they are compared; a story that has not ended after `patience_s` is compared as it is.
    Raises Interrupted, HeadendError, OSError.
    """
    async with furnished_house() as house:
        scenes = cast(house.fleet, stories)

        async def play() -> Sequence[Finding]:
            async with BackOffice(house.url, house.key) as office:
                await _open(house, office, scenes)
                front.prepared(house, scenes)
                await Stage(
                    office,
                    Control(house.fleet),
                    house.outbox,
                    audience=front,
                    patience_s=patience_s,
                ).play(scenes)
                await _look_once_more(office, scenes)
            if before_check is not None:
                before_check(house.fleet)
            findings = [check(scene) for scene in scenes]
            front.concluded(findings)
            return findings

        return await _while_serving(house, play, front if keep else None)


async def _open(house: House, office: BackOffice, scenes: Sequence[Scene]) -> None:
    await office.wait_until_open()
    try:
        async with asyncio.timeout(CONNECT_S):
            await house.fleet.connected()
    except TimeoutError:
        raise Unexpected(f"the gateways have no broker after {CONNECT_S:g} s") from None
    for sgc in sorted({scene.sgc for scene in scenes}):
        await office.set_times(sgc, fallback_after_s=FALLBACK_AFTER_S)


async def _look_once_more(office: BackOffice, scenes: Sequence[Scene]) -> None:
    """What has been told so far must still be true when everything has ended."""
    for scene in scenes:
        if scene.answer:
            scene.answer = await office.look(scene.recharge)


async def _while_serving(
    house: House, play: Callable[[], Awaitable[Sequence[Finding]]], keeper: Front | None
) -> Sequence[Finding]:
    """Play while the head-end serves; whichever ends or fails first, both have ended after."""
    stop = asyncio.Event()
    serving = asyncio.ensure_future(serve(house.head_end, house.settings, stop=stop))
    playing = asyncio.ensure_future(play())
    try:
        await asyncio.wait({serving, playing}, return_when=asyncio.FIRST_COMPLETED)
        if keeper is not None and playing.done() and not playing.exception():
            keeper.stays_open(house)
            await asyncio.wait({serving})
    finally:
        playing.cancel()
        stop.set()
        await asyncio.wait({serving, playing})
    if error := serving.exception():
        raise error
    if playing.cancelled():
        raise Interrupted
    return playing.result()
