"""Contract of the store port: deliveries and their attempts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headend.agenda import Urgency
from headend.commands import ChangeKey, Manage, SetClock, SetSupply
from headend.deliveries import Confirmation, DeliveryMethod, DeliveryState, Fact
from headend.errors import Stale
from headend.meters import BusName
from headend.store import Leased
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementKind, TokenPurpose, TokenResult
from tests.builders import (
    BUS,
    DRN,
    NOW,
    OTHER_TENANT,
    STS,
    TENANT,
    a_delivery,
    a_drn,
    a_key_change,
    a_management_order,
    a_meter,
    a_recharge,
    a_token,
    an_attempt,
    an_opening,
)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
WAITING, SENDING = DeliveryState.WAITING, DeliveryState.SENDING
UNCERTAIN, DONE = DeliveryState.UNCERTAIN, DeliveryState.DONE
REMOTE, LOCAL, MANUAL = DeliveryMethod
BY_HAND = frozenset({MANUAL})


async def add(store, *deliveries):
    async with store.begin() as tx:
        for delivery in deliveries:
            await tx.deliveries.add(delivery)
    return deliveries


async def take(store, *, bus=BUS, now=NOW, limit=9, priorities=range(-1, 9)):
    async with store.begin() as tx:
        return await tx.deliveries.take_next(
            bus,
            priorities=priorities,
            now=now,
            lease_id="lease-1",
            lease_until=now + 60 * SECOND,
            limit=limit,
        )


async def taken(store, **arguments):
    return [leased.delivery.id for leased in await take(store, **arguments)]


async def next_due(store, bus=BUS, now=NOW):
    async with store.look() as tx:
        due = await tx.deliveries.next_due(bus, now=now)
        return min(due.values(), default=None)


# --- one delivery ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delivery",
    [
        a_delivery(),
        a_delivery(bus=None, command=SetClock(), methods=frozenset(), fallback_at=None),
        a_delivery(command=an_opening(), ordered_by="key-1", rank=2**40),
        *[a_delivery(command=Manage(a_management_order(kind))) for kind in ManagementKind],
        a_delivery(command=a_key_change(), size=3, confirmed_by=Confirmation.PERSON),
        a_delivery(
            state=UNCERTAIN,
            methods=frozenset({LOCAL}),
            attempts=3,
            lockouts=1,
            size=4,
            entered=2,
            maybe_taken=True,
            doubted_at=NOW - SECOND,
            revealed=True,
            handed_at=NOW + timedelta(microseconds=1),
            told_at=NOW + SECOND,
            hand_attempts=2,
            hand_not_before=NOW + 2 * SECOND,
            not_before=NOW + 3 * SECOND,
            confirmed_by=Confirmation.CREDIT_REGISTER,
            confirmed_at=NOW + 4 * SECOND,
            stopped_by=Fact.KEY_MISMATCH,
            result=TokenResult.REQUEST_ID_USED,
            lease_id="lease-1",
            lease_until=NOW + 5 * SECOND,
            changed_at=NOW + 6 * SECOND,
        ),
    ],
)
async def test_a_delivery_comes_back_as_it_went(store, delivery):
    await add(store, delivery)
    async with store.look() as tx:
        assert await tx.deliveries.find(TENANT, delivery.id) == delivery
        assert await tx.deliveries.find(OTHER_TENANT, delivery.id) is None
        assert await tx.deliveries.find(TENANT, "unknown") is None


async def test_an_id_is_taken_within_its_tenant_only(store):
    ours = a_delivery(id="order-1")
    theirs = a_delivery(id="order-1", tenant=OTHER_TENANT, command=SetClock())
    await add(store, ours, theirs)
    done = replace(theirs, state=DONE)
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.deliveries.add(a_delivery(id="order-1", drn=a_drn(2)))
        await tx.deliveries.save(done, was=WAITING)
    async with store.look() as tx:
        assert await tx.deliveries.find(TENANT, "order-1") == ours
        assert await tx.deliveries.find(OTHER_TENANT, "order-1") == done


async def test_a_recharge_has_one_delivery(store):
    delivery = a_delivery(recharge_id="r-1")
    async with store.begin() as tx:
        await tx.recharges.add(a_recharge(id="r-1"))
        await tx.deliveries.add(delivery)
        with pytest.raises(Stale):
            await tx.deliveries.add(a_delivery(recharge_id="r-1"))
        assert await tx.deliveries.of("r-1", TENANT) == delivery
        assert await tx.deliveries.of("r-1", OTHER_TENANT) is None
        assert await tx.deliveries.of("r-2", TENANT) is None


async def test_a_delivery_is_saved_over_the_state_and_lease_that_were_read_only(store):
    (waiting,) = await add(store, a_delivery())
    (leased,) = await take(store)
    sending = leased.delivery
    done = sending.after(Fact.ACCEPTED, now=NOW + SECOND)
    async with store.begin() as tx:
        with pytest.raises(Stale):
            await tx.deliveries.save(done, was=WAITING)
        with pytest.raises(Stale):
            await tx.deliveries.save(done, was=SENDING, lease_id="lease-2")
        with pytest.raises(Stale):
            await tx.deliveries.save(replace(done, tenant=OTHER_TENANT), was=SENDING)
        await tx.deliveries.save(done, was=SENDING, lease_id="lease-1")
        with pytest.raises(Stale):
            await tx.deliveries.save(done, was=SENDING)
    async with store.look() as tx:
        assert await tx.deliveries.find(TENANT, waiting.id) == done


# --- take_next ---------------------------------------------------------------------------------


async def test_a_delivery_is_leased_with_its_meter_and_tokens(store):
    delivery = a_delivery(recharge_id="r-1", state=UNCERTAIN, attempts=2, maybe_taken=True)
    tokens = tuple(a_token(delivery_id=delivery.id, sequence=sequence) for sequence in (1, 2))
    clock = a_delivery(command=SetClock(), drn=a_drn(2))
    change = a_delivery(command=a_key_change(), drn=a_drn(3), rank=2)
    key = a_token(delivery_id=change.id, drn=a_drn(3), purpose=TokenPurpose.KEY_CHANGE)
    async with store.begin() as tx:
        await tx.recharges.add(a_recharge(id="r-1"))
    await add(store, delivery, clock, change)
    async with store.begin() as tx:
        for token in (*reversed(tokens), key):
            await tx.tokens.add(token)

    leased = await take(store, now=NOW + SECOND)

    def sent(one):
        after = one.after(Fact.LEASED, now=NOW + SECOND)
        return replace(after, lease_id="lease-1", lease_until=NOW + 61 * SECOND)

    expected = [
        Leased(sent(delivery), a_meter(), tokens),
        Leased(sent(change), a_meter(drn=a_drn(3)), (key,)),
        Leased(sent(clock), a_meter(drn=a_drn(2)), ()),
    ]
    assert list(leased) == expected
    async with store.look() as tx:
        assert await tx.deliveries.find(TENANT, delivery.id) == expected[0].delivery
    assert await taken(store, now=NOW + SECOND) == []


async def test_only_what_may_be_sent_now_over_this_bus_is_taken(store):
    states = [state for state in DeliveryState if state not in (WAITING, UNCERTAIN)]
    unfit: list[dict[str, Any]] = [
        *({"state": state, "lease_until": NOW} for state in states),
        {"bus": None},
        {"bus": BusName("line-2")},
        {"methods": BY_HAND},
        {"not_before": NOW + timedelta(microseconds=1)},
        {"deadline": NOW},
    ]
    for number, fields in enumerate(unfit):
        tenant = TENANT if number < 9 else OTHER_TENANT
        await add(store, a_delivery(drn=a_drn(number % 9 + 1), tenant=tenant, **fields))
    assert await taken(store) == []
    assert len(await taken(store, bus=BusName("line-2"))) == 1


async def test_priority_goes_before_rank_across_meters(store):
    clock, late, early, opening = await add(
        store,
        a_delivery(drn=a_drn(1), rank=1, command=SetClock()),
        a_delivery(drn=a_drn(2), rank=9),
        a_delivery(drn=a_drn(3), rank=5),
        a_delivery(drn=a_drn(4), rank=2, command=an_opening()),
    )
    assert await taken(store, limit=3) == [early.id, late.id, opening.id]
    assert await taken(store, limit=3) == [clock.id]


async def test_only_those_of_the_priorities_asked_for_are_taken(store):
    clock, token, opening, hindered = await add(
        store,
        a_delivery(drn=a_drn(1), command=SetClock()),
        a_delivery(drn=a_drn(2)),
        a_delivery(drn=a_drn(3), command=an_opening()),
        a_delivery(drn=a_drn(2), command=SetClock()),  # behind the token of its meter
    )
    assert await taken(store, priorities=(Urgency.READING,)) == [clock.id]
    async with store.look() as tx:
        due = await tx.deliveries.next_due(BUS, now=NOW)
    assert due == {one.priority: NOW for one in (token, opening, hindered)}
    assert await taken(store, priorities=(Urgency.TOKEN, Urgency.SUPPLY)) == [token.id, opening.id]
    assert await taken(store, priorities=(Urgency.READING,)) == []


async def test_a_token_of_a_job_lets_a_later_one_from_a_till_go_first(store):
    bulk, till = await add(
        store,
        a_delivery(rank=1, priority=Urgency.BULK),
        a_delivery(rank=2),
    )
    assert await taken(store, priorities=(Urgency.BULK,)) == []
    assert await taken(store) == [till.id]
    async with store.begin() as tx:
        sent = await tx.deliveries.find(TENANT, till.id)
        await tx.deliveries.save(sent.after(Fact.ACCEPTED, now=NOW), was=SENDING)
    assert await taken(store, priorities=(Urgency.BULK,)) == [bulk.id]


async def test_a_meter_is_given_one_delivery_at_a_time(store):
    first, second, clock, others = await add(
        store,
        a_delivery(rank=1, state=UNCERTAIN),
        a_delivery(rank=2),
        a_delivery(command=SetClock()),
        a_delivery(tenant=OTHER_TENANT, rank=3),
    )
    assert await taken(store) == [first.id, others.id]
    assert await taken(store) == []
    async with store.begin() as tx:
        sent = await tx.deliveries.find(TENANT, first.id)
        await tx.deliveries.save(sent.after(Fact.ACCEPTED, now=NOW), was=SENDING)
    assert await taken(store) == [second.id]
    assert await next_due(store) is None
    assert (await take(store, limit=0)) in ([], ())
    async with store.begin() as tx:
        sent = await tx.deliveries.find(TENANT, second.id)
        await tx.deliveries.save(sent.after(Fact.ACCEPTED, now=NOW), was=SENDING)
    assert await taken(store) == [clock.id]


@pytest.mark.parametrize(
    ("earlier", "held_back"),
    [
        ({}, True),
        ({"not_before": NOW + HOUR}, True),
        ({"not_before": NOW + HOUR, "state": UNCERTAIN}, False),
        ({"not_before": NOW + HOUR, "handed_at": NOW}, False),
        ({"not_before": NOW + HOUR, "command": SetClock(), "priority": -1}, False),
        ({"not_before": NOW + HOUR, "methods": BY_HAND}, False),
        ({"not_before": NOW + HOUR, "bus": BusName("line-2")}, True),
        ({"not_before": NOW + HOUR, "rank": 3}, False),
        ({"not_before": NOW + HOUR, "drn": a_drn(2)}, False),
        ({"not_before": NOW + HOUR, "tenant": OTHER_TENANT}, False),
        ({"state": DONE}, False),
        ({"state": SENDING, "lease_until": NOW, "rank": 3, "bus": BusName("line-2")}, True),
    ],
)
async def test_one_that_waits_holds_back_the_later_ones_of_its_priority(store, earlier, held_back):
    _, later = await add(store, a_delivery(**({"rank": 1} | earlier)), a_delivery(rank=2))
    assert (later.id not in await taken(store)) is held_back


@pytest.mark.parametrize(
    ("action", "passes"), [(SupplyAction.PERMIT_CLOSE, True), (SupplyAction.OPEN, False)]
)
async def test_permitting_supply_waits_behind_nothing_that_is_kept_back(store, action, passes):
    supply = SetSupply(action, SupplyReason.NON_PAYMENT, expires_at=NOW + HOUR)
    kept_back, later = await add(
        store,
        a_delivery(rank=1, not_before=NOW + HOUR),
        a_delivery(rank=2, command=supply, priority=a_delivery().priority),
    )
    assert await taken(store) == [later.id] * passes
    assert await next_due(store) == (None if passes else kept_back.not_before)


async def test_of_equal_rank_the_older_id_goes_first(store):
    first, second = await add(store, a_delivery(rank=1), a_delivery(rank=1))
    assert await taken(store) == [first.id]
    assert second.id > first.id


async def test_next_due_is_when_the_bus_has_something_to_do(store):
    assert await next_due(store) is None
    blocker, blocked, soon = await add(
        store,
        a_delivery(rank=1, not_before=NOW + HOUR),
        a_delivery(rank=2, not_before=NOW),
        a_delivery(drn=a_drn(2), not_before=NOW + 2 * HOUR, state=UNCERTAIN),
    )
    assert await next_due(store) == NOW + HOUR
    assert await taken(store, now=NOW + HOUR) == [blocker.id]
    assert await next_due(store) == NOW + 2 * HOUR
    assert await next_due(store, BusName("line-2")) is None
    assert await next_due(store, now=soon.deadline) is None
    assert blocked.not_before < NOW + HOUR


# --- what no bus cares for ---------------------------------------------------------------------


async def test_lapsed_leases_are_found_for_every_tenant(store):
    lease = {"state": SENDING, "lease_id": "lease-1"}
    late, later, others, _, _ = await add(
        store,
        a_delivery(**lease, lease_until=NOW - 2 * SECOND),
        a_delivery(**lease, lease_until=NOW, drn=a_drn(2)),
        a_delivery(**lease, lease_until=NOW - SECOND, tenant=OTHER_TENANT),
        a_delivery(**lease, lease_until=NOW + SECOND, drn=a_drn(3)),
        a_delivery(state=DONE, lease_until=NOW - HOUR, drn=a_drn(4)),
    )
    for opened in (store.begin, store.look):
        async with opened() as tx:
            assert await tx.deliveries.lapsed(now=NOW, limit=9) == [late, others, later]
            assert await tx.deliveries.lapsed(now=NOW, limit=1) == [late]


async def test_what_is_being_sent_on_one_bus_is_found_whatever_its_lease(store):
    lease = {"state": SENDING, "lease_id": "lease-1"}
    later, late, _, _ = await add(
        store,
        a_delivery(**lease, lease_until=NOW + HOUR),
        a_delivery(**lease, lease_until=NOW - HOUR, drn=a_drn(2), tenant=OTHER_TENANT),
        a_delivery(**lease, lease_until=NOW, drn=a_drn(3), bus=BusName("another")),
        a_delivery(drn=a_drn(4)),
    )
    for opened in (store.begin, store.look):
        async with opened() as tx:
            assert await tx.deliveries.sending(BUS, limit=9) == [late, later]
            assert await tx.deliveries.sending(BUS, limit=1) == [late]


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({}, False),
        ({"fallback_at": NOW}, True),
        ({"fallback_at": NOW, "state": UNCERTAIN}, True),
        ({"fallback_at": NOW, "state": SENDING, "lease_until": NOW}, True),
        ({"fallback_at": NOW, "state": DONE}, False),
        ({"fallback_at": NOW, "handed_at": NOW}, False),
        ({"fallback_at": NOW, "hand_not_before": NOW + SECOND}, False),
        ({"fallback_at": NOW, "hand_not_before": NOW}, True),
        ({"fallback_at": NOW, "methods": frozenset({REMOTE})}, False),
        ({"fallback_at": None}, False),
        ({"fallback_at": None, "methods": frozenset({LOCAL})}, True),
        ({"methods": BY_HAND}, True),
        ({"methods": BY_HAND, "handed_at": NOW}, False),
        ({"methods": BY_HAND, "hand_not_before": NOW + SECOND}, False),
        ({"methods": frozenset()}, False),
        ({"deadline": NOW, "methods": frozenset()}, True),
        ({"deadline": NOW, "handed_at": NOW, "state": UNCERTAIN}, True),
        ({"deadline": NOW, "hand_not_before": NOW + SECOND}, True),
        ({"deadline": NOW, "state": SENDING, "lease_until": NOW}, False),
        ({"deadline": NOW, "state": DeliveryState.UNRESOLVED}, False),
    ],
)
async def test_due_to_people_is_what_no_bus_cares_for(store, fields, due):
    (delivery,) = await add(store, a_delivery(**fields))
    for opened in (store.begin, store.look):
        async with opened() as tx:
            found = await tx.deliveries.due_to_people(now=NOW, limit=9)
        assert found == ([delivery] if due else [])


async def test_due_to_people_comes_oldest_first(store):
    new, old, others = await add(
        store,
        a_delivery(fallback_at=NOW),
        a_delivery(fallback_at=NOW, created_at=NOW - SECOND, drn=a_drn(2)),
        a_delivery(deadline=NOW, created_at=NOW - HOUR, tenant=OTHER_TENANT),
    )
    async with store.look() as tx:
        assert await tx.deliveries.due_to_people(now=NOW, limit=9) == [others, old, new]
        assert await tx.deliveries.due_to_people(now=NOW, limit=2) == [others, old]


async def test_good_news_is_for_those_who_hold_digits_and_were_not_told(store):
    done = {"state": DONE, "handed_at": NOW}
    new, old, *_ = await add(
        store,
        a_delivery(**done, hand_not_before=NOW),
        a_delivery(**done, created_at=NOW - SECOND, drn=a_drn(2)),
        a_delivery(**done, told_at=NOW, drn=a_drn(3)),
        a_delivery(**done, hand_not_before=NOW + SECOND, drn=a_drn(4)),
        a_delivery(state=DONE, drn=a_drn(5)),
        a_delivery(handed_at=NOW, drn=a_drn(6)),
    )
    for opened in (store.begin, store.look):
        async with opened() as tx:
            assert await tx.deliveries.to_tell(now=NOW, limit=9) == [old, new]
            assert await tx.deliveries.to_tell(now=NOW, limit=1) == [old]


# --- by meter and by key -----------------------------------------------------------------------


async def test_the_deliveries_of_a_meter_come_by_priority_and_rank(store):
    clock, second, first, done, *_ = await add(
        store,
        a_delivery(command=SetClock(), rank=0),
        a_delivery(rank=2),
        a_delivery(rank=1, state=UNCERTAIN),
        a_delivery(rank=0, state=DONE),
        a_delivery(drn=a_drn(2)),
        a_delivery(tenant=OTHER_TENANT),
    )
    open_states = frozenset({WAITING, UNCERTAIN})
    for opened in (store.begin, store.look):
        async with opened() as tx:
            of_meter = tx.deliveries.of_meter
            assert await of_meter(TENANT, DRN, states=open_states) == [first, second, clock]
            assert await of_meter(TENANT, DRN, states=frozenset({DONE})) == [done]
            assert await of_meter(TENANT, DRN, states=frozenset()) == []


async def test_the_deliveries_of_a_meter_end_at_a_hundred(store):
    await add(store, *(a_delivery(rank=rank, state=DONE) for rank in range(110)))
    async with store.look() as tx:
        found = await tx.deliveries.of_meter(TENANT, DRN, states=frozenset({DONE}))
    assert [delivery.rank for delivery in found] == list(range(100))


async def test_a_meter_that_is_alive_hastens_what_waits_for_it(store):
    later = NOW + HOUR
    waiting, uncertain, locked_out, due, *others = await add(
        store,
        a_delivery(not_before=later),
        a_delivery(not_before=later, state=UNCERTAIN, result=TokenResult.NOT_READY),
        a_delivery(not_before=later, result=TokenResult.LOCK_OUT),
        a_delivery(not_before=NOW - SECOND),
        a_delivery(not_before=later, state=SENDING, lease_until=later),
        a_delivery(not_before=later, drn=a_drn(2)),
        a_delivery(not_before=later, tenant=OTHER_TENANT),
    )
    async with store.begin() as tx:
        assert await tx.deliveries.hasten(TENANT, DRN, now=NOW) == 2
        assert await tx.deliveries.hasten(TENANT, DRN, now=NOW) == 0
    async with store.look() as tx:
        for delivery in (waiting, uncertain):
            hastened = await tx.deliveries.find(TENANT, delivery.id)
            assert hastened == replace(delivery, not_before=NOW)
        for delivery in (locked_out, due, *others):
            assert await tx.deliveries.find(delivery.tenant, delivery.id) == delivery


async def test_deliveries_of_one_id_are_leased_each_with_what_is_its_own(store):
    kept = a_drn(2)
    ours = a_delivery(id="order-1")
    theirs = a_delivery(id="order-1", tenant=OTHER_TENANT, drn=kept)
    later = a_delivery(id="order-2", not_before=NOW + HOUR)
    theirs_now = a_delivery(id="order-2", tenant=OTHER_TENANT, drn=a_drn(3))
    await add(store, ours, theirs, later, theirs_now)
    tokens = [
        a_token(tenant=one.tenant, drn=one.drn, delivery_id=one.id)
        for one in (ours, theirs, theirs_now)
    ]
    async with store.begin() as tx:
        for token in tokens:
            await tx.tokens.add(token)
    (first,) = await take(store, limit=1)
    everything = (first, *await take(store))
    leased = {(one.delivery.tenant, one.delivery.id): one for one in everything}
    assert len(leased) == len(everything)
    assert leased.keys() == {(one.tenant, one.delivery_id) for one in tokens}
    for token in tokens:
        one = leased[token.tenant, token.delivery_id]
        assert (one.meter.tenant, one.meter.drn, one.tokens) == (token.tenant, token.drn, (token,))
    async with store.look() as tx:
        assert await tx.deliveries.find(TENANT, later.id) == later


async def test_commands_of_one_kind_to_a_meter_come_newest_first(store):
    changes = await add(
        store,
        *[
            a_delivery(
                id=f"k{number:02d}",
                command=a_key_change(),
                state=UNCERTAIN if number % 2 else DONE,
                created_at=NOW + number // 2 * SECOND,
            )
            for number in range(24)
        ],
    )
    managed = a_delivery(command=Manage(a_management_order(), STS))
    opening = a_delivery(command=an_opening(), state=DONE)
    strangers = (
        a_delivery(),
        a_delivery(command=SetClock()),
        opening,
        a_delivery(command=a_key_change(), drn=a_drn(2)),
        a_delivery(command=a_key_change(), tenant=OTHER_TENANT),
    )
    await add(store, managed, *strangers)
    both = frozenset({UNCERTAIN, DONE})
    async with store.begin() as tx:
        assert list(await tx.deliveries.newest_of(TENANT, DRN, ChangeKey, states=both)) == list(
            reversed(changes[4:])
        )
        done = await tx.deliveries.newest_of(TENANT, DRN, ChangeKey, states=frozenset({DONE}))
        assert list(done) == [one for one in reversed(changes) if one.state is DONE]
        waiting = frozenset({WAITING})
        assert list(await tx.deliveries.newest_of(TENANT, DRN, Manage, states=waiting)) == [managed]
        assert list(await tx.deliveries.newest_of(TENANT, DRN, Manage, states=both)) == []
        assert list(await tx.deliveries.newest_of(TENANT, DRN, SetSupply, states=both)) == [opening]


# --- attempts ----------------------------------------------------------------------------------


async def test_the_last_two_hundred_attempts_come_oldest_first(store):
    delivery, other, third = await add(store, a_delivery(), a_delivery(drn=a_drn(2)), a_delivery())
    attempts = [
        an_attempt(
            delivery_id=delivery.id, started_at=NOW + number // 2 * SECOND, detail=str(number)
        )
        for number in range(205)
    ]
    of_every_outcome = [
        an_attempt(delivery_id=third.id, started_at=NOW + number * SECOND, outcome=fact)
        for number, fact in enumerate(Fact)
    ]
    of_other = an_attempt(
        delivery_id=other.id,
        method=MANUAL,
        outcome=Fact.REFUSED,
        result=TokenResult.CRC_ERROR,
        log_absent=True,
    )
    async with store.begin() as tx:
        for attempt in (*attempts, of_other, *of_every_outcome):
            await tx.attempts.add(attempt)
    async with store.look() as tx:
        assert await tx.attempts.of(delivery.id, TENANT) == attempts[5:]
        assert await tx.attempts.of(other.id, TENANT) == [of_other]
        assert await tx.attempts.of(third.id, TENANT) == of_every_outcome
        assert await tx.attempts.of("unknown", TENANT) == []


async def test_attempts_of_one_delivery_id_are_apart_by_tenant(store):
    await add(store, a_delivery(id="order-1"), a_delivery(id="order-1", tenant=OTHER_TENANT))
    ours = an_attempt(delivery_id="order-1")
    theirs = an_attempt(delivery_id="order-1", tenant=OTHER_TENANT, outcome=Fact.ACCEPTED)
    async with store.begin() as tx:
        for attempt in (ours, theirs):
            await tx.attempts.add(attempt)
    async with store.look() as tx:
        assert await tx.attempts.of("order-1", TENANT) == [ours]
        assert await tx.attempts.of("order-1", OTHER_TENANT) == [theirs]
