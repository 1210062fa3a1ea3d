"""The published tokens come out of the vault digit for digit, and it reads each of them back."""

from datetime import datetime, timedelta, timezone

import pytest

from headend.meters import Service, StsConfiguration
from headend.quantities import Currency, Units
from headend.refusals import AmountNotPositive
from headend.tokens import ManagementKind, ManagementOrder, TokenOrder, TokenPurpose
from protocols.sts.sta import SAMPLE
from tests.adapters.vault import published
from tests.adapters.vault.conftest import TENANT
from tests.builders import a_meter

SOLD = [one for one in published.tokens() if one.is_sold]
NEGATIVE = [one for one in published.tokens() if not one.is_sold]
TESTS = published.tests()
SETS = published.sets()


def a_meter_of(order: TokenOrder):
    """The meter that an order is for."""
    currency = order.content.code if isinstance(order.content, Currency) else None
    return a_meter(
        tenant=TENANT, drn=order.drn, service=order.service, sts=order.sts, currency=currency
    )


def test_every_published_token_is_accounted_for():
    counted = len(SOLD) + len(NEGATIVE) + len(TESTS) + len(SETS) + len(published.extended_reads())
    made = [vector for vector in published.VECTORS if vector["kind"].startswith("token")]
    without_vending_key = [
        vector
        for vector in made
        if vector["kind"] in published.MADE_FROM_KEYS and "vending_key" not in vector["inputs"]
    ]
    assert counted + len(without_vending_key) == len(made)
    assert len(without_vending_key) == 1
    assert len(NEGATIVE) == 2


def test_the_published_tokens_are_of_every_algorithm_and_service():
    keys = {(one.order.sts.ea, one.keys[0].dkga) for one in SOLD}
    assert keys == {(11, 4), (7, 4), (7, 2)}
    sales = [one.order for one in SOLD if isinstance(one.order.content, Units)]
    assert {order.service for order in sales} == set(Service)
    kinds = {
        one.order.content.kind for one in SOLD if isinstance(one.order.content, ManagementOrder)
    }
    unpublished = {
        ManagementKind.TARIFF_RATE, ManagementKind.WATER_FACTOR
    }  # fmt: skip
    assert kinds == {kind for kind in ManagementKind if kind.needs_key} - unpublished


@pytest.mark.parametrize("one", **published.of_ids(SOLD))
async def test_a_published_token_comes_out_and_is_read_back(make_vault, add_keys, one):
    await add_keys(*one.keys)
    vault = make_vault(tables=SAMPLE)
    issued = await vault.issue(one.order, message_id="m1")
    [token] = issued.tokens
    assert token.digits == one.digits
    assert token.tid == one.order.tid

    contents = await vault.read(TENANT, a_meter_of(one.order), one.digits)
    assert contents.problem is None
    assert (contents.tid, contents.purpose) == (one.order.tid, token.purpose)
    assert str(contents.tid) in contents.text
    assert contents.amount == issued.encoded
    if isinstance(one.order.content, Units | Currency):
        assert token.purpose is TokenPurpose.CREDIT
        assert issued.encoded.value >= one.order.content.value
        assert str(issued.encoded) in contents.text
    else:
        assert token.purpose is TokenPurpose.MANAGEMENT


@pytest.mark.parametrize("one", **published.of_ids(NEGATIVE))
async def test_a_debt_is_read_but_never_sold(make_vault, add_keys, one):
    await add_keys(*one.keys)
    vault = make_vault(tables=SAMPLE)
    with pytest.raises(AmountNotPositive):
        await vault.issue(one.order, message_id="m1")
    contents = await vault.read(TENANT, a_meter_of(one.order), one.digits)
    assert contents.problem is None
    assert one.order.content.value <= contents.amount.value < 0


@pytest.mark.parametrize("one", **published.of_ids(TESTS))
async def test_a_published_meter_test_comes_out_and_is_read_back(vault, one):
    issued = await vault.issue(one.order, message_id="m1")
    [token] = issued.tokens
    assert (token.digits, token.tid, token.purpose) == (one.digits, None, TokenPurpose.TEST)
    contents = await vault.read(TENANT, a_meter_of(one.order), one.digits)
    assert (contents.problem, contents.purpose) == (None, TokenPurpose.TEST)
    assert f"meter test or display {one.order.content.value} (" in contents.text


def test_there_are_published_extended_reads():
    assert published.extended_reads()


@pytest.mark.parametrize("digits", published.extended_reads())
async def test_an_extended_read_is_read_back(vault, digits):
    contents = await vault.read(TENANT, a_meter(tenant=TENANT), digits)
    assert (contents.subclass, contents.problem) == (2, None)
    assert "read back extended setting" in contents.text


def a_day_in(year: int) -> datetime:
    """A day on which a key of that base date may issue, seen from another zone."""
    return datetime(year, 1, 2, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("one", **published.of_ids(SETS))
async def test_a_published_key_change_comes_out_and_is_read_back(make_vault, add_keys, one):
    await add_keys(*one.keys)
    make_vault.clock.at = a_day_in(one.keys[-1].base_date)
    vault = make_vault()
    issued = await vault.change_key(one.order, message_id="m1")
    assert issued.encoded is None
    assert len(issued.tokens) == 4
    assert tuple(token.digits for token in issued.tokens)[: len(one.digits)] == one.digits
    assert {(token.tid, token.purpose) for token in issued.tokens} == {
        (None, TokenPurpose.KEY_CHANGE)
    }
    meter = a_meter(tenant=TENANT, drn=one.order.drn, sts=one.order.present)
    told = [await vault.read(TENANT, meter, token.digits) for token in issued.tokens]
    assert [contents.subclass for contents in told] == [3, 4, 8, 9]
    assert all(contents.problem is None for contents in told)
    assert _told_configuration(told, one.order.to)


def _told_configuration(told, to: StsConfiguration) -> bool:
    low, high = int(to.sgc) & 0xFFF, int(to.sgc) >> 12
    return (
        f"KRN {to.krn}, key type {int(to.key_type)} (unique)" in told[0].text
        and f"tariff index {to.tariff_index:02d}" in told[1].text
        and told[2].text.endswith(f"supply group {low}")
        and told[3].text.endswith(f"supply group {high}")
    )
