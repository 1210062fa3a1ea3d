"""Playing: every scene at once, each from its sale to its end or to the end of patience.

Knows the head-end only through REST, the customers through their messages, and the meters through
the switchboard of the simulated fleet.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from api.demonstration.backoffice import BackOffice, Unexpected
from api.demonstration.outbox import Outbox
from api.demonstration.scene import Scene
from api.demonstration.stories import Told
from api.simulation import Control

LOOK_EVERY_S = 0.25
POST_EVERY_S = 0.25
# Silence until fall-back, and then the longest pause that the head-end makes before it asks again.
PATIENCE_S = 45.0
# A customer reads the message, walks to the meter and types.
TYPING_S = 1.0


class Audience(Protocol):
    """Whom the progress is shown."""

    def happened(self, scene: Scene, text: str) -> None:
        """Something was done to a meter, or somebody was told something."""

    def moved(self, scene: Scene) -> None:
        """The recharge, as REST tells it, is not what it was."""


class Stage:
    """What all scenes share."""

    def __init__(
        self,
        office: BackOffice,
        control: Control,
        outbox: Outbox,
        *,
        audience: Audience,
        patience_s: float,
    ) -> None:
        self._patience_s = patience_s
        self._office = office
        self._control = control
        self._outbox = outbox
        self._audience = audience

    async def play(self, scenes: Sequence[Scene]) -> None:
        """Play all scenes; raises Unexpected."""
        for scene in scenes:
            if scene.story.fault is not None:
                self._obey(scene, scene.story.fault)
        async with asyncio.TaskGroup() as group:
            for scene in scenes:
                await asyncio.sleep(POST_EVERY_S)
                group.create_task(self._one(scene), name=f"scene {scene.drn}")

    async def _one(self, scene: Scene) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._sell(scene)
                await self._watch(scene)
        except TimeoutError:
            self._audience.happened(scene, f"not at its end after {self._patience_s:g} s")
        except Unexpected as error:
            scene.broken = str(error)
            self._audience.happened(scene, scene.broken)

    async def _sell(self, scene: Scene) -> None:
        order = scene.order()
        scene.answer = await self._office.sell(order)
        self._audience.happened(scene, f"{scene.story.value} {scene.story.unit} posted")
        if scene.story.posted_twice:
            again = await self._office.sell(order)
            same = "the same recharge" if again["id"] == scene.answer["id"] else "another recharge"
            self._audience.happened(scene, f"posted again: {same}")
        self._audience.moved(scene)

    async def _watch(self, scene: Scene) -> None:
        """Look at the recharge until its story has ended, and go on with the story meanwhile."""
        coming = list(scene.story.once_told)
        while not scene.ended():
            await asyncio.sleep(LOOK_EVERY_S)
            answer = await self._office.look(scene.recharge)
            changed, scene.answer = answer != scene.answer, answer
            if changed:
                self._audience.moved(scene)
            self._hear(scene)
            if coming and Told.DIGITS in scene.told:
                await asyncio.sleep(TYPING_S)
                self._obey(scene, coming.pop(0))

    def _hear(self, scene: Scene) -> None:
        told = self._outbox.told(scene.customer)
        for news in sorted(told - scene.told):
            self._audience.happened(scene, f"customer is told: {news.words}")
        scene.told = told

    def _obey(self, scene: Scene, words: str) -> None:
        """Do what the story says, and show it without the digits; raises Unexpected."""
        typed = "{digits}" in words
        digits = self._outbox.digits(scene.customer) if typed else None
        answer = self._control.obey(words.format(drn=scene.drn, digits=digits))
        if not answer.ok:
            raise Unexpected(f"the simulated fleet: {answer.text}")
        who = "customer types the digits" if typed else "meter"
        self._audience.happened(scene, f"{who}: {answer.text}")
