"""The outbox keeps its promises on every store: gap-free sequences, one stream, nothing skipped."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from adapters.store.statements import Statements
from headend.occurrences import Occurrence
from headend.outbox import Span, StreamFilter, announce
from headend.webhooks import HOLD_TRIES, PausedBy, PostingState, SealedSecret, WebhookState
from tests.builders import NOW, OTHER_TENANT, TENANT, a_drn, a_webhook, an_announcement

SOON = NOW + timedelta(minutes=1)
LATER = NOW + timedelta(days=3)
ANY = StreamFilter()


async def say(store, *announcements):
    async with store.begin() as tx:
        await announce(tx, *announcements)


async def order(store, *, limit=100):
    async with store.begin() as tx:
        return await tx.outbox.order(now=NOW, give_up_at=LATER, limit=limit)


async def stream(store, cursor=0, where=ANY, tenant=TENANT, limit=100):
    async with store.look() as tx:
        return await tx.outbox.after(tenant, cursor, where, limit=limit)


async def a_hooked(store, **fields):
    webhook = a_webhook(**fields)
    async with store.begin() as tx:
        await tx.webhooks.add(webhook)
    return webhook


async def take(store, webhook, *, now=NOW, lease="lease-1", limit=10):
    async with store.begin() as tx:
        until = now + timedelta(seconds=30)
        taken = await tx.postings.take(
            webhook.id, now=now, lease_id=lease, lease_until=until, limit=limit
        )
    return list(taken)


async def save(store, posting, *, lease="lease-1"):
    async with store.begin() as tx:
        return await tx.postings.save(posting, lease_id=lease)


# --- sequences and cursors ----------------------------------------------------------------------


async def test_each_meter_counts_from_one_without_a_gap(store):
    one, two = an_announcement(), an_announcement(drn=a_drn(2))
    general = an_announcement(drn=None)
    rival = an_announcement(tenant=OTHER_TENANT)
    await say(store, one, two, one)
    await say(store, one, general, rival)
    assert await order(store) == 6
    told = await stream(store)
    assert [(one.announcement.drn, one.sequence) for one in told] == [
        (one.drn, 1),
        (two.drn, 1),
        (one.drn, 2),
        (one.drn, 3),
        (None, 1),
    ]
    assert [one.id for one in told] == [
        f"{one.drn}-1",
        f"{two.drn}-1",
        f"{one.drn}-2",
        f"{one.drn}-3",
        "tenant-1",
    ]
    assert [one.sequence for one in await stream(store, tenant=OTHER_TENANT)] == [1]


async def test_an_announcement_comes_back_as_it_went(store):
    said = an_announcement()
    await say(store, said)
    await order(store)
    assert [one.announcement for one in await stream(store)] == [said]


async def test_what_is_rolled_back_was_never_said_and_leaves_no_gap(store):
    await say(store, an_announcement())
    with suppress(RuntimeError):
        async with store.begin() as tx:
            await announce(tx, an_announcement(), an_announcement(drn=a_drn(2)))
            raise RuntimeError
    await say(store, an_announcement())
    await order(store)
    assert [one.sequence for one in await stream(store)] == [1, 2]


async def test_many_at_once_over_the_same_meters_lose_no_number(store):
    """Each transaction speaks of several meters, in another order each time."""
    drns = [a_drn(serial) for serial in range(1, 6)]

    async def speak(number):
        mixed = drns[number % 5 :] + drns[: number % 5]
        await say(store, *(an_announcement(drn=drn) for drn in mixed))

    async def keep_ordering(done):
        while not done.is_set():
            await order(store, limit=7)
            await asyncio.sleep(0.001)

    done = asyncio.Event()
    orderers = [asyncio.create_task(keep_ordering(done)) for _ in range(2)]
    await asyncio.gather(*(speak(number) for number in range(24)))
    done.set()
    await asyncio.gather(*orderers)
    while await order(store):
        pass
    told = await stream(store, limit=200)
    assert [one.cursor for one in told] == list(range(1, 121))
    for drn in drns:
        sequences = [one.sequence for one in told if one.announcement.drn == drn]
        assert sequences == list(range(1, 25))


async def test_without_its_cursor_it_is_in_no_stream(store):
    await say(store, an_announcement())
    async with store.look() as tx:
        assert await tx.outbox.unordered()
        assert await tx.outbox.span() == Span(0, 0)
    assert await stream(store) == []
    assert await order(store) == 1
    assert await order(store) == 0
    async with store.look() as tx:
        assert not await tx.outbox.unordered()
        assert await tx.outbox.span() == Span(1, 0)


async def test_what_commits_late_is_not_skipped(sql_store):
    """A reader that saw a later one must still meet the one that was begun before."""
    begun, may_commit = asyncio.Event(), asyncio.Event()

    async def slow():
        async with sql_store.begin() as tx:
            await announce(tx, an_announcement())
            if tx.outbox._run.dialect == "postgresql":
                await tx.outbox.write_down()  # its row has its number, and is not committed
                begun.set()
                await may_commit.wait()
        begun.set()

    slowly = asyncio.create_task(slow())
    await begun.wait()
    await say(sql_store, an_announcement(drn=a_drn(2)))
    await order(sql_store)
    seen = await stream(sql_store)
    assert a_drn(2) in [one.announcement.drn for one in seen]
    may_commit.set()
    await slowly
    await order(sql_store)
    seen += await stream(sql_store, cursor=seen[-1].cursor)
    assert {one.announcement.drn for one in seen} == {a_drn(1), a_drn(2)}
    assert [one.cursor for one in seen] == [1, 2]


async def test_a_stream_is_filtered(store):
    lit, dark = an_announcement(), an_announcement(occurrence=Occurrence.RECHARGE_DARK)
    other = an_announcement(drn=a_drn(2), at=SOON)
    await say(store, lit, dark, other)
    await order(store)

    async def found(**where):
        return [one.announcement for one in await stream(store, where=StreamFilter(**where))]

    assert await found(drn=lit.drn) == [lit, dark]
    assert await found(types=("headend.recharge.dark.v1",)) == [dark]
    assert await found(types=("headend.recharge.*",)) == [lit, dark, other]
    assert await found(types=("headend.meter.*",)) == []
    assert await found(since=SOON) == [other]
    assert await found(until=SOON) == [lit, dark]
    assert await found(drn=lit.drn, sequence=2) == [dark]
    assert [one.announcement for one in await stream(store, cursor=2)] == [other]
    assert len(await stream(store, limit=2)) == 2


async def test_whatever_a_transaction_says_costs_two_statements(sql_store, monkeypatch):
    statements = []
    execute = Statements._execute

    async def counted(self, statement, parameters):
        statements.append(statement)
        return await execute(self, statement, parameters)

    monkeypatch.setattr(Statements, "_execute", counted)
    await say(sql_store, an_announcement())
    assert len(statements) == 2
    await say(sql_store, *(an_announcement(drn=a_drn(serial)) for serial in (1, 2, 3, 1, 2)))
    assert len(statements) == 4
    async with sql_store.begin():
        pass
    assert len(statements) == 4


# --- postings -----------------------------------------------------------------------------------


async def test_each_webhook_gets_what_it_wants(store):
    every = await a_hooked(store)
    dark_only = await a_hooked(store, types=("headend.recharge.dark.v1",))
    paused = await a_hooked(store, state=WebhookState.PAUSED, paused_by=PausedBy.CALLER)
    rival = await a_hooked(store, tenant=OTHER_TENANT)
    await say(store, an_announcement(), an_announcement(occurrence=Occurrence.RECHARGE_DARK))
    await order(store)
    async with store.look() as tx:
        backlogs = {one.webhook_id: one for one in await tx.postings.backlogs(None)}
        due = [hook.id for hook in await tx.webhooks.due(now=NOW, limit=10)]
    assert {ident: one.pending for ident, one in backlogs.items()} == {
        every.id: 2,
        dark_only.id: 1,
        paused.id: 2,
    }
    assert rival.id not in backlogs
    assert backlogs[every.id].oldest_at == NOW
    assert sorted(due) == sorted([every.id, dark_only.id])


async def test_one_of_a_meter_waits_for_the_one_before(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement(), an_announcement(), an_announcement(drn=a_drn(2)))
    await order(store)
    taken = await take(store, webhook)
    assert [(one.drn, told.sequence) for one, told in taken] == [(a_drn(1), 1), (a_drn(2), 1)]
    assert await take(store, webhook, lease="lease-2") == []
    assert await save(store, taken[0][0].delivered(now=NOW, status=204))
    again = await take(store, webhook)
    assert [told.sequence for _, told in again] == [2]


async def test_one_that_is_rejected_for_long_lets_the_others_go(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement(), an_announcement())
    await order(store)
    now = NOW
    for _ in range(HOLD_TRIES):
        assert await take(store, webhook, now=now - timedelta(microseconds=1)) == []
        ((posting, told),) = await take(store, webhook, now=now)
        assert told.sequence == 1
        failed = posting.failed(now=now, spread=0.0, status=500, detail="answered 500")
        assert await save(store, failed)
        now = failed.not_before
    ((_, told),) = await take(store, webhook, now=now - timedelta(microseconds=1))
    assert told.sequence == 2


async def test_a_lease_that_ended_is_taken_again_and_its_holder_has_lost(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement())
    await order(store)
    ((posting, _),) = await take(store, webhook)
    later = NOW + timedelta(seconds=31)
    ((again, _),) = await take(store, webhook, now=later, lease="lease-2")
    assert again.cursor == posting.cursor
    assert not await save(store, posting.delivered(now=later, status=200))
    assert await save(store, again.delivered(now=later, status=200), lease="lease-2")


async def test_two_workers_never_take_the_same(sql_store):
    webhook = await a_hooked(sql_store)
    await say(sql_store, *(an_announcement(drn=a_drn(serial)) for serial in range(1, 10)))
    await order(sql_store)
    taken = await asyncio.gather(
        *(take(sql_store, webhook, lease=f"lease-{n}", limit=3) for n in range(6))
    )
    cursors = [one.cursor for some in taken for one, _ in some]
    assert len(cursors) == len(set(cursors))


async def test_a_dead_letter_is_kept_and_replayed(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement())
    await order(store)
    ((posting, told),) = await take(store, webhook)
    dead = replace(
        posting.failed(now=LATER, spread=0.0, status=400, detail="answered 400"),
    )
    assert dead.state is PostingState.DEAD
    assert await save(store, dead)
    async with store.begin() as tx:
        (letter,) = await tx.postings.dead(webhook.id, after=0, limit=10)
        assert (letter.announced, letter.posting) == (told, dead)
        assert await tx.outbox.prune(before=LATER, limit=10) == 0
        await tx.postings.replay(webhook.id, [told], now=LATER, give_up_at=LATER)
        assert await tx.postings.dead(webhook.id, after=0, limit=10) == []
    ((again, _),) = await take(store, webhook, now=LATER)
    assert (again.attempts, again.state) == (0, PostingState.PENDING)


async def test_what_a_dead_receiver_never_took_is_given_up_together(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement(), an_announcement(drn=a_drn(2)))
    await order(store)
    async with store.begin() as tx:
        assert await tx.postings.give_up(webhook.id, now=SOON, detail="-", limit=9) == 0
        assert await tx.postings.give_up(webhook.id, now=LATER, detail="-", limit=1) == 1
        assert await tx.postings.give_up(webhook.id, now=LATER, detail="-", limit=9) == 1
        (backlog,) = await tx.postings.backlogs(TENANT)
    assert (backlog.pending, backlog.dead, backlog.oldest_at) == (0, 2, None)


async def test_old_rows_go_and_the_stream_says_from_where_on(store):
    webhook = await a_hooked(store)
    await say(store, an_announcement(), an_announcement(drn=a_drn(2), at=SOON))
    await order(store)
    taken = await take(store, webhook)
    for posting, _ in taken:
        await save(store, posting.delivered(now=NOW, status=200))
    async with store.begin() as tx:
        ends = {"delivered_before": NOW, "dead_before": NOW}
        assert await tx.postings.prune(**ends, limit=10) == 0
        ends = {"delivered_before": SOON, "dead_before": NOW}
        assert await tx.postings.prune(**ends, limit=1) == 1
        assert await tx.postings.prune(**ends, limit=10) == 1
        assert await tx.outbox.prune(before=SOON, limit=10) == 1
        assert await tx.outbox.span() == Span(2, 1)
    assert [one.cursor for one in await stream(store)] == [2]


# --- webhooks -----------------------------------------------------------------------------------


async def test_a_webhook_comes_back_as_it_went_and_goes_with_its_postings(store):
    webhook = await a_hooked(
        store,
        types=("headend.recharge.*",),
        old_secret=SealedSecret(bytes(12), bytes(range(8)), "master-0"),
        old_until=SOON,
    )
    async with store.look() as tx:
        assert await tx.webhooks.find(TENANT, webhook.id) == webhook
        assert await tx.webhooks.find(OTHER_TENANT, webhook.id) is None
        assert await tx.webhooks.all(OTHER_TENANT) == []
        assert await tx.webhooks.all(None) == [webhook]
    await say(store, an_announcement())
    await order(store)
    async with store.begin() as tx:
        assert not await tx.webhooks.remove(OTHER_TENANT, webhook.id)
        assert await tx.webhooks.remove(TENANT, webhook.id)
    async with store.look() as tx:
        assert await tx.webhooks.all(None) == []
        assert await tx.postings.backlogs(None) == []


async def test_how_a_receiver_does_is_noted_beside_what_people_change(store):
    webhook = await a_hooked(store)
    health = webhook.health.failed(now=NOW, spread=0.0, status=500, detail="answered 500")
    resting = replace(health, rest_until=SOON)
    changed = replace(webhook, description="billing", version=2)
    await say(store, an_announcement())
    await order(store)
    async with store.begin() as tx:
        await tx.webhooks.note(webhook.id, resting)
        await tx.webhooks.save(changed, was=1)
    async with store.look() as tx:
        assert await tx.webhooks.find(TENANT, webhook.id) == replace(changed, health=resting)
        assert await tx.webhooks.due(now=NOW, limit=10) == []
        assert [hook.id for hook in await tx.webhooks.due(now=SOON, limit=10)] == [webhook.id]
