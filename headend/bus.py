"""Bus: a medium that meters share, and the loop that takes up what is due on it.

One dispatcher a bus; at most `slots` commands of each urgency at once, and beside them as many
polls, so that nobody ever waits for the conversation of somebody less urgent to end. Which of the
conversations has a shared line at any moment its owner decides, by their urgency. An expected error
becomes a fact; a programming error ends the process, and the lease brings the work back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from headend.agenda import Urgency
from headend.answering import answer_in, note_answer
from headend.bus_ports import CONVERSATION_S, LOOK_EVERY_S, BusPorts
from headend.commands import needs
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.errors import Stale, StoreDown
from headend.last_looks import last_look
from headend.lending import Lender
from headend.meters import BusName, TenantId
from headend.outcomes import Outcome, attempt_of, write_outcome
from headend.performing import Attempting, Sold, perform
from headend.pollers import Poller
from headend.ports import Driver
from headend.store import Leased
from headend.used_tokens import whose_was_used

LEASE_S = CONVERSATION_S + 15.0
_Lease: TypeAlias = tuple[TenantId, str, str | None]
TAKE_BACK_BATCH = 100
STORE_PAUSE_S = 2.0
FINISH_S = 5.0


class Bus:
    """Takes turns on one medium until cancelled."""

    def __init__(
        self,
        name: BusName,
        *,
        slots: int,
        driver: Driver,
        ports: BusPorts,
        lender: Lender | None = None,
    ) -> None:
        assert slots >= 1
        self.name = name
        self._slots = slots
        self._driver = driver
        self._ports = ports
        self._lender = lender
        self._woken = asyncio.Event()
        # By lease: one that has lapsed may be taken again while its first try still hangs.
        self._sending: dict[_Lease, int] = {}
        self._poller = Poller(name, slots=slots, driver=driver, ports=ports, wake=self.wake)

    def wake(self) -> None:
        """There may be work: look now."""
        self._woken.set()

    async def serve(self) -> None:
        """Take turns for ever; on cancellation conversations end and their leases are released."""
        await self._take_back()
        doubt = False
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                try:
                    if doubt:
                        await self._take_back()
                    if await self._lent():
                        pause_s, doubt = LOOK_EVERY_S, False
                    else:
                        await self._start_jobs(group)
                        pause_s, doubt = await self._pause_s(), False
                except Stale:
                    pause_s = STORE_PAUSE_S
                except StoreDown:
                    # What we took may be ours although we were not told.
                    pause_s, doubt = STORE_PAUSE_S, True
                await self._sleep(pause_s)

    async def _take_back(self) -> None:
        """What is SENDING, but not by us, counts as no answer, at once: its process died.

        A bus has one owner. Should another still be alive, what its meters say counts all the same.
        """
        left = True
        while left:
            try:
                left = await self._take_back_some()
            except (Stale, StoreDown):
                await asyncio.sleep(STORE_PAUSE_S)

    async def _take_back_some(self) -> bool:
        now = self._ports.clock.now()
        async with self._ports.store.begin() as tx:
            limit = TAKE_BACK_BATCH + len(self._sending)
            found = await tx.deliveries.sending(self.name, limit=limit)
            left = [one for one in found if _lease(one) not in self._sending]
            for delivery in left:
                await write_outcome(
                    tx,
                    delivery,
                    Outcome(fact=Fact.NO_ANSWER, detail="its process ended"),
                    now=now,
                    spread=self._ports.chance.spread(),
                    started_at=delivery.changed_at,
                )
        return bool(left)

    async def _lent(self) -> bool:
        """Somebody else has the line, or waits for us to let go of it."""
        if self._lender is None:
            return False
        lent = await self._lender.lent(busy=bool(self._sending) or self._poller.busy)
        self._poller.rest(lent)
        return lent

    async def _start_jobs(self, group: asyncio.TaskGroup) -> None:
        now = self._ports.clock.now()
        for priority, due in sorted((await self._due()).items()):
            if due <= now:
                for job in await self._take_commands(priority):
                    self._sending[_lease(job.delivery)] = priority
                    group.create_task(self._command(job), name=f"delivery {job.delivery.id}")
        await self._poller.start(group)

    async def _due(self) -> Mapping[int, datetime]:
        """When the next command wants to be sent, for each priority that has a slot to spare."""
        if not any(map(self._free, Urgency)):
            return {}  # a slot that frees wakes us
        async with self._ports.store.look() as tx:
            due = await tx.deliveries.next_due(self.name, now=self._ports.clock.now())
        return {priority: at for priority, at in due.items() if self._free(priority)}

    def _free(self, priority: int) -> int:
        return self._slots - sum(taken == priority for taken in self._sending.values())

    async def _take_commands(self, priority: int) -> Sequence[Leased]:
        now = self._ports.clock.now()
        async with self._ports.store.begin() as tx:
            return await tx.deliveries.take_next(
                self.name,
                priorities=(priority,),
                now=now,
                lease_id=self._ports.chance.ident(now),
                lease_until=now + timedelta(seconds=LEASE_S),
                limit=self._free(priority),
            )

    async def _pause_s(self) -> float:
        """How long nothing is due, as far as this process knows."""
        due = min((await self._due()).values(), default=None)
        if due is None:
            return LOOK_EVERY_S
        left_s = (due - self._ports.clock.now()).total_seconds()
        return min(LOOK_EVERY_S, max(0.02, left_s))

    async def _sleep(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    # --- one command ---------------------------------------------------------------------------

    async def _command(self, leased: Leased) -> None:
        try:
            going_on: Leased | None = leased
            while going_on is not None:
                going_on = await self._one_try(going_on)
        except (Stale, StoreDown):
            pass  # the lease ends by itself, and what is in the meter stays in the meter
        finally:
            del self._sending[_lease(leased.delivery)]
            self._woken.set()

    async def _one_try(self, leased: Leased) -> Leased | None:
        """One token or command; what is left of the set to go on with, or None."""
        started_at = self._ports.clock.now()
        try:
            settled, sold = await self._look_again(leased)
        except StoreDown:
            settled, sold = Outcome(fact=Fact.NOT_SENT, detail="the database was away"), Sold()
        attempting = Attempting()
        if settled is not None:
            outcome = settled
        else:
            try:
                async with asyncio.timeout(CONVERSATION_S):
                    outcome = await perform(
                        self._driver,
                        leased,
                        clock=self._ports.clock,
                        sold=sold,
                        attempting=attempting,
                    )
            except TimeoutError:
                outcome = attempting.interrupted()
            except asyncio.CancelledError:
                outcome = attempting.interrupted()
                await self._write_before_we_go(leased, outcome, started_at)
                raise
        return await self._write_when_possible(leased, outcome, started_at)

    async def _write_when_possible(
        self, leased: Leased, outcome: Outcome, started_at: datetime
    ) -> Leased | None:
        """What the meter said is kept through an outage of the store, as long as the lease."""
        lease_until = leased.delivery.lease_until
        while True:
            try:
                return await self._write(leased, outcome, started_at)
            except StoreDown:
                if lease_until is None or self._ports.clock.now() >= lease_until:
                    raise
                await asyncio.sleep(STORE_PAUSE_S)

    async def _write_before_we_go(
        self, leased: Leased, outcome: Outcome, started_at: datetime
    ) -> None:
        writing = asyncio.ensure_future(self._write(leased, outcome, started_at))
        try:
            async with asyncio.timeout(FINISH_S):
                await asyncio.shield(writing)
        except (TimeoutError, Stale, StoreDown):
            writing.cancel()

    async def _look_again(self, leased: Leased) -> tuple[Outcome | None, Sold]:
        """Whether the command is still possible and wanted; and what its tokens were made for."""
        delivery, meter = leased.delivery, leased.meter
        can = self._driver.capabilities(meter.profile)
        if not delivery.by_remote or needs(delivery.command) not in can:
            return Outcome(fact=Fact.UNSUPPORTED, detail="not, or no longer, by this way"), Sold()
        async with self._ports.store.look() as tx:
            return await last_look(tx, delivery, meter, now=self._ports.clock.now())

    async def _write(self, leased: Leased, outcome: Outcome, started_at: datetime) -> Leased | None:
        """Write the outcome to the row as it is now, whoever changed it meanwhile."""
        sent = leased.delivery
        now = self._ports.clock.now()
        async with self._ports.store.begin() as tx:
            current = await tx.deliveries.find(sent.tenant, sent.id)
            if current is None:
                return None
            ours = current.lease_id == sent.lease_id
            outcome = outcome.once_out(before=sent.out, after=current.out)
            outcome = await whose_was_used(tx, current, outcome, now=now)
            if not ours and outcome.fact not in _TRUTHS:
                record = attempt_of(sent, outcome, DeliveryMethod.REMOTE, started_at, now)
                await tx.attempts.add(record)
                return None
            after = await write_outcome(
                tx,
                current,
                outcome if ours else _late(outcome),
                now=now,
                spread=self._ports.chance.spread(),
                # To wait for one's turn is no attempt.
                started_at=None if outcome.fact is Fact.HELD else started_at,
            )
            answered = answer_in(outcome.fact)
            await note_answer(tx, sent.tenant, sent.drn, answered=answered, now=now)
            if after.state is not DeliveryState.SENDING or not ours:
                return None
            tokens = tuple(await tx.tokens.of(after.id, after.tenant))
            return replace(leased, delivery=after, tokens=tokens)


def _lease(delivery: Delivery) -> _Lease:
    return delivery.tenant, delivery.id, delivery.lease_id


# What the meter itself said counts, even when the lease has passed to another worker.
_TRUTHS = frozenset({Fact.ACCEPTED, Fact.SEEN, Fact.USED, Fact.USED_BY_ANOTHER, Fact.REFUSED})


def _late(outcome: Outcome) -> Outcome:
    return replace(outcome, fact=Fact.SEEN) if outcome.fact is Fact.ACCEPTED else outcome
