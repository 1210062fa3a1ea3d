"""What bounds harm, in every store: people, audit, caps, counts, approvals, holds, hours."""

import asyncio
from dataclasses import replace
from datetime import date, time, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from adapters.store.transaction import SqlStore
from headend.approvals import Approval, ApprovalState, ApprovalSubject
from headend.audit import BEGINNING, AuditAction, Entry, Head, broken_at, chained
from headend.commands import ChangeKey, Manage
from headend.dangers import SAFE, CapRule, Danger, DangerousOrder, Share, Tally, caps_in_force
from headend.deliveries import DeliveryState, Fact
from headend.errors import Stale
from headend.holds import Hold
from headend.opening_hours import OpeningHours
from headend.pages import Cursor
from headend.people import Person, PersonId
from headend.tokens import ManagementKind, ManagementOrder
from tests.builders import (
    DRN,
    NOW,
    OTHER_TENANT,
    STS,
    TENANT,
    a_delivery,
    a_drn,
    an_ident,
    an_opening,
)

SGC = STS.sgc
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def a_person(name="Ama Mensah", **more: Any):
    fields: dict[str, Any] = {
        "id": PersonId(an_ident()),
        "tenant": TENANT,
        "name": name,
        "sha256": bytes(32),
        "created_at": NOW,
        "renewed_at": NOW,
    }
    return Person(**(fields | more))


def an_entry(**more: Any):
    fields: dict[str, Any] = {
        "tenant": TENANT,
        "at": NOW,
        "by": "key:k1",
        "action": AuditAction.ORDERED,
        "subject": "o1",
        "about": {"danger": "open_supply"},
    }
    return Entry(**(fields | more))


def a_dangerous(ident="o1", **more: Any):
    fields: dict[str, Any] = {
        "tenant": TENANT,
        "id": ident,
        "danger": Danger.OPEN_SUPPLY,
        "drn": DRN,
        "sgc": SGC,
        "ordered_by": "k1",
        "admitted_at": NOW,
    }
    return DangerousOrder(**(fields | more))


def an_approval(order="o1", **more: Any):
    fields: dict[str, Any] = {
        "id": an_ident(),
        "tenant": TENANT,
        "subject": ApprovalSubject.ORDER,
        "order_id": order,
        "danger": Danger.OPEN_SUPPLY,
        "sgc": SGC,
        "drn": DRN,
        "command": an_opening(),
        "ordered_by": "k1",
        "requesters": frozenset({PersonId("p1")}),
        "reason": "above the cap",
        "created_at": NOW,
        "expires_at": NOW + HOUR,
    }
    return Approval(**(fields | more))


def a_hold(**more: Any):
    fields: dict[str, Any] = {
        "id": an_ident(),
        "tenant": TENANT,
        "danger": Danger.OPEN_SUPPLY,
        "sgc": SGC,
        "reason": "5 of 10 failed",
        "since": NOW,
    }
    return Hold(**(fields | more))


async def test_a_person_is_found_renewed_and_revoked_and_never_made_twice(store):
    person = a_person()
    async with store.begin() as tx:
        await tx.people.add(person)
        await tx.people.add(a_person(tenant=OTHER_TENANT))
    async with store.look() as tx:
        assert await tx.people.find(person.id) == person
        assert await tx.people.find("nobody") is None
        assert await tx.people.all(TENANT) == [person]
    for name in ("Ama Mensah", "AMA  mensah ", "ama mensah"):
        with pytest.raises(Stale):
            async with store.begin() as tx:
                await tx.people.add(a_person(name))
    async with store.begin() as tx:
        assert await tx.people.revoke(person.id, NOW + HOUR)
        assert not await tx.people.revoke(person.id, NOW + HOUR)
        with pytest.raises(Stale):  # a revoked name is not free again
            await tx.people.add(a_person())
        assert (await tx.people.find(person.id)).revoked_at == NOW + HOUR
        assert await tx.people.renew(person.id, b"\1" * 32, NOW + 2 * HOUR)
        assert not await tx.people.renew("nobody", b"\1" * 32, NOW)
    async with store.look() as tx:
        again = await tx.people.find(person.id)
    wanted = replace(person, sha256=b"\1" * 32, renewed_at=NOW + 2 * HOUR)
    assert again == wanted


