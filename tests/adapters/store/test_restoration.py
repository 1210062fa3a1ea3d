"""Contract of the store port: clocks, escalations, compensations, answers, messages, groups."""

from dataclasses import replace
from datetime import timedelta

import pytest

from headend.answering import AnswerHistory
from headend.compensations import Compensation, CompensationFilter
from headend.errors import Stale
from headend.escalations import Escalation
from headend.messages import Receipt, SentMessage
from headend.pages import Cursor
from headend.refusals import MalformedOrder
from headend.restoration import Choice, Ending, Overdue, Sight, Threshold, new_clock
from headend.supply_groups import Restoration
from tests.builders import (
    DRN,
    NOW,
    OTHER_TENANT,
    TENANT,
    a_contact,
    a_delivery,
    a_recharge,
    a_supply_group,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


async def sold(store, *idents, tenant=TENANT):
    async with store.begin() as tx:
        for ident in idents:
            await tx.recharges.add(a_recharge(id=ident, tenant=tenant))
            delivery = a_delivery(id=f"d-{ident}", recharge_id=ident, tenant=tenant)
            await tx.deliveries.add(delivery)


def a_clock(ident="r1", **fields):
    recharge = a_recharge(id=ident, tenant=fields.pop("tenant", TENANT))
    return replace(new_clock(recharge, a_supply_group(), paid_at=NOW), **fields)


def an_escalation(ident="r1", **fields):
    plain = Escalation(
        tenant=TENANT,
        recharge_id=ident,
        threshold=Threshold.TELL,
        contacts=(a_contact(),),
        language="fr",
        made_at=NOW,
        not_before=NOW,
    )
    return replace(plain, **fields)


def a_compensation(ident="r1", **fields):
    plain = Compensation(
        tenant=TENANT,
        recharge_id=ident,
        drn=DRN,
        sgc="600675",
        usage_point=None,
        reference="invoice-1",
        paid_at=NOW - 2 * HOUR,
        limit_at=NOW,
        recorded_at=NOW,
        cause="no_answer",
    )
    return replace(plain, **fields)


def a_message(ident="m1", delivery="d-r1", **fields):
    plain = SentMessage(
        tenant=TENANT,
        id=ident,
        delivery_id=delivery,
        contact=a_contact(),
        provider="main",
        reference=f"ref-{ident}",
        sent_at=NOW,
        again_at=NOW + 60 * SECOND,
    )
    return replace(plain, **fields)


# --- clocks -----------------------------------------------------------------------------------


async def test_a_clock_comes_back_as_it_went_and_is_one_a_recharge(store):
    await sold(store, "r1")
    async with store.begin() as tx:
        await tx.restoration_clocks.add(a_clock())
    async with store.look() as tx:
        assert await tx.restoration_clocks.find(TENANT, "r1") == a_clock()
        assert await tx.restoration_clocks.find(OTHER_TENANT, "r1") is None
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.restoration_clocks.add(a_clock())


async def test_issuing_and_looking_write_different_columns(store):
    await sold(store, "r1")
    issued = a_clock(sight=Sight.SUPPLY, choice=Choice.RARELY_ANSWERS, chance_percent=12)
    looked = a_clock(told_at=NOW, due_at=NOW + HOUR, version=2)
    async with store.begin() as tx:
        await tx.restoration_clocks.add(a_clock())
        await tx.restoration_clocks.save(looked, was=1)
        await tx.restoration_clocks.issued(issued)
    both = replace(looked, sight=Sight.SUPPLY, choice=Choice.RARELY_ANSWERS, chance_percent=12)
    async with store.look() as tx:
        assert await tx.restoration_clocks.find(TENANT, "r1") == both


async def test_of_two_that_look_at_a_clock_the_slower_one_is_stale(store):
    await sold(store, "r1")
    async with store.begin() as tx:
        await tx.restoration_clocks.add(a_clock())
        await tx.restoration_clocks.save(a_clock(told_at=NOW, version=2), was=1)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.restoration_clocks.save(a_clock(told_at=NOW + SECOND, version=2), was=1)


async def test_due_clocks_come_longest_due_first_and_ended_ones_never(store):
    await sold(store, "r1", "r2", "r3", "r4")
    await sold(store, "r1", tenant=OTHER_TENANT)
    clocks = [
        a_clock("r1", due_at=NOW),
        a_clock("r2", due_at=NOW - HOUR),
        a_clock("r3", due_at=NOW + SECOND),
        a_clock("r4", due_at=None, ended_at=NOW, ended_by=Ending.LIT),
        a_clock("r1", tenant=OTHER_TENANT, due_at=NOW - SECOND),
    ]
    async with store.begin() as tx:
        for clock in clocks:
            await tx.restoration_clocks.add(clock)
    async with store.look() as tx:
        due = await tx.restoration_clocks.due(now=NOW, limit=9)
        assert due == [clocks[1], clocks[4], clocks[0]]
        assert await tx.restoration_clocks.due(now=NOW, limit=1) == [clocks[1]]


async def test_running_clocks_are_counted_past_each_threshold(store):
    await sold(store, "r1", "r2", "r3", "r4")
    past = {"tell_at": NOW - HOUR, "due_at": NOW}
    clocks = [
        a_clock("r1", **past, limit_at=NOW - SECOND),
        a_clock("r2", **past, limit_at=NOW + SECOND),
        a_clock("r3", tell_at=NOW + SECOND, limit_at=NOW + HOUR),
        a_clock("r4", tell_at=NOW - HOUR, limit_at=NOW - HOUR, due_at=None, ended_at=NOW),
    ]
    async with store.begin() as tx:
        for clock in clocks:
            await tx.restoration_clocks.add(clock)
    async with store.look() as tx:
        assert await tx.restoration_clocks.overdue(now=NOW) == [
            Overdue(TENANT, Threshold.TELL, 2),
            Overdue(TENANT, Threshold.LIMIT, 1),
        ]


# --- escalations ------------------------------------------------------------------------------


async def test_a_threshold_is_owed_once(store):
    await sold(store, "r1")
    limit = an_escalation(threshold=Threshold.LIMIT, made_at=NOW + HOUR)
    async with store.begin() as tx:
        await tx.escalations.add(an_escalation())
        await tx.escalations.add(limit)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.escalations.add(an_escalation())
    async with store.look() as tx:
        assert await tx.escalations.of(TENANT, "r1") == [an_escalation(), limit]


async def test_owed_messages_come_in_their_time_and_given_ones_never(store):
    await sold(store, "r1", "r2", "r3")
    late = an_escalation("r2", not_before=NOW - SECOND)
    async with store.begin() as tx:
        await tx.escalations.add(an_escalation("r1"))
        await tx.escalations.add(late)
        await tx.escalations.add(an_escalation("r3", not_before=NOW + SECOND))
    for opened in (store.begin, store.look):
        async with opened() as tx:
            assert await tx.escalations.due(now=NOW, limit=9) == [late, an_escalation("r1")]
    given = replace(late, given_at=NOW, not_before=None, tries=3)
    async with store.begin() as tx:
        await tx.escalations.save(given)
    async with store.look() as tx:
        assert await tx.escalations.due(now=NOW, limit=9) == [an_escalation("r1")]
        assert await tx.escalations.of(TENANT, "r2") == [given]


# --- compensations ----------------------------------------------------------------------------


async def test_a_compensation_is_recorded_once_and_ends(store):
    await sold(store, "r1")
    async with store.begin() as tx:
        await tx.compensations.add(a_compensation())
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.compensations.add(a_compensation())
    ended = a_compensation(ended_at=NOW + HOUR, ended_by=Ending.LIT, cause="tamper_lock")
    async with store.begin() as tx:
        await tx.compensations.ended(ended)
    async with store.look() as tx:
        assert await tx.compensations.find(TENANT, "r1") == ended
        assert await tx.compensations.find(OTHER_TENANT, "r1") is None


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({}, ["r3", "r2", "r1"]),
        ({"sgc": "111111"}, ["r2"]),
        ({"drn": DRN}, ["r3", "r2", "r1"]),
        ({"drn": "x"}, []),
        ({"since": NOW + HOUR}, ["r3", "r2"]),
        ({"until": NOW + HOUR}, ["r1"]),
        ({"dark": True}, ["r2", "r1"]),
        ({"dark": False}, ["r3"]),
    ],
)
async def test_compensations_are_listed_newest_first_by_what_is_wanted(store, where, found):
    await sold(store, "r1", "r2", "r3")
    await sold(store, "r1", tenant=OTHER_TENANT)
    lit = {"ended_at": NOW + 3 * HOUR, "ended_by": Ending.BUTTON}
    async with store.begin() as tx:
        await tx.compensations.add(a_compensation("r1"))
        await tx.compensations.add(a_compensation("r2", limit_at=NOW + HOUR, sgc="111111"))
        await tx.compensations.add(a_compensation("r3", limit_at=NOW + 2 * HOUR, **lit))
        await tx.compensations.add(a_compensation("r1", tenant=OTHER_TENANT))
    listed, after = [], None
    async with store.look() as tx:
        while True:
            cursor = Cursor(after=after, limit=1)
            page = await tx.compensations.page(TENANT, cursor, CompensationFilter(**where))
            listed += [one.recharge_id for one in page.items]
            if page.next is None:
                break
            after = page.next
        with pytest.raises(MalformedOrder):
            await tx.compensations.page(TENANT, Cursor(after="!"), CompensationFilter())
    assert listed == found


