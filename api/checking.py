"""A head-end looked over from beside it: what needs a person, and what is well.

Only what is cheap and true: it opens no bus, for a second master on a line would disturb the first,
and changes nothing in the database.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.routes.health import OVERDUE
from api.settings import Settings
from api.vault_wiring import open_vending
from api.vending import KeyLife, KeyPlace, Vending
from api.wiring import bus_names, database_version, new_clock, open_store
from headend.errors import HeadendError, ModuleDown, StoreDown
from headend.meters import BusName
from headend.store import Store
from headend.vending_keys import KeyMark
from headend.webhooks import FAILING_AFTER, Backlog, PausedBy, Webhook, WebhookState
from protocols.sts.sta import SAMPLE

OPEN_TOO_LONG = timedelta(minutes=5)
MAX_OPEN = 100
UNTOLD_TOO_LONG = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `ok` is False when it needs a person."""

    subject: str
    ok: bool
    told: str


async def look_over(settings: Settings, *, within: timedelta) -> AsyncIterator[Finding]:
    """Findings one by one; keys that end `within` this time need a person."""
    database = await _database(settings)
    yield database
    if not database.ok:
        return
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        clock = new_clock()
        now = clock.now()
        try:
            vending = await open_vending(settings, store, clock=clock, stack=stack, create=False)
        except HeadendError as error:
            yield Finding("vault", False, str(error))
        else:
            for finding in await _vending(vending, now=now, within=within):
                yield finding
        yield await _open_recharges(store, now=now)
        for finding in await _webhooks(store, now=now):
            yield finding
        for name in bus_names(settings):
            yield await _bus(store, name, now=now)


async def _database(settings: Settings) -> Finding:
    try:
        version, wanted = await database_version(settings)
    except StoreDown as error:
        return Finding("database", False, str(error) or "it cannot be reached")
    if version == wanted:
        return Finding("database", True, f"version {version}")
    told = f"version {version or 'none (empty)'}, this release wants {wanted}"
    remedy = "start it once" if settings.embedded_database else "run: headend migrate"
    return Finding("database", False, f"{told}; {remedy}")


# --- what makes tokens --------------------------------------------------------------------------


async def _vending(vending: Vending, *, now: datetime, within: timedelta) -> Sequence[Finding]:
    lives = [life for life in await vending.ring.keys(None) if life.in_use]
    findings = [_keys(lives), *_ending(lives, now=now, within=within)]
    if vending.ring.place is KeyPlace.MODULE:
        findings.append(await _module(vending))
    else:
        for tenant in sorted({life.key.tenant for life in lives}):
            obstacles = await vending.ring.obstacles(tenant, now=now)
            told = "; ".join(obstacles) or "can be made"
            findings.append(Finding(f"tokens of tenant {tenant}", not obstacles, told))
    return [*findings, _tables(vending, lives)]


def _keys(lives: Sequence[KeyLife]) -> Finding:
    if not lives:
        return Finding("vending keys", False, "none is in use; see: headend vault import --help")
    first = min(life.ends_at for life in lives)
    return Finding(
        "vending keys", True, f"{len(lives)} in use, the first ends at {first:%Y-%m-%d %H:%M} UTC"
    )


def _ending(lives: Sequence[KeyLife], *, now: datetime, within: timedelta) -> Sequence[Finding]:
    ending = [life for life in lives if life.ends_at < now + within]
    return [
        Finding(
            f"vending key {life.key.sgc}/{life.key.krn} of tenant {life.key.tenant}",
            False,
            f"{'ended' if life.ends_at < now else 'ends'} at {life.ends_at:%Y-%m-%d %H:%M} UTC;"
            " get a newer one and change the keys of its meters",
        )
        for life in sorted(ending, key=lambda life: life.ends_at)
    ]


async def _module(vending: Vending) -> Finding:
    try:
        alerts = await vending.ring.alerts()
    except ModuleDown as error:
        return Finding("security module", False, str(error))
    if alerts:
        return Finding("security module", False, f"it complains of {', '.join(alerts)}")
    return Finding("security module", True, "answers, no complaints")


def _tables(vending: Vending, lives: Sequence[KeyLife]) -> Finding:
    tables = vending.tables
    if tables is None:
        return Finding("EA07 tables", True, "none set: software makes no tokens for EA07 meters")
    told = f"{tables.name}, SHA-256 {tables.fingerprint}"
    if tables.fingerprint != SAMPLE.fingerprint:
        return Finding("EA07 tables", True, told)
    only_tests = all(life.key.mark is KeyMark.TEST for life in lives)
    return Finding(
        "EA07 tables", only_tests, f"{told}: the sample set, which no real meter understands"
    )


# --- what waits ---------------------------------------------------------------------------------


async def _open_recharges(store: Store, *, now: datetime) -> Finding:
    async with store.look() as tx:
        waiting = await tx.recharges.open(before=now - OPEN_TOO_LONG, limit=MAX_OPEN)
    if not waiting:
        return Finding("open recharges", True, "none waits for its token")
    count = f"{MAX_OPEN} or more" if len(waiting) == MAX_OPEN else str(len(waiting))
    oldest = waiting[0].created_at
    return Finding(
        "open recharges",
        False,
        f"{count} wait for tokens, the oldest since {oldest:%Y-%m-%d %H:%M} UTC",
    )


async def _webhooks(store: Store, *, now: datetime) -> Sequence[Finding]:
    async with store.look() as tx:
        webhooks = await tx.webhooks.all(None)
        backlogs = {one.webhook_id: one for one in await tx.postings.backlogs(None)}
    if not webhooks:
        return [Finding("webhooks", True, "none: nobody is told; see: headend webhooks --help")]
    return [_webhook(one, backlogs.get(one.id), now=now) for one in webhooks]


def _webhook(webhook: Webhook, backlog: Backlog | None, *, now: datetime) -> Finding:
    subject = f"webhook {webhook.id} of tenant {webhook.tenant}"
    health, waits = webhook.health, backlog or Backlog(webhook.id, 0, None, 0)
    faults = []
    if webhook.state is WebhookState.PAUSED and webhook.paused_by is PausedBy.RECEIVER:
        faults.append("its receiver said 410 Gone, so it is paused")
    elif webhook.state is WebhookState.PAUSED and waits.pending:
        faults.append(f"paused while {waits.pending} events wait")
    if health.failing_since is not None and health.failures >= FAILING_AFTER:
        faults.append(f"fails since {health.failing_since:%Y-%m-%d %H:%M} UTC: {health.detail}")
    if waits.oldest_at is not None and now - waits.oldest_at > UNTOLD_TOO_LONG:
        faults.append(f"{waits.pending} events wait, since {waits.oldest_at:%Y-%m-%d %H:%M} UTC")
    if waits.dead:
        faults.append(f"{waits.dead} dead letters; see: headend webhooks dead {webhook.id}")
    return Finding(subject, not faults, "; ".join(faults) or "told everything")


async def _bus(store: Store, name: BusName, *, now: datetime) -> Finding:
    async with store.look() as tx:
        due = min((await tx.deliveries.next_due(name, now=now)).values(), default=None)
    if due is not None and now - due > OVERDUE:
        told = f"commands lie since {due:%Y-%m-%d %H:%M} UTC; is a process serving it?"
        return Finding(f"bus {name}", False, told)
    return Finding(f"bus {name}", True, "no command is overdue")