async def test_the_audit_is_one_chain_a_tenant(store):
    entries = [an_entry(subject=f"o{number}", result="é ✓") for number in range(5)]
    for entry in entries:
        async with store.begin() as tx:
            await tx.audit.append(entry)
    async with store.begin() as tx:
        other = await tx.audit.append(an_entry(tenant=OTHER_TENANT))
    assert other.number == 1
    async with store.look() as tx:
        records = await tx.audit.following(TENANT, 0, limit=10)
        assert [record.entry for record in records] == entries
        assert [record.number for record in records] == [1, 2, 3, 4, 5]
        assert broken_at(records, after=Head()) is None
        assert await tx.audit.head(TENANT) == Head(5, records[-1].hash)
        assert await tx.audit.following(TENANT, 3, limit=1) == [records[3]]
        page = await tx.audit.page(TENANT, Cursor(limit=2), action=AuditAction.ORDERED)
        assert page.items == [records[4], records[3]]
        rest = await tx.audit.page(TENANT, Cursor(after=page.next, limit=5))
        assert [record.number for record in rest.items] == [3, 2, 1]
        assert not (await tx.audit.page(TENANT, Cursor(), action=AuditAction.HELD)).items
        assert await tx.audit.head(OTHER_TENANT) == Head(1, other.hash)


def test_a_record_that_was_changed_moved_or_taken_away_shows():
    head, records = Head(), []
    for number in range(4):
        record = chained(an_entry(subject=f"o{number}"), head)
        records.append(record)
        head = Head(record.number, record.hash)
    assert broken_at(records, after=Head(0, BEGINNING)) is None
    assert broken_at([records[0], *records[2:]], after=Head()) == 2
    assert broken_at(records[1:], after=Head()) == 1
    forged = replace(records[2], entry=replace(records[2].entry, by="key:other"))
    assert broken_at([*records[:2], forged, records[3]], after=Head()) == 3


async def test_two_who_write_the_audit_at_once_make_one_chain(sql_store: SqlStore):
    async def one(number):
        async with sql_store.begin() as tx:
            await tx.audit.append(an_entry(subject=f"o{number}"))
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one(number) for number in range(12)))
    async with sql_store.look() as tx:
        records = await tx.audit.following(TENANT, 0, limit=100)
    assert len(records) == 12
    assert broken_at(records, after=Head()) is None


async def test_a_change_behind_our_back_breaks_the_chain(sql_store: SqlStore):
    for number in range(3):
        async with sql_store.begin() as tx:
            await tx.audit.append(an_entry(subject=f"o{number}"))
    async with sql_store._engines.writer.begin() as connection:
        await connection.execute(text("DELETE FROM audit WHERE number = 2"))
    async with sql_store.look() as tx:
        assert broken_at(await tx.audit.following(TENANT, 0, limit=9), after=Head()) == 2


async def test_the_caps_of_a_group_win_over_those_of_the_tenant_and_the_safe_ones(store):
    danger = Danger.OPEN_SUPPLY
    async with store.look() as tx:
        assert await caps_in_force(tx.caps, TENANT, SGC, danger) == SAFE[danger]
    whole = CapRule(
        tenant=TENANT,
        sgc=None,
        danger=danger,
        caps=replace(SAFE[danger], per_key_hour=3, approve_always=True),
        changed_by="person:p1",
        changed_at=NOW,
    )
    own = replace(whole, sgc=SGC, caps=replace(SAFE[danger], per_key_hour=4))
    async with store.begin() as tx:
        await tx.caps.put(whole, was=None)
        await tx.caps.put(own, was=None)
    async with store.look() as tx:
        assert await caps_in_force(tx.caps, TENANT, SGC, danger) == own.caps
        assert await caps_in_force(tx.caps, TENANT, "000001", danger) == whole.caps
        assert await caps_in_force(tx.caps, OTHER_TENANT, SGC, danger) == SAFE[danger]
        assert await tx.caps.all(TENANT) == [whole, own]
    for was in (None, 7):
        with pytest.raises(Stale):
            async with store.begin() as tx:
                await tx.caps.put(replace(own, version=2), was=was)
    async with store.begin() as tx:
        await tx.caps.put(replace(own, version=2), was=1)


