"""Pollers: who reads the meters of one bus when due, and their past days behind everybody else.

A poll is over with the meter's present; its past days are read after it, in conversations of their
own that take no poll's place.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from headend.agenda import Urgency
from headend.answering import note_answer
from headend.bus_ports import CONVERSATION_S, BusPorts
from headend.errors import Resting, Stale, StoreDown
from headend.logbooks import Known, known_of
from headend.looking import look, look_back, looking_since, questions
from headend.meters import BusName, Drn, Meter, TenantId
from headend.polling import Poll, due_again
from headend.ports import Driver

POLL_AGAIN_S = 120.0
# Sixty days of one meter, behind everybody else on a slow line.
PAST_DAYS_S = 600.0


class Poller:
    """Polls at most `slots` meters of a bus at once, and beside them reads as many logbooks."""

    def __init__(
        self,
        bus: BusName,
        *,
        slots: int,
        driver: Driver,
        ports: BusPorts,
        wake: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._slots = slots
        self._driver = driver
        self._ports = ports
        self._wake = wake
        self._polls = 0
        # In the order of asking: of a thousand meters at midnight each has its turn.
        self._past = asyncio.Semaphore(slots)
        self._reading_past: set[tuple[TenantId, Drn]] = set()
        self._pasts: set[asyncio.Task[None]] = set()
        self._working = asyncio.Event()
        self._working.set()

    @property
    def busy(self) -> bool:
        """A conversation is under way."""
        return bool(self._polls or self._pasts)

    def rest(self, resting: bool) -> None:
        """While it rests past days are not asked for, and `start` is not called.

        Those that are being asked for are cut short: they take long, and the next poll goes on.
        """
        if resting:
            self._working.clear()
            for task in self._pasts:
                task.cancel()
        else:
            self._working.set()

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin what is due, as far as there are slots. Raises Stale, StoreDown."""
        if free := self._slots - self._polls:
            for poll, meter in await self._take(free):
                self._polls += 1
                group.create_task(self._poll(group, poll, meter), name=f"poll {poll.drn}")

    async def _take(self, limit: int) -> Sequence[tuple[Poll, Meter]]:
        now = self._ports.clock.now()
        async with self._ports.store.look() as tx:
            due = await tx.polls.next_due(self._bus)
        if due is None or due > now:
            return ()
        async with self._ports.store.begin() as tx:
            until = now + timedelta(seconds=POLL_AGAIN_S)
            return await tx.polls.take_due(self._bus, now=now, until=until, limit=limit)

    async def _poll(self, group: asyncio.TaskGroup, poll: Poll, meter: Meter) -> None:
        try:
            if known := await self._look(poll, meter):
                self._start_past(group, meter, known)
        except Resting as resting:
            with suppress(Stale, StoreDown):
                await self._poll_again(poll, answered=False, rest_s=resting.again_s)
        except (Stale, StoreDown):
            pass  # due again after POLL_AGAIN_S
        finally:
            self._polls -= 1
            self._wake()

    async def _look(self, poll: Poll, meter: Meter) -> Known | None:
        """What is known of its logbooks if it answered, None if it did not."""
        now, can = self._ports.clock.now(), self._driver.capabilities(meter.profile)
        async with self._ports.store.look() as tx:
            asked = await questions(tx, meter.tenant, meter.drn, now=now)
            known = await known_of(tx, meter, can, now=now)
            since = await looking_since(tx, meter.tenant, meter.drn)
        reports = await look(
            self._driver,
            meter,
            asked,
            known=known,
            clock=self._ports.clock,
            within_s=CONVERSATION_S,
            # Somebody has paid and waits for light, or for an outcome.
            urgency=Urgency.READING if since is None else Urgency.SUPPLY,
        )
        await self._ports.intake.accept(reports)
        answered = any(report.alive for report in reports)
        if not answered:
            await self._ports.intake.unanswered(asked, asked_at=now)
        await self._poll_again(poll, answered=answered)
        return known if answered else None

    async def _poll_again(self, poll: Poll, *, answered: bool, rest_s: float | None = None) -> None:
        now = self._ports.clock.now()
        async with self._ports.store.begin() as tx:
            meter = await tx.meters.find(poll.tenant, poll.drn)
            if meter is None or meter.route is None or meter.route.bus != poll.bus:
                return
            await note_answer(tx, poll.tenant, poll.drn, answered=answered, now=now)
            since = await looking_since(tx, poll.tenant, poll.drn)
            again = due_again(poll, now=now, answered=answered, looking_since=since, rest_s=rest_s)
            await tx.polls.put(again)

    # --- past days -----------------------------------------------------------------------------

    def _start_past(self, group: asyncio.TaskGroup, meter: Meter, known: Known) -> None:
        place = (meter.tenant, meter.drn)
        if known.day_due and place not in self._reading_past:
            self._reading_past.add(place)
            group.create_task(self._read_past(meter, known), name=f"history {meter.drn}")

    async def _read_past(self, meter: Meter, known: Known) -> None:
        try:
            async with self._past:
                await self._working.wait()
                await self._ask_past(meter, known)
        except (Stale, StoreDown):
            pass  # due again at the next poll
        finally:
            self._reading_past.discard((meter.tenant, meter.drn))

    async def _ask_past(self, meter: Meter, known: Known) -> None:
        ours = asyncio.current_task()
        assert ours is not None
        self._pasts.add(ours)
        try:
            reports = await look_back(
                self._driver, meter, known, clock=self._ports.clock, within_s=PAST_DAYS_S
            )
        finally:
            self._pasts.discard(ours)
        await self._ports.intake.accept(reports)
