"""Jobs: many recharges and commands from one file, checked whole, then ordered line by line.

Each line has an id of its own, given in the file or made of the job's and the line's, so that a job
that died goes on where it was and orders nothing twice. Counts are computed, never stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol, TypeAlias

from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.meters import Drn, TenantId
from headend.pages import Cursor, Page
from headend.people import PersonId
from headend.recharges import RechargeOrder
from headend.refusals import OrderRefused

LineContent: TypeAlias = RechargeOrder | SetSupply | SetClock | SetCreditParameters | Manage


@unique
class JobState(StrEnum):
    """Where a job stands; WORKING: lines are checked, and then ordered."""

    LOADING = "loading"
    WORKING = "working"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    REFUSED = "refused"  # a line is bad, so that nothing was ordered
    CHECKED = "checked"
    CHECKED_WITH_FAILURES = "checked_with_failures"
    DONE = "done"
    DONE_WITH_FAILURES = "done_with_failures"


MAX_OPEN = 100
MAX_OPEN_OF_KEY = 20
TURN_MAX = timedelta(minutes=1)
# Nobody works on these: they wait for their caller.
RESTING = frozenset({JobState.LOADING, JobState.PAUSED})
JOB_ENDS = frozenset(JobState) - RESTING - {JobState.WORKING}


@unique
class LineState(StrEnum):
    """Where one line stands; ORDERED: its recharge or delivery tells the rest.

    BAD was found when it was read or checked, REFUSED when it was to be ordered.
    """

    NEW = "new"
    CHECKED = "checked"
    BAD = "bad"
    ORDERED = "ordered"
    REFUSED = "refused"


FAILED_LINES = frozenset({LineState.BAD, LineState.REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file. `digest` is that of its content and of how it is to be treated.

    `turn_at`: when it is worked on next, None: at once. Jobs of a tenant take turns.
    """

    id: str
    tenant: TenantId
    digest: str
    size: int
    dry_run: bool = False
    skip_bad: bool = False
    ordered_by: str
    requesters: frozenset[PersonId] = frozenset()
    state: JobState = JobState.LOADING
    detail: str = ""
    created_at: datetime
    changed_at: datetime
    turn_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One line: its number in the file, the id of its order, and what is ordered.

    `content` is None for a line that cannot be read; `problem` and `detail` say why a line is
    refused.
    """

    tenant: TenantId
    job_id: str
    number: int
    ident: str
    drn: Drn | None = None
    content: LineContent | None = None
    state: LineState = LineState.NEW
    problem: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LineResult:
    """A line, and the state now of the recharge or delivery that came of it."""

    line: JobLine
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many lines stand where, and what became of those that were ordered."""

    lines: Mapping[LineState, int]
    outcomes: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Lines that were never ordered and never will be."""
        return sum(self.lines.get(state, 0) for state in FAILED_LINES)


class Jobs(Protocol):
    """The collection of a transaction."""

    async def add(self, job: Job) -> None:
        """Raises Stale when its tenant has one of this id."""

    async def find(self, tenant: TenantId, ident: str) -> Job | None: ...

    async def save(self, job: Job, *, was: JobState) -> None:
        """Raises Stale when its state is another by now."""

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Job]:
        """Newest first."""

    async def due(self, *, now: datetime, limit: int) -> Sequence[Job]:
        """Of every tenant the WORKING one whose turn came first, those that waited longest first.

        A turn later than TURN_MAX from now is that of a clock that was set back, and has come.
        """

    async def orphaned(self, *, limit: int) -> Sequence[Job]:
        """The RESTING ones whose API key is revoked, oldest first."""

    async def turn(self, tenant: TenantId, ident: str, *, at: datetime) -> None:
        """Give a job its next turn then."""

    async def open(self, tenant: TenantId) -> Mapping[str, int]:
        """How many have not ended, by the API key that ordered them."""

    async def add_lines(self, lines: Sequence[JobLine]) -> None:
        """Those that are there already stay as they are."""

    async def lines(
        self, tenant: TenantId, job_id: str, *, state: LineState, after: int, limit: int
    ) -> Sequence[JobLine]:
        """Lines in a state behind a number, in order."""

    async def mark(self, line: JobLine, *, was: LineState) -> None:
        """Write its state, problem and detail; raises Stale when its state is another by now."""

    async def counts(self, tenant: TenantId, job_id: str) -> Mapping[LineState, int]: ...

    async def progress(self, tenant: TenantId, job_id: str) -> Progress: ...

    async def results(
        self, tenant: TenantId, job_id: str, *, after: int, limit: int
    ) -> Sequence[LineResult]:
        """Every line behind a number, in order."""


class UnknownJob(OrderRefused):
    slug = "unknown-job"
    title = "No such job"
    status = 404


class JobDiffers(OrderRefused):
    slug = "job-differs"
    title = "This job is known with another content"
    status = 409


class TooManyJobs(OrderRefused):
    slug = "too-many-jobs"
    title = "Too many jobs have not ended yet"
    status = 429


class JobEnded(OrderRefused):
    slug = "job-ended"
    title = "The job is at its end, or not where this makes sense"
    status = 409