async def test_orders_are_counted_by_key_and_group_within_the_hour_and_the_day(store):
    orders = [
        a_dangerous("o1"),
        a_dangerous("o2", admitted_at=NOW - HOUR + MINUTE),
        a_dangerous("o3", admitted_at=NOW - HOUR, three_kct=True),
        a_dangerous("o4", ordered_by="k2"),
        a_dangerous("o5", sgc="000001"),
        a_dangerous("o6", admitted_at=NOW - 24 * HOUR),
        a_dangerous("o7", danger=Danger.KEY_CHANGE),
        a_dangerous("o8", tenant=OTHER_TENANT),
    ]
    async with store.begin() as tx:
        await tx.dangers.lock(TENANT, Danger.OPEN_SUPPLY)
        for order in orders:
            await tx.dangers.add(order)
    async with store.look() as tx:
        tally = await tx.dangers.tally(TENANT, Danger.OPEN_SUPPLY, key="k1", sgc=SGC, now=NOW)
        assert tally == Tally(key_hour=3, key_day=4, group_hour=3, group_day=4)
        assert await tx.dangers.find(TENANT, "o3") == orders[2]
        assert await tx.dangers.find(TENANT, "o9") is None
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.dangers.add(a_dangerous("o1"))


async def test_how_orders_ended_is_noted_once_and_gives_the_share(store):
    states = [DeliveryState.DONE, DeliveryState.FAILED, DeliveryState.CANCELLED]
    states += [DeliveryState.UNRESOLVED, DeliveryState.WAITING]
    async with store.begin() as tx:
        for number, state in enumerate(states):
            delivery = a_delivery(
                id=f"o{number}", command=an_opening(), drn=a_drn(number + 1), state=state
            )
            await tx.deliveries.add(delivery)
            await tx.dangers.add(a_dangerous(f"o{number}", drn=delivery.drn))
        await tx.dangers.add(a_dangerous("never-made"))
    async with store.look() as tx:
        ended = await tx.dangers.ended(since=NOW - HOUR, limit=10)
        assert {(order.id, state) for order, state in ended} == {
            (f"o{number}", state) for number, state in enumerate(states[:-1])
        }
        assert len(await tx.dangers.ended(since=NOW - HOUR, limit=2)) == 2
        assert not await tx.dangers.ended(since=NOW + HOUR, limit=2)
    async with store.begin() as tx:
        for order, state in ended:
            await tx.dangers.settle(replace(order, result=state, ended_at=NOW))
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.dangers.settle(replace(ended[0][0], result=ended[0][1], ended_at=NOW))
    async with store.look() as tx:
        assert not await tx.dangers.ended(since=NOW - HOUR, limit=10)
        before = NOW - MINUTE
        share = await tx.dangers.share(TENANT, Danger.OPEN_SUPPLY, SGC, since=before)
        assert share == Share(ended=3, failed=2)
        assert await tx.dangers.share(TENANT, Danger.OPEN_SUPPLY, SGC, since=NOW) == Share(0, 0)


async def test_doubts_that_wait_for_nobody_count_neither_way(store):
    ends = [
        (DeliveryState.UNRESOLVED, Fact.NOT_AS_ORDERED),
        (DeliveryState.UNRESOLVED, Fact.WITHDRAWN),
        (DeliveryState.UNRESOLVED, Fact.EXPIRED),
        (DeliveryState.FAILED, Fact.NOT_AS_ORDERED),
        (DeliveryState.DONE, None),
    ]
    async with store.begin() as tx:
        for number, (state, fact) in enumerate(ends):
            delivery = a_delivery(
                id=f"o{number}",
                command=an_opening(),
                drn=a_drn(number + 1),
                state=state,
                stopped_by=fact,
            )
            await tx.deliveries.add(delivery)
            order = a_dangerous(f"o{number}", drn=delivery.drn)
            await tx.dangers.add(order)
            await tx.dangers.settle(replace(order, result=state, ended_at=NOW))
    async with store.look() as tx:
        share = await tx.dangers.share(TENANT, Danger.OPEN_SUPPLY, SGC, since=NOW - MINUTE)
        assert share == Share(ended=3, failed=2)


