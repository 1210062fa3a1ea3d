"""Contract of the store port: recharges, tokens and token identifiers."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from headend.deliveries import Fact
from headend.errors import Stale
from headend.meters import StsConfiguration
from headend.pages import Cursor
from headend.quantities import Currency, Unit, Units
from headend.recharges import UNDER_WAY_STATES, RechargeState, first_difference
from headend.refusals import MalformedOrder, TokenKnown
from headend.store import RechargeFilter
from headend.supply import DarkCause, SupplyState
from headend.supply_groups import Reveal
from headend.tokens import TokenPurpose, TokenResult, TokenState
from headend.vending_keys import KeyMark
from tests.builders import (
    DRN,
    NOW,
    OTHER_TENANT,
    STS,
    TENANT,
    a_contact,
    a_delivery,
    a_drn,
    a_key_change,
    a_recharge,
    a_token,
    an_order,
    some_digits,
)

MINUTE = timedelta(minutes=1)
EVERYTHING = RechargeFilter()


def kwh(text: str) -> Units:
    return Units(Decimal(text), Unit.KWH)


def rand(text: str) -> Currency:
    return Currency(Decimal(text), "ZAR")


# --- recharges ---------------------------------------------------------------------------------


async def test_a_recharge_comes_back_as_it_went(store):
    order = an_order(
        id=None,
        idempotency_key="key-1",
        amount=kwh("25.600"),
        fallback_to=(a_contact(), a_contact("+2250700000002")),
        sale={"cart": [{"price": "12.50", "n": 2, "vat": True}, [], None], "débit": -(10**30)},
    )
    opened = a_recharge(id="r-1", order=order)
    async with store.begin() as tx:
        await tx.recharges.add(opened)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, "r-1") == opened
        found = await tx.recharges.find_by_key(TENANT, "key-1")
    assert found == opened
    assert first_difference(found.order, order) is None


async def test_an_order_of_tokens_comes_back_as_it_went(store):
    order = an_order(amount=None, tokens=(some_digits(1), some_digits(2)), reference=None)
    opened = a_recharge(id="order-1", order=order, requested=None)
    async with store.begin() as tx:
        await tx.recharges.add(opened)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, "order-1") == opened


async def test_an_order_with_tuples_in_its_sale_comes_back_equal(store):
    opened = a_recharge(order=an_order(sale={"cart": ("a", ("b", 1))}))
    assert opened.order.sale == {"cart": ["a", ["b", 1]]}
    async with store.begin() as tx:
        await tx.recharges.add(opened)
    async with store.look() as tx:
        found = await tx.recharges.find(TENANT, opened.id)
    assert found == opened
    assert first_difference(found.order, opened.order) is None


async def test_every_field_that_changes_is_saved(store):
    opened = a_recharge()
    changed = replace(
        opened,
        state=RechargeState.DARK,
        sts=StsConfiguration(sgc="000001", krn=2, tariff_index=3, key_type=STS.key_type, ea=11),
        encoded=kwh("25.6"),
        taken=kwh("25.59"),
        tid=17_000_000,
        rnd=9,
        reveal=Reveal.AT_ONCE,
        supply=SupplyState.DARK,
        dark_cause=DarkCause.RELAY_FAULT,
        supply_at=NOW + MINUTE,
        issued_at=NOW + MINUTE,
        replaced_by="r-9",
        reversed_at=NOW + 2 * MINUTE,
        reversal_reason="typed twice",
        changed_at=NOW + 3 * MINUTE,
    )
    async with store.begin() as tx:
        await tx.recharges.add(opened)
        await tx.recharges.save(changed, was=RechargeState.OPEN)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, opened.id) == changed


async def test_what_is_sold_for_money_comes_back_as_money(store):
    opened = a_recharge(requested=rand("100.00"))
    issued = replace(
        opened, state=RechargeState.LIT, encoded=rand("100.00001"), taken=rand("0.00001")
    )
    async with store.begin() as tx:
        await tx.recharges.add(opened)
        assert await tx.recharges.find(TENANT, opened.id) == opened
        await tx.recharges.save(issued, was=RechargeState.OPEN)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, opened.id) == issued
        assert await tx.recharges.bought_since(TENANT, DRN, NOW) == 100


@pytest.mark.parametrize("amount", [Units(Decimal("0.1"), unit) for unit in Unit])
async def test_every_unit_comes_back(store, amount):
    opened = a_recharge(requested=amount)
    async with store.begin() as tx:
        await tx.recharges.add(opened)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, opened.id) == opened


async def test_what_a_recharge_replaces_never_changes(store):
    replacement = a_recharge(replaces="r-1")
    changed = replace(replacement, state=RechargeState.ISSUED)
    async with store.begin() as tx:
        await tx.recharges.add(replacement)
        await tx.recharges.save(replace(changed, replaces="r-2"), was=RechargeState.OPEN)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, replacement.id) == changed


async def test_a_recharge_is_saved_over_the_state_that_was_read_only(store):
    opened = a_recharge()
    async with store.begin() as tx:
        await tx.recharges.add(opened)
        with pytest.raises(Stale):
            await tx.recharges.save(opened, was=RechargeState.ISSUED)
        with pytest.raises(Stale):
            await tx.recharges.save(replace(opened, tenant=OTHER_TENANT), was=RechargeState.OPEN)
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, opened.id) == opened


async def test_an_id_or_key_that_is_taken_is_stale_and_the_transaction_goes_on(store):
    first = a_recharge(id="same", order=an_order(idempotency_key="key-1"))
    async with store.begin() as tx:
        await tx.recharges.add(first)
        with pytest.raises(Stale):
            await tx.recharges.add(a_recharge(id="same"))
        with pytest.raises(Stale):
            await tx.recharges.add(a_recharge(order=an_order(idempotency_key="key-1")))
        await tx.recharges.add(a_recharge(id="same", tenant=OTHER_TENANT))
        await tx.recharges.add(a_recharge())
    async with store.look() as tx:
        assert await tx.recharges.find(TENANT, "same") == first
        assert await tx.recharges.find_by_key(OTHER_TENANT, "key-1") is None


async def test_recharges_are_paged_newest_first_and_inserts_move_nothing(store):
    times = [NOW, NOW, NOW, NOW + MINUTE, NOW + MINUTE]
    known = [a_recharge(created_at=at) for at in times]
    async with store.begin() as tx:
        for recharge in known:
            await tx.recharges.add(recharge)
    async with store.look() as tx:
        first = await tx.recharges.page(TENANT, Cursor(limit=2), EVERYTHING)
    async with store.begin() as tx:
        await tx.recharges.add(a_recharge(created_at=NOW + 2 * MINUTE))
        await tx.recharges.add(a_recharge(created_at=NOW, id="0000"))
    async with store.look() as tx:
        second = await tx.recharges.page(TENANT, Cursor(limit=2, after=first.next), EVERYTHING)
        third = await tx.recharges.page(TENANT, Cursor(limit=9, after=second.next), EVERYTHING)
    ids = [recharge.id for page in (first, second, third) for recharge in page.items]
    newest_first = sorted(known, key=lambda one: (one.created_at, one.id), reverse=True)
    assert ids == [*(recharge.id for recharge in newest_first), "0000"]
    assert third.next is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (RechargeFilter(), ["e", "d", "c", "b", "a"]),
        (RechargeFilter(drn=a_drn(2)), ["c", "b"]),
        (RechargeFilter(state=RechargeState.ISSUED), ["d", "b"]),
        (RechargeFilter(reference="ref-2"), ["d", "c"]),
        (RechargeFilter(since=NOW + MINUTE, until=NOW + 3 * MINUTE), ["c", "b"]),
        (RechargeFilter(drn=a_drn(2), state=RechargeState.ISSUED, since=NOW), ["b"]),
        (RechargeFilter(drn=a_drn(3)), []),
    ],
)
async def test_recharges_are_filtered_by_all_that_is_given(store, where, expected):
    rows = {
        "a": (DRN, RechargeState.OPEN, "ref-1"),
        "b": (a_drn(2), RechargeState.ISSUED, "ref-1"),
        "c": (a_drn(2), RechargeState.OPEN, "ref-2"),
        "d": (DRN, RechargeState.ISSUED, "ref-2"),
        "e": (DRN, RechargeState.LIT, None),
    }
    async with store.begin() as tx:
        for number, (ident, (drn, state, reference)) in enumerate(rows.items()):
            order = an_order(id=ident, drn=drn, reference=reference)
            at = NOW + number * MINUTE
            recharge = a_recharge(id=ident, drn=drn, order=order, state=state, created_at=at)
            await tx.recharges.add(recharge)
        await tx.recharges.add(a_recharge(tenant=OTHER_TENANT))
    found, after = [], None
    async with store.look() as tx:
        while True:
            page = await tx.recharges.page(TENANT, Cursor(limit=2, after=after), where)
            found += [recharge.id for recharge in page.items]
            if (after := page.next) is None:
                break
    assert found == expected


async def test_the_cursor_of_another_listing_is_refused(store):
    async with store.look() as tx:
        cursor = Cursor(after=(await tx.meters.page(TENANT, Cursor(limit=1))).next)
        with pytest.raises(MalformedOrder):
            await tx.recharges.page(TENANT, cursor, EVERYTHING)


async def test_open_recharges_are_left_to_the_sweeper_oldest_first(store):
    old, older = a_recharge(created_at=NOW - MINUTE), a_recharge(created_at=NOW - 2 * MINUTE)
    others = a_recharge(tenant=OTHER_TENANT, created_at=NOW - 3 * MINUTE)
    issued = a_recharge(state=RechargeState.ISSUED, created_at=NOW - MINUTE)
    async with store.begin() as tx:
        for recharge in (a_recharge(), old, older, others, issued):
            await tx.recharges.add(recharge)
    async with store.look() as tx:
        assert await tx.recharges.open(before=NOW, limit=9) == [others, older, old]
        assert await tx.recharges.open(before=NOW, limit=1) == [others]
        assert await tx.recharges.open(before=others.created_at, limit=9) == []


async def test_unlit_recharges_are_those_that_wait_for_light(store):
    by_state = [
        a_recharge(state=state, created_at=NOW + number * MINUTE)
        for number, state in enumerate(RechargeState)
    ]
    async with store.begin() as tx:
        for recharge in by_state:
            await tx.recharges.add(recharge)
        for _ in range(25):
            await tx.recharges.add(a_recharge(drn=a_drn(2), state=RechargeState.DARK))
    async with store.look() as tx:
        states = [recharge.state for recharge in await tx.recharges.unlit(TENANT, DRN)]
        assert states == [
            RechargeState.DARK,
            RechargeState.AWAITING_BUTTON,
            RechargeState.CREDITED,
        ]
        assert len(await tx.recharges.unlit(TENANT, a_drn(2))) == 20
        assert await tx.recharges.unlit(OTHER_TENANT, DRN) == []


async def test_paid_since_looks_at_the_issue_not_at_the_order(store):
    lit = RechargeState.LIT
    issued = a_recharge(created_at=NOW - MINUTE, issued_at=NOW, state=lit)
    async with store.begin() as tx:
        await tx.recharges.add(issued)
        await tx.recharges.add(a_recharge(drn=a_drn(2), created_at=NOW + MINUTE, state=lit))
    async with store.look() as tx:
        assert await tx.recharges.paid_since(TENANT, DRN, NOW)
        assert not await tx.recharges.paid_since(TENANT, DRN, NOW + timedelta(microseconds=1))
        assert not await tx.recharges.paid_since(TENANT, a_drn(2), NOW)
        assert not await tx.recharges.paid_since(OTHER_TENANT, DRN, NOW)


@pytest.mark.parametrize("state", RechargeState)
@pytest.mark.parametrize("stopped_by", [None, Fact.EXPIRED, Fact.WITHDRAWN])
async def test_paid_since_counts_a_sale_that_is_under_way(store, state, stopped_by):
    sale = a_recharge(created_at=NOW - MINUTE, issued_at=NOW - MINUTE, state=state)
    async with store.begin() as tx:
        await tx.recharges.add(sale)
        await tx.deliveries.add(a_delivery(recharge_id=sale.id, stopped_by=stopped_by))
        unmade = a_recharge(drn=a_drn(2), created_at=NOW - MINUTE, state=state)
        await tx.recharges.add(unmade)
    async with store.look() as tx:
        paid = await tx.recharges.paid_since(TENANT, DRN, NOW)
        unmade_paid = await tx.recharges.paid_since(TENANT, a_drn(2), NOW)
    assert paid is (state in UNDER_WAY_STATES and stopped_by is not Fact.WITHDRAWN)
    assert unmade_paid is (state in UNDER_WAY_STATES)


async def test_paid_since_looks_at_when_the_credit_was_in(store):
    lit = RechargeState.LIT
    sale = a_recharge(created_at=NOW - MINUTE, issued_at=NOW - MINUTE, state=lit)
    async with store.begin() as tx:
        await tx.recharges.add(sale)
        await tx.deliveries.add(a_delivery(recharge_id=sale.id, confirmed_at=NOW))
    async with store.look() as tx:
        assert await tx.recharges.paid_since(TENANT, DRN, NOW)
        assert not await tx.recharges.paid_since(TENANT, DRN, NOW + timedelta(microseconds=1))


async def test_what_was_bought_is_added_up_exactly(store):
    counted = ["0.1", "0.2", "18201624.4"]
    async with store.begin() as tx:
        for value in counted:
            await tx.recharges.add(a_recharge(requested=kwh(value), state=RechargeState.LIT))
        await tx.recharges.add(a_recharge(created_at=NOW - MINUTE))
        await tx.recharges.add(a_recharge(state=RechargeState.FAILED))
        await tx.recharges.add(a_recharge(state=RechargeState.REVERSED))
        await tx.recharges.add(a_recharge(state=RechargeState.REPLACED))
        await tx.recharges.add(a_recharge(requested=None))
        await tx.recharges.add(a_recharge(drn=a_drn(2)))
        await tx.recharges.add(a_recharge(tenant=OTHER_TENANT))
    async with store.look() as tx:
        assert await tx.recharges.bought_since(TENANT, DRN, NOW) == Decimal("18201624.7")
        assert await tx.recharges.bought_since(TENANT, DRN, NOW + MINUTE) == 0


# --- tokens ------------------------------------------------------------------------------------


@pytest.fixture
async def sold(store):
    """Two deliveries to one meter, of a recharge and of none, and one of another tenant."""
    async with store.begin() as tx:
        await tx.recharges.add(a_recharge(id="r-1"))
        await tx.deliveries.add(a_delivery(id="d-1", recharge_id="r-1"))
        await tx.deliveries.add(a_delivery(id="d-2", command=a_key_change()))
        await tx.deliveries.add(a_delivery(id="d-3", tenant=OTHER_TENANT))
    return store


async def test_tokens_come_back_in_the_order_of_entry(sold):
    second = a_token(
        delivery_id="d-1", sequence=2, tid=5, purpose=TokenPurpose.KEY_CHANGE, mark=KeyMark.LIVE
    )
    first = a_token(delivery_id="d-1", sequence=1, tid=5, mark=KeyMark.TEST)
    other = a_token(delivery_id="d-2", tid=5)
    async with sold.begin() as tx:
        for token in (second, first, other):
            await tx.tokens.add(token)
    async with sold.look() as tx:
        assert await tx.tokens.of("d-1", TENANT) == [first, second]
        assert await tx.tokens.of("d-1", OTHER_TENANT) == []
        assert await tx.tokens.find(TENANT, second.id) == second
        assert await tx.tokens.find(OTHER_TENANT, second.id) is None
        assert await tx.tokens.by_tid(TENANT, DRN, 5) == [first, second, other]
        assert await tx.tokens.by_tid(TENANT, DRN, 6) == []
        assert await tx.tokens.by_tid(OTHER_TENANT, DRN, 5) == []


async def test_digits_belong_to_one_token_of_a_meter(sold):
    token = a_token(delivery_id="d-1")
    async with sold.begin() as tx:
        await tx.tokens.add(token)
        with pytest.raises(TokenKnown) as known:
            await tx.tokens.add(a_token(delivery_id="d-2", digits=token.digits))
        # Another tenant may have a meter of the same number, and the vault the same test key.
        await tx.tokens.add(a_token(delivery_id="d-3", tenant=OTHER_TENANT, digits=token.digits))
    assert token.digits not in str(known.value)
    async with sold.look() as tx:
        assert await tx.tokens.of("d-2", TENANT) == []


async def test_a_token_is_found_by_its_digits(sold):
    token = a_token(delivery_id="d-2", purpose=TokenPurpose.KEY_CHANGE)
    async with sold.begin() as tx:
        await tx.tokens.add(token)
        await tx.tokens.add(a_token(delivery_id="d-1"))
    async with sold.look() as tx:
        assert await tx.tokens.by_digits(TENANT, DRN, token.digits) == token
        assert await tx.tokens.by_digits(TENANT, a_drn(2), token.digits) is None
        assert await tx.tokens.by_digits(OTHER_TENANT, DRN, token.digits) is None
        assert await tx.tokens.by_digits(TENANT, DRN, some_digits(10**19)) is None


async def test_what_became_of_a_token_is_saved(sold):
    token = a_token(delivery_id="d-1")
    taken = replace(token, state=TokenState.TAKEN, result=TokenResult.ACCEPT, taken_at=NOW)
    async with sold.begin() as tx:
        await tx.tokens.add(token)
        await tx.tokens.save(taken)
        with pytest.raises(Stale):
            await tx.tokens.save(replace(taken, tenant=OTHER_TENANT))
        with pytest.raises(Stale):
            await tx.tokens.save(a_token())
    async with sold.look() as tx:
        assert await tx.tokens.find(TENANT, token.id) == taken


# --- token identifiers -------------------------------------------------------------------------


async def test_a_token_identifier_is_never_given_twice(store):
    async with store.begin() as tx:
        assert await tx.tids.last(TENANT, DRN, 1993) is None
        await tx.tids.give(TENANT, DRN, 1993, 100)
        assert await tx.tids.last(TENANT, DRN, 1993) == 100
    async with store.begin() as tx:
        for tid in (99, 100):
            with pytest.raises(Stale):
                await tx.tids.give(TENANT, DRN, 1993, tid)
        await tx.tids.give(TENANT, DRN, 1993, 101)
        assert await tx.tids.last(TENANT, DRN, 1993) == 101
        assert await tx.tids.last(TENANT, DRN, 2014) is None
        assert await tx.tids.last(OTHER_TENANT, DRN, 1993) is None
        await tx.tids.give(OTHER_TENANT, DRN, 1993, 7)
        assert await tx.tids.last(TENANT, DRN, 1993) == 101