# --- what meters answer -----------------------------------------------------------------------


async def test_a_history_is_one_row_a_meter(store):
    tried = tuple(float(hour) for hour in range(24))
    first = AnswerHistory(tenant=TENANT, drn=DRN, tried=tried, changed_at=NOW)
    second = replace(first, silent_run=3, silent_at=NOW, answered=tried, changed_at=NOW + HOUR)
    async with store.begin() as tx:
        assert await tx.answer_histories.find(TENANT, DRN) is None
        await tx.answer_histories.put(first)
    async with store.begin() as tx:
        assert await tx.answer_histories.find(TENANT, DRN) == first
        await tx.answer_histories.put(second)
    async with store.look() as tx:
        assert await tx.answer_histories.find(TENANT, DRN) == second
        assert await tx.answer_histories.find(OTHER_TENANT, DRN) is None


# --- messages ---------------------------------------------------------------------------------


async def test_messages_of_a_delivery_come_oldest_first(store):
    await sold(store, "r1", "r2")
    second = a_message("m2", sent_at=NOW + SECOND, again_at=None)
    async with store.begin() as tx:
        await tx.sent_messages.add(second)
        await tx.sent_messages.add(a_message())
        await tx.sent_messages.add(a_message("m3", "d-r2"))
    async with store.look() as tx:
        assert await tx.sent_messages.of(TENANT, "d-r1") == [a_message(), second]
        assert await tx.sent_messages.of(OTHER_TENANT, "d-r1") == []


