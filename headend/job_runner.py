"""The runner of jobs: checks their lines, then orders them one by one, behind everybody else.

One line at a time, and a rest half as long as the line took: whoever sells at a till meanwhile
meets at most one write of a job. Tenants take turns, and the jobs of each; a job that waits gives
its turn away. Lines are marked after they were ordered; a crash in between orders the same ids once
more, and these are repeats.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

from headend.approvals import EXPIRES_AFTER, UNDECIDED, Approval, ApprovalSubject
from headend.audit import HEAD_END, AuditAction, Entry
from headend.command_desk import CommandDesk
from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.dangers import Danger, danger_of
from headend.errors import ModuleDown, Stale, StoreDown
from headend.harm_news import approval_news, job_news
from headend.job_ends import end_job
from headend.jobs import JOB_ENDS, Job, JobLine, JobState, LineState
from headend.key_desk import KeyDesk
from headend.outbox import announce
from headend.people import Requester
from headend.ports import Chance, Clock
from headend.recharge_desk import RechargeDesk
from headend.recharges import RechargeOrder
from headend.refusals import ApprovalEnded, CapReached, KindHeld, OrderRefused
from headend.store import Store, Transaction
from headend.trials import Trials

LOOK_EVERY_S = 1.0
CHUNK = 50
TENANTS_AT_ONCE = 20
SWEEP_EVERY_S = 60.0
SWEEP_LIMIT = 100
# Over a module that hangs a turn would last for minutes, and all others wait for it.
TURN_S = 2.0
# Lines that wait for a person, a hold or the module are tried again after this.
AGAIN = timedelta(seconds=5)
NOTHING_MOVED = timedelta(seconds=LOOK_EVERY_S)
AT_ONCE = timedelta(0)
REST_MAX_S = 1.0

Settle: TypeAlias = Callable[[Job, JobLine], Awaitable[JobLine | None]]


@dataclass(slots=True)
class _Place:
    """How far a pass over the lines of a job is, and whether any was settled in it."""

    passed: int = 0
    moved: bool = False


class JobRunner:
    """Works off jobs until cancelled; `put_off` is told of one whose turn the database broke."""

    def __init__(
        self,
        store: Store,
        trials: Trials,
        recharges: RechargeDesk,
        commands: CommandDesk,
        keys: KeyDesk,
        *,
        clock: Clock,
        chance: Chance,
        approval_lasts: timedelta = EXPIRES_AFTER,
        put_off: Callable[[Job, StoreDown], None],
    ) -> None:
        self._store = store
        self._trials = trials
        self._recharges = recharges
        self._commands = commands
        self._keys = keys
        self._clock = clock
        self._chance = chance
        self._approval_lasts = approval_lasts
        self._put_off = put_off
        self._places: dict[tuple[str, str, LineState], _Place] = {}

    async def serve(self) -> None:
        """Work for ever."""
        time = asyncio.get_running_loop().time
        sweep_s = time()
        while True:
            worked = False
            with suppress(Stale, StoreDown):
                if time() >= sweep_s:
                    sweep_s = time() + SWEEP_EVERY_S
                    await self.sweep()
                worked = await self.work()
            await asyncio.sleep(0 if worked else LOOK_EVERY_S)

    async def work(self) -> bool:
        """A turn for one job of every tenant that has one whose turn has come; whether any had."""
        async with self._store.look() as tx:
            jobs = await tx.jobs.due(now=self._clock.now(), limit=TENANTS_AT_ONCE)
        for job in jobs:
            rest = await self._turn_or_rest(job)
            async with self._store.begin() as tx:
                await tx.jobs.turn(job.tenant, job.id, at=self._clock.now() + rest)
        return bool(jobs)

    async def sweep(self) -> None:
        """Cancel jobs whose key was revoked while they were paused or loading."""
        async with self._store.look() as tx:
            jobs = await tx.jobs.orphaned(limit=SWEEP_LIMIT)
        for job in jobs:
            await self._turn_or_rest(job)

    async def _turn_or_rest(self, job: Job) -> timedelta:
        """A turn; a job that the database gives up on rests and keeps nobody else from working.

        Where the database is away altogether the next statement tells.
        """
        try:
            return await self._turn(job)
        except Stale:  # paused or cancelled meanwhile
            return NOTHING_MOVED
        except StoreDown as error:
            self._forget(job)
            self._put_off(job, error)
            return AGAIN

    async def _turn(self, job: Job) -> timedelta:
        """Some lines of a job, or its end; how long it rests then."""
        async with self._store.look() as tx:
            key = await tx.api_keys.find(job.ordered_by)
            counts = await tx.jobs.counts(job.tenant, job.id)
        bad = counts.get(LineState.BAD, 0)
        if key is None or key.revoked_at is not None:
            await self._end(job, JobState.CANCELLED, "its API key was revoked")
        elif counts.get(LineState.NEW, 0):
            return await self._some(job, LineState.NEW, self._checked)
        elif job.dry_run:
            await self._end(job, JobState.CHECKED_WITH_FAILURES if bad else JobState.CHECKED)
        elif bad and not job.skip_bad:
            await self._end(job, JobState.REFUSED, f"{bad} bad lines: nothing was ordered")
        elif counts.get(LineState.CHECKED, 0):
            return await self._some(job, LineState.CHECKED, self._placed)
        else:
            failed = bad + counts.get(LineState.REFUSED, 0)
            await self._end(job, JobState.DONE_WITH_FAILURES if failed else JobState.DONE)
        return AT_ONCE

    async def _some(self, job: Job, state: LineState, settle: Settle) -> timedelta:
        """The next lines of a pass, as many as fit into a turn; how long the job rests then.

        When a pass settled none, what is left waits for a person, a hold or the module, and the
        next one begins after a while.
        """
        place = self._places.setdefault((job.tenant, job.id, state), _Place())
        async with self._store.look() as tx:
            lines = await tx.jobs.lines(
                job.tenant, job.id, state=state, after=place.passed, limit=CHUNK
            )
        settled: list[JobLine] = []
        ends_s = asyncio.get_running_loop().time() + TURN_S
        for line in lines:
            if not await self._may_go_on(job):
                self._forget(job)
                await self._write(job, settled)
                return AT_ONCE  # looked at anew; what was not settled stays as it is
            if (one := await _gently(settle(job, line))) is not None:
                settled.append(one)
            place.passed = line.number
            if asyncio.get_running_loop().time() > ends_s:
                break
        moved = await self._write(job, settled)
        place.moved |= moved
        if len(lines) == CHUNK or (lines and place.passed < lines[-1].number):
            return AT_ONCE if moved else NOTHING_MOVED
        del self._places[job.tenant, job.id, state]
        return AT_ONCE if place.moved else AGAIN

    async def _may_go_on(self, job: Job) -> bool:
        """Whether a job still works and its key still holds: asked before every line."""
        async with self._store.look() as tx:
            now = await tx.jobs.find(job.tenant, job.id)
            key = await tx.api_keys.find(job.ordered_by)
        working = now is not None and now.state is JobState.WORKING
        return working and key is not None and key.revoked_at is None

    # --- one line ------------------------------------------------------------------------------

    async def _checked(self, _job: Job, line: JobLine) -> JobLine | None:
        try:
            await self._trials.try_line(line)
        except ModuleDown:
            return None
        except OrderRefused as error:
            return _failed(line, LineState.BAD, error)
        return replace(line, state=LineState.CHECKED)

    async def _placed(self, job: Job, line: JobLine) -> JobLine | None:
        try:
            await self._order(job, line)
        except (KindHeld, ModuleDown):
            return None
        except CapReached as error:
            return await self._above_cap(job, line, error)
        except OrderRefused as error:
            return _failed(line, LineState.REFUSED, error)
        return replace(line, state=LineState.ORDERED)

    async def _write(self, job: Job, settled: Sequence[JobLine]) -> bool:
        """What became of some lines, in one commit; whether there are any.

        When the job has ended meanwhile its end is told once more, with these counted.
        """
        if not settled:
            return False
        async with self._store.begin() as tx:
            now = await tx.jobs.find(job.tenant, job.id)
            for line in settled:
                checked = line.state in (LineState.CHECKED, LineState.BAD)
                was = LineState.NEW if checked else LineState.CHECKED
                await tx.jobs.mark(line, was=was)
            if now is not None and now.state in JOB_ENDS:
                progress = await tx.jobs.progress(job.tenant, job.id)
                await announce(tx, job_news(now, progress, now=self._clock.now()))
        return True

    async def _order(self, job: Job, line: JobLine) -> None:
        by, requester = job.ordered_by, Requester(job.requesters, job.id)
        tenant, ident = job.tenant, line.ident
        if isinstance(line.content, RechargeOrder):
            await self._recharges.recharge(line.content, bulk=True)
            return
        assert line.drn is not None
        match line.content:
            case SetSupply(action, reason, expires_at):
                await self._commands.order_supply(
                    tenant,
                    line.drn,
                    ident=ident,
                    action=action,
                    reason=reason,
                    expires_at=expires_at,
                    ordered_by=by,
                    requester=requester,
                )
            case SetClock():
                await self._commands.order_clock(
                    tenant, line.drn, ident=ident, ordered_by=by, requester=requester
                )
            case SetCreditParameters(change):
                await self._commands.order_parameters(
                    tenant, line.drn, change, ident=ident, ordered_by=by, requester=requester
                )
            case Manage(order):
                await self._keys.order_management(
                    tenant, line.drn, order, ident=ident, ordered_by=by, requester=requester
                )
            case None:
                raise AssertionError("a line that cannot be read is bad from the start")

    # --- above a cap ---------------------------------------------------------------------------

    async def _above_cap(self, job: Job, line: JobLine, error: CapReached) -> JobLine | None:
        """One approval for all lines of the kind that first met a cap; a line waits for it, or is
        refused, as are those of another kind.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await tx.jobs.find(job.tenant, job.id)
            if current is None or current.state in JOB_ENDS:
                return None  # nobody is asked for what was cancelled just now
            known = await tx.approvals.of(job.tenant, ApprovalSubject.JOB, job.id)
            if known is None and job.requesters:
                await self._ask(tx, job, line, error)
                return None
        if known is not None and known.danger is not _danger_of(line):
            return _failed(line, LineState.REFUSED, error)
        if known is not None and known.at(now).state in UNDECIDED:
            return None
        refusal = error if known is None else ApprovalEnded(f"the job is {known.at(now).state}")
        return _failed(line, LineState.REFUSED, refusal)

    async def _ask(self, tx: Transaction, job: Job, line: JobLine, error: CapReached) -> None:
        danger, now = _danger_of(line), self._clock.now()
        approval = Approval(
            id=self._chance.ident(now),
            tenant=job.tenant,
            subject=ApprovalSubject.JOB,
            order_id=job.id,
            danger=danger,
            ordered_by=job.ordered_by,
            requesters=job.requesters,
            reason=f"{error.detail}; a job of {job.size} lines, at line {line.number}",
            created_at=now,
            expires_at=now + self._approval_lasts,
        )
        await tx.approvals.add(approval)
        await announce(tx, approval_news(approval, now=now))
        await tx.audit.append(
            Entry(
                tenant=job.tenant,
                at=now,
                by=f"key:{job.ordered_by}",
                action=AuditAction.APPROVAL_ASKED,
                subject=approval.id,
                result=approval.reason,
                about={"job": job.id, "danger": danger.value, "sha256": job.digest},
            )
        )

    # --- the end -------------------------------------------------------------------------------

    async def _end(self, job: Job, state: JobState, detail: str = "") -> None:
        self._forget(job)
        now = self._clock.now()
        async with self._store.begin() as tx:
            await end_job(tx, job, state, by=HEAD_END, now=now, detail=detail)

    def _forget(self, job: Job) -> None:
        for phase in (LineState.NEW, LineState.CHECKED):
            self._places.pop((job.tenant, job.id, phase), None)


def _danger_of(line: JobLine) -> Danger:
    """Of a line that met a cap."""
    assert line.content is not None
    assert not isinstance(line.content, RechargeOrder)
    danger = danger_of(line.content)
    assert danger is not None
    return danger


def _failed(line: JobLine, state: LineState, error: OrderRefused) -> JobLine:
    return replace(line, state=state, problem=error.slug, detail=error.detail)


async def _gently(work: Awaitable[JobLine | None]) -> JobLine | None:
    """Do it, then rest half as long as it took: others come first."""
    time = asyncio.get_running_loop().time
    began_s = time()
    settled = await work
    await asyncio.sleep(min(REST_MAX_S, (time() - began_s) / 2))
    return settled
