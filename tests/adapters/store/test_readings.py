"""Contract of the store port: readings, events and polls."""

from dataclasses import replace
from datetime import timedelta

import pytest

from headend.meters import BusName
from headend.pages import Cursor
from headend.readings import Quality, ReadingType
from headend.refusals import MalformedOrder
from tests.builders import (
    BUS,
    DRN,
    NOW,
    OTHER_TENANT,
    TENANT,
    a_drn,
    a_meter,
    a_poll,
    a_reading,
    an_event,
)

MINUTE = timedelta(minutes=1)


# --- readings ----------------------------------------------------------------------------------


async def test_a_reading_is_kept_once(store):
    first = a_reading()
    others = [
        a_reading(type=ReadingType.POWER_W, value=-40),
        a_reading(taken_at=NOW + timedelta(microseconds=1), value=2**62),
        a_reading(drn=a_drn(2)),
        a_reading(tenant=OTHER_TENANT),
    ]
    async with store.begin() as tx:
        assert await tx.readings.add([first, *others, first]) == 5
        assert await tx.readings.add([a_reading(value=1), a_reading(drn=a_drn(3))]) == 1
        assert await tx.readings.add([]) == 0
    async with store.look() as tx:
        page = await tx.readings.page(TENANT, DRN, Cursor())
    assert list(page.items) == [others[1], others[0], first]


async def test_thousands_of_readings_are_kept_at_once(store):
    many = [a_reading(taken_at=NOW + n * MINUTE, value=n) for n in range(3_000)]
    async with store.begin() as tx:
        assert await tx.readings.add(many) == 3_000
        assert await tx.readings.add(many) == 0
        assert await tx.readings.latest(TENANT, DRN) == {many[-1].type: many[-1]}


async def test_the_latest_reading_of_each_type_leaves_suspects_out(store):
    energy = [a_reading(taken_at=NOW + n * MINUTE, value=n) for n in range(3)]
    power = a_reading(type=ReadingType.POWER_W, taken_at=NOW - MINUTE, quality=Quality.STALE)
    suspects = [
        a_reading(taken_at=NOW + 3 * MINUTE, quality=Quality.SUSPECT),
        a_reading(type=ReadingType.VOLTAGE_L1_MV, quality=Quality.SUSPECT),
    ]
    others = [a_reading(drn=a_drn(2), taken_at=NOW + 9 * MINUTE), a_reading(tenant=OTHER_TENANT)]
    async with store.begin() as tx:
        await tx.readings.add([*energy, power, *suspects, *others])
    async with store.look() as tx:
        assert await tx.readings.latest(TENANT, DRN) == {
            ReadingType.ENERGY_IMPORT_WH: energy[2],
            ReadingType.POWER_W: power,
        }
        assert await tx.readings.latest(TENANT, DRN, before=NOW + 2 * MINUTE) == {
            ReadingType.ENERGY_IMPORT_WH: energy[1],
            ReadingType.POWER_W: power,
        }
        assert await tx.readings.latest(TENANT, DRN, before=power.taken_at) == {}


async def test_readings_are_paged_newest_first_and_inserts_move_nothing(store):
    types = (ReadingType.POWER_W, ReadingType.ENERGY_IMPORT_WH)
    known = [a_reading(type=type_, taken_at=NOW + n * MINUTE) for n in range(3) for type_ in types]
    async with store.begin() as tx:
        await tx.readings.add(known)
    async with store.look() as tx:
        first = await tx.readings.page(TENANT, DRN, Cursor(limit=4))
    async with store.begin() as tx:
        await tx.readings.add([a_reading(taken_at=NOW + 9 * MINUTE)])
    async with store.look() as tx:
        second = await tx.readings.page(TENANT, DRN, Cursor(limit=4, after=first.next))
        power = await tx.readings.page(TENANT, DRN, Cursor(limit=2), type=ReadingType.POWER_W)
        rest = Cursor(limit=2, after=power.next)
        powers = await tx.readings.page(TENANT, DRN, rest, type=ReadingType.POWER_W)
    newest_first = sorted(known, key=lambda one: (one.taken_at, one.type.value), reverse=True)
    assert [*first.items, *second.items] == newest_first
    assert second.next is None
    assert [one.taken_at for one in (*power.items, *powers.items)] == [
        NOW + 2 * MINUTE,
        NOW + MINUTE,
        NOW,
    ]
    assert powers.next is None


# --- events ------------------------------------------------------------------------------------


async def test_an_event_told_again_by_the_same_message_is_the_same_whenever_it_comes(store):
    first = an_event(message="m1")
    later = [an_event(message="m1", taken_at=NOW + n * MINUTE) for n in range(1, 3)]
    other = an_event(message="m2", taken_at=NOW + MINUTE)
    elsewhere = an_event(message="m1", drn=a_drn(2))
    unnamed = [an_event(taken_at=NOW + n * MINUTE) for n in (5, 6)]
    async with store.begin() as tx:
        assert await tx.events.add([first, later[0]]) == [first]
    async with store.begin() as tx:
        new = await tx.events.add([*later, other, elsewhere, *unnamed])
        assert new == [other, elsewhere, *unnamed]
    async with store.look() as tx:
        page = await tx.events.page(TENANT, DRN, Cursor())
    assert len(page.items) == 4
    assert {event.message for event in page.items} == {"m1", "m2", None}