@pytest.mark.parametrize(
    "command",
    [
        an_opening(),
        Manage(ManagementOrder(ManagementKind.POWER_LIMIT, value=6000)),
        ChangeKey(present=STS, to=replace(STS, krn=2)),
    ],
)
async def test_an_approval_is_kept_as_it_is(store, command):
    kept = an_approval(command=command, three_kct=True)
    caps = an_approval(
        subject=ApprovalSubject.CAPS,
        command=None,
        drn=None,
        ordered_by=None,
        sgc=None,
        caps=SAFE[Danger.KEY_CHANGE],
    )
    async with store.begin() as tx:
        await tx.approvals.add(kept)
        await tx.approvals.add(caps)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.approvals.add(an_approval())
    async with store.begin() as tx:
        assert await tx.approvals.find(TENANT, kept.id) == kept
        assert await tx.approvals.find(OTHER_TENANT, kept.id) is None
        assert await tx.approvals.of(TENANT, ApprovalSubject.CAPS, "o1") == caps
        assert await tx.approvals.of(TENANT, ApprovalSubject.JOB, "o1") is None


async def test_an_approval_is_decided_once(store):
    first, second = an_approval("o1"), an_approval("o2", created_at=NOW + MINUTE)
    late = an_approval("o3", expires_at=NOW)
    async with store.begin() as tx:
        for one in (first, second, late):
            await tx.approvals.add(one)
    by = PersonId("p2")
    approved = first.decided(ApprovalState.APPROVED, by=by, now=NOW)
    async with store.begin() as tx:
        await tx.approvals.save(approved, was=ApprovalState.WAITING)
    refused = first.decided(ApprovalState.REFUSED, by=by, now=NOW)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.approvals.save(refused, was=ApprovalState.WAITING)
    async with store.look() as tx:
        assert await tx.approvals.approved(limit=5) == [approved]
        assert await tx.approvals.lapsed(now=NOW, limit=5) == [late]
        page = await tx.approvals.page(TENANT, Cursor(limit=2))
        assert page.items[0] == second
        waiting = await tx.approvals.page(TENANT, Cursor(), state=ApprovalState.WAITING)
        assert {one.id for one in waiting.items} == {second.id, late.id}


async def test_a_kind_is_held_once_in_a_group_until_it_is_lifted(store):
    hold = a_hold()
    async with store.begin() as tx:
        assert await tx.holds.add(hold)
        assert not await tx.holds.add(a_hold())
        assert await tx.holds.add(a_hold(sgc="000001", tenant=OTHER_TENANT))
    async with store.look() as tx:
        assert await tx.holds.in_force(TENANT, Danger.OPEN_SUPPLY, SGC) == hold
        assert await tx.holds.in_force(TENANT, Danger.KEY_CHANGE, SGC) is None
        assert await tx.holds.last_lifted(TENANT, Danger.OPEN_SUPPLY, SGC) is None
        assert await tx.holds.all_in_force(TENANT) == [hold]
    lifted = replace(hold, lifted_at=NOW + HOUR, lifted_by=PersonId("p1"), lift_reason="mended")
    async with store.begin() as tx:
        assert await tx.holds.lift(lifted)
        assert not await tx.holds.lift(lifted)
    async with store.begin() as tx:
        assert await tx.holds.find(TENANT, hold.id) == lifted
        assert await tx.holds.in_force(TENANT, Danger.OPEN_SUPPLY, SGC) is None
        assert await tx.holds.last_lifted(TENANT, Danger.OPEN_SUPPLY, SGC) == NOW + HOUR
        assert await tx.holds.add(a_hold(since=NOW + 2 * HOUR))
    async with store.look() as tx:
        page = await tx.holds.page(TENANT, Cursor(limit=1))
        assert page.items[0].since == NOW + 2 * HOUR
        assert (await tx.holds.page(TENANT, Cursor(after=page.next))).items == [lifted]


async def test_opening_hours_are_kept_as_they_are(store):
    hours = OpeningHours(
        tenant=TENANT,
        sgc=SGC,
        hours={0: (time(8), time(16, 30)), 6: (time.min, time.max)},
        closed_on=frozenset({date(2026, 12, 25), date(2027, 1, 1)}),
        version=1,
        changed_by="person:p1",
        changed_at=NOW,
    )
    async with store.begin() as tx:
        assert await tx.opening_hours.find(TENANT, SGC) is None
        await tx.opening_hours.put(hours, was=None)
    with pytest.raises(Stale):
        async with store.begin() as tx:
            await tx.opening_hours.put(hours, was=None)
    async with store.begin() as tx:
        await tx.opening_hours.put(replace(hours, hours={}, version=2), was=1)
    async with store.look() as tx:
        assert await tx.opening_hours.find(TENANT, SGC) == replace(hours, hours={}, version=2)