async def test_a_receipt_finds_the_newest_message_of_its_name_at_its_provider(store):
    await sold(store, "r1")
    newer = a_message("m2", reference="same", sent_at=NOW + SECOND)
    async with store.begin() as tx:
        await tx.sent_messages.add(a_message("m1", reference="same"))
        await tx.sent_messages.add(newer)
    for opened in (store.begin, store.look):
        async with opened() as tx:
            assert await tx.sent_messages.named("main", "same") == newer
            assert await tx.sent_messages.named("other", "same") is None
    failed = replace(newer, receipt=Receipt.FAILED, receipt_at=NOW, again_at=NOW)
    async with store.begin() as tx:
        await tx.sent_messages.save(failed)
    async with store.look() as tx:
        assert await tx.sent_messages.due_again(now=NOW, limit=9) == [failed]


async def test_messages_without_a_receipt_are_due_in_their_time(store):
    await sold(store, "r1")
    first = a_message("m1", again_at=NOW - SECOND)
    async with store.begin() as tx:
        await tx.sent_messages.add(a_message("m2", again_at=NOW))
        await tx.sent_messages.add(first)
        await tx.sent_messages.add(a_message("m3", again_at=None))
        await tx.sent_messages.add(a_message("m4", again_at=NOW + SECOND))
    for opened in (store.begin, store.look):
        async with opened() as tx:
            due = await tx.sent_messages.due_again(now=NOW, limit=9)
        assert [one.id for one in due] == ["m1", "m2"]


# --- groups -----------------------------------------------------------------------------------


async def test_the_times_of_a_group_come_back_as_they_went(store):
    times = Restoration(
        tell_after_s=60, limit_after_s=999, contacts=(a_contact(),), at_once_below_percent=0
    )
    group = a_supply_group(restoration=times)
    async with store.begin() as tx:
        await tx.supply_groups.put(group, was=None)
    async with store.look() as tx:
        assert await tx.supply_groups.find(TENANT, group.sgc) == group