async def test_an_event_is_kept_once(store):
    first = an_event(argument=2**40)
    others = [
        an_event(number=2**32 - 1),
        an_event(code=0xFFFF),
        an_event(taken_at=NOW - MINUTE),
        an_event(drn=a_drn(2)),
        an_event(tenant=OTHER_TENANT),
    ]
    async with store.begin() as tx:
        assert await tx.events.add([first, *others, first]) == [first, *others]
        third = an_event(number=3)
        assert await tx.events.add([an_event(argument=1), third]) == [third]
        assert not await tx.events.add([])
    found, after = [], None
    async with store.look() as tx:
        while True:
            page = await tx.events.page(TENANT, DRN, Cursor(limit=2, after=after))
            found += page.items
            if (after := page.next) is None:
                break
        with pytest.raises(MalformedOrder):
            await tx.events.page(TENANT, DRN, Cursor(after="W3RydWUsIDEsIDFd"))
    assert found == [others[1], others[0], an_event(number=3), first, others[2]]


# --- polls -------------------------------------------------------------------------------------


async def take_due(tx, **changes):
    arguments = {"now": NOW, "until": NOW + MINUTE, "limit": 9} | changes
    return [poll for poll, _ in await tx.polls.take_due(BUS, **arguments)]


async def test_due_polls_are_taken_longest_due_first_and_put_off(store):
    polls = [
        a_poll(drn=a_drn(number), due_at=NOW - number * MINUTE, misses=number, interval_s=60)
        for number in (1, 2, 3)
    ]
    later = a_poll(drn=a_drn(4), due_at=NOW + timedelta(microseconds=1))
    elsewhere = a_poll(drn=a_drn(5), bus=BusName("line-2"))
    async with store.begin() as tx:
        for poll in (*polls, later, elsewhere):
            await tx.polls.put(poll)
    async with store.begin() as tx:
        taken = await tx.polls.take_due(BUS, now=NOW, until=NOW + MINUTE, limit=2)
        put_off = [replace(poll, due_at=NOW + MINUTE) for poll in (polls[2], polls[1])]
        assert taken == [(poll, a_meter(drn=poll.drn)) for poll in put_off]
        assert await tx.polls.next_due(BUS) == polls[0].due_at
    async with store.begin() as tx:
        assert [poll.drn for poll in await take_due(tx)] == [a_drn(1)]
        assert await take_due(tx) == []
        assert await tx.polls.next_due(BUS) == later.due_at
        assert len(await take_due(tx, now=NOW + MINUTE)) == 4


async def test_a_poll_is_replaced_removed_and_hastened(store):
    async with store.begin() as tx:
        await tx.polls.put(a_poll(due_at=NOW + 2 * MINUTE))
        await tx.polls.put(a_poll(due_at=NOW + 9 * MINUTE, misses=3))
        await tx.polls.put(a_poll(tenant=OTHER_TENANT, bus=BusName("line-2")))
        assert await tx.polls.next_due(BUS) == NOW + 9 * MINUTE
        await tx.polls.hasten(TENANT, DRN, due_at=NOW + MINUTE)
        await tx.polls.hasten(TENANT, DRN, due_at=NOW + 5 * MINUTE)
        await tx.polls.hasten(TENANT, a_drn(9), due_at=NOW)
        assert await tx.polls.next_due(BUS) == NOW + MINUTE
        assert [poll.misses for poll in await take_due(tx, now=NOW + MINUTE)] == [3]
        await tx.polls.remove(TENANT, DRN)
        await tx.polls.remove(TENANT, DRN)
    async with store.look() as tx:
        assert await tx.polls.next_due(BUS) is None
        assert await tx.polls.next_due(BusName("line-2")) == NOW


async def test_where_a_log_was_read_to_is_the_event_that_came_last(store):
    async with store.begin() as tx:
        assert await tx.events.last_number(TENANT, DRN) == 0
        await tx.events.add([an_event(number=900), an_event(number=0, code=3)])
        assert await tx.events.last_number(TENANT, DRN) == 900
        anew = [an_event(number=n, received_at=NOW + MINUTE) for n in (1, 2)]
        await tx.events.add(anew)
        await tx.events.add([an_event(number=5000, drn=a_drn(2), received_at=NOW + 2 * MINUTE)])
    async with store.look() as tx:
        assert await tx.events.last_number(TENANT, DRN) == 2
        assert await tx.events.last_number(OTHER_TENANT, DRN) == 0


async def test_an_event_keeps_the_code_of_its_meter(store):
    async with store.begin() as tx:
        await tx.events.add([an_event(number=1, raw_code=0xF001), an_event(number=2)])
    async with store.look() as tx:
        page = await tx.events.page(TENANT, DRN, Cursor())
    assert {event.number: event.raw_code for event in page.items} == {1: 0xF001, 2: None}
