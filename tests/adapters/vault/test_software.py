"""The vault makes the published tokens, keeps the keys' limits, and tells nobody the keys."""

import io
import logging
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from adapters.vault.master_key import MasterKeys, SealBroken, UnknownMasterKey
from headend.errors import ModuleDown
from headend.meters import Drn, KeyType, Service, StsConfiguration, TenantId
from headend.ports import SecurityModule
from headend.quantities import Currency, Unit, Units
from headend.refusals import (
    KeyExpired,
    MalformedOrder,
    NoVendingKey,
    OrderRefused,
)
from headend.tokens import ManagementKind, ManagementOrder, TokenOrder, TokenPurpose
from headend.vending_keys import KeyMark
from protocols.sts.sta import SAMPLE, StaTables
from tests.adapters.vault.conftest import (
    NOW,
    OTHER_MASTER,
    TENANT,
    VK64,
    VK160,
    a_key,
    assert_hidden,
    everything_told,
)

DKGA04_EA11_FIRST = "58625789986991357486"  # STS 531-1-11, CTSA01 step 1


def an_order(**changed):
    """The order of STS 531-1-11, CTSA01 step 1."""
    order = TokenOrder(
        tenant=TENANT,
        drn=Drn("00000000000"),
        service=Service.ELECTRICITY,
        sts=StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11),
        content=Units(Decimal("0.1"), Unit.KWH),
        tid=85740,
        rnd=5,
    )
    return replace(order, **changed)


def configured(**changed):
    return replace(an_order().sts, **changed)


def test_it_is_a_security_module(vault):
    module: SecurityModule = vault
    assert module is vault


async def test_a_repeat_gives_the_same_digits_also_after_a_restart(add_keys, vault, make_vault):
    await add_keys(a_key())
    first = await vault.issue(an_order(), message_id="m1")
    assert await vault.issue(an_order(), message_id="m1") == first
    restarted = make_vault()
    assert await restarted.issue(an_order(), message_id="m1") == first
    assert first.tokens[0].digits == DKGA04_EA11_FIRST


async def test_the_amount_really_encoded_is_told(vault, add_keys):
    await add_keys(a_key())
    units = Units(Decimal(2000), Unit.KWH)
    issued = await vault.issue(an_order(content=units), message_id="m1")
    assert issued.encoded == Units(Decimal("2000.4"), Unit.KWH)  # 16 bits cannot hold 2000.0
    money = Currency(Decimal("1.00"), "ZAR")
    issued = await vault.issue(an_order(content=money, rnd=None), message_id="m2")
    assert issued.encoded == Currency(Decimal("1.00004"), "ZAR")
    limit = ManagementOrder(ManagementKind.POWER_LIMIT, value=1000)
    issued = await vault.issue(an_order(content=limit), message_id="m3")
    assert issued.encoded is None


async def test_attributes_are_told_and_another_tenants_are_not(vault, add_keys):
    await add_keys(a_key(ken=200))
    key = await vault.key(TENANT, "201457", 1)
    assert (key.base_date, key.ken, key.dkga, key.mark) == (2014, 200, 4, KeyMark.TEST)
    for tenant, sgc, krn in [("town", "201457", 1), ("city", "201458", 1), ("city", "201457", 2)]:
        with pytest.raises(NoVendingKey, match="import or activate one"):
            await vault.key(TenantId(tenant), sgc, krn)


async def test_a_retired_key_makes_no_more_tokens(shelf, vault, add_keys):
    await add_keys(a_key())
    await vault.issue(an_order(), message_id="m1")
    shelf.vending_keys.rows[0] = replace(shelf.vending_keys.rows[0], retired_at=NOW)
    with pytest.raises(NoVendingKey):
        await vault.issue(an_order(), message_id="m2")


LAST_OF_KEN_85 = 86 * 65536 - 1  # 2024-09-18 22:55 from base 2014


async def test_a_key_issues_up_to_its_expiry_number(vault, add_keys):
    await add_keys(a_key(ken=85))
    await vault.issue(an_order(tid=LAST_OF_KEN_85), message_id="m1")
    for tid in (LAST_OF_KEN_85 + 1, 0xFFFFFF, 0x1000000):
        with pytest.raises(KeyExpired, match="2024-09-18 22:55 UTC"):
            await vault.issue(an_order(tid=tid), message_id="m2")


async def test_before_its_base_date_a_key_issues_nothing(vault, add_keys):
    await add_keys(a_key(base_date=2035))
    with pytest.raises(NoVendingKey, match="begins on 2035-01-01"):
        await vault.issue(an_order(tid=-1), message_id="m1")


@pytest.mark.parametrize(
    ("changed", "refusal", "field"),
    [
        ({"tid": None}, MalformedOrder, "tid"),
        ({"rnd": None}, MalformedOrder, "rnd"),
        ({"rnd": 16}, MalformedOrder, "rnd"),
        ({"rnd": -1}, MalformedOrder, "rnd"),
        ({"drn": Drn("00000000001")}, OrderRefused, "drn"),
        ({"drn": Drn("1")}, OrderRefused, "drn"),
        ({"sts": configured(krn=2)}, NoVendingKey, "sgc"),
        ({"sts": configured(tariff_index=100)}, OrderRefused, "tariff_index"),
        ({"sts": configured(ea=9)}, OrderRefused, "ea"),
        ({"sts": configured(ea=7)}, OrderRefused, "ea"),
        ({"sts": configured(key_type=KeyType.COMMON)}, NoVendingKey, "key_type"),
        ({"sts": configured(key_type=KeyType.INITIALIZATION)}, NoVendingKey, "key_type"),
    ],
    ids=str,
)
async def test_an_order_that_makes_no_token_is_refused_by_field(
    vault, add_keys, changed, refusal, field
):
    await add_keys(a_key())
    with pytest.raises(refusal) as caught:
        await vault.issue(an_order(**changed), message_id="m1")
    assert caught.value.field == field
    assert_hidden(everything_told(caught.value), bytes.fromhex(VK160))


async def test_a_default_key_sells_no_credit_but_serves_engineers(vault, add_keys):
    await add_keys(a_key(key_type=1))
    default = configured(key_type=KeyType.DEFAULT)
    with pytest.raises(NoVendingKey, match="default key"):
        await vault.issue(an_order(sts=default), message_id="m1")
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    issued = await vault.issue(an_order(sts=default, content=clear), message_id="m2")
    assert issued.tokens[0].purpose is TokenPurpose.MANAGEMENT


async def test_management_tokens_end_with_the_key_and_tests_do_not(vault, add_keys):
    await add_keys(a_key(ken=85))
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    late = LAST_OF_KEN_85 + 1
    with pytest.raises(KeyExpired):
        await vault.issue(an_order(content=clear, tid=late), message_id="m1")
    test = ManagementOrder(ManagementKind.METER_TEST, value=0)
    issued = await vault.issue(an_order(content=test, tid=None, rnd=None), message_id="m2")
    assert issued.tokens[0].tid is None


async def test_a_test_token_needs_no_key_at_all(vault):
    test = ManagementOrder(ManagementKind.METER_TEST, value=4)
    issued = await vault.issue(an_order(content=test, tid=None, rnd=None), message_id="m1")
    assert issued.tokens[0].purpose is TokenPurpose.TEST


async def test_a_live_key_in_the_store_is_not_used(shelf, vault, add_keys):
    await add_keys(a_key())
    [row] = shelf.vending_keys.rows
    shelf.vending_keys.rows[0] = replace(row, key=replace(row.key, mark=KeyMark.LIVE))
    with pytest.raises(NoVendingKey, match="live keys belong in a security module"):
        await vault.key(TENANT, "201457", 1)
    with pytest.raises(NoVendingKey, match="live keys belong in a security module"):
        await vault.issue(an_order(), message_id="m1")


async def test_ea07_without_tables_says_what_to_set(vault, add_keys):
    await add_keys(a_key())
    with pytest.raises(OrderRefused, match="name its file in the settings"):
        await vault.issue(an_order(sts=configured(ea=7)), message_id="m1")


async def test_the_sample_tables_serve_test_keys_only(add_keys, make_vault):
    await add_keys(a_key(mark="private"))
    renamed = StaTables("licensed", se1=SAMPLE.se1, se2=SAMPLE.se2, pe=SAMPLE.pe)
    vault = make_vault(tables=renamed)
    with pytest.raises(OrderRefused, match="only a test key"):
        await vault.issue(an_order(sts=configured(ea=7)), message_id="m1")


async def test_a_licensed_table_set_serves_private_keys(add_keys, make_vault):
    await add_keys(a_key(mark="private"), a_key(krn=2, mark="private", dkga=2, key=VK64))
    tables = StaTables("licensed", se1=SAMPLE.se2, se2=SAMPLE.se1, pe=SAMPLE.pe)
    vault = make_vault(tables=tables)
    for krn in (1, 2):
        issued = await vault.issue(an_order(sts=configured(ea=7, krn=krn)), message_id="m1")
        assert len(issued.tokens[0].digits) == 20


async def test_a_changed_row_stops_sales_and_tells_what_to_do(shelf, vault, add_keys):
    await add_keys(a_key(ken=85))
    await vault.issue(an_order(), message_id="m1")
    [row] = shelf.vending_keys.rows
    shelf.vending_keys.rows[0] = replace(row, key=replace(row.key, ken=255))
    for ask in (vault.issue(an_order(), message_id="m2"), vault.key(TENANT, "201457", 1)):
        with pytest.raises(SealBroken, match="import it anew") as caught:
            await ask
        assert isinstance(caught.value, ModuleDown)


@pytest.mark.parametrize("year", [0, 2015])
async def test_a_row_of_an_impossible_base_date_is_a_broken_seal(shelf, vault, add_keys, year):
    await add_keys(a_key())
    [row] = shelf.vending_keys.rows
    shelf.vending_keys.rows[0] = replace(row, key=replace(row.key, base_date=year))
    with pytest.raises(SealBroken):
        await vault.issue(an_order(), message_id="m1")


async def test_a_wrong_master_key_leaves_the_sale_open(add_keys, make_vault):
    await add_keys(a_key())
    vault = make_vault(masters=MasterKeys(OTHER_MASTER))
    with pytest.raises(UnknownMasterKey, match="put the missing one behind the newest") as caught:
        await vault.issue(an_order(), message_id="m1")
    assert isinstance(caught.value, ModuleDown)


async def test_decoder_keys_in_memory_are_bounded(add_keys, make_vault):
    await add_keys(a_key())
    vault = make_vault(cached=2)
    for index in range(10):
        await vault.issue(an_order(sts=configured(tariff_index=index)), message_id=str(index))
    assert vault._keys.kept == 2


async def test_nothing_of_it_prints_a_key_or_digits(shelf, masters, add_keys, vault):
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    try:
        await add_keys(a_key())
        issued = await vault.issue(an_order(), message_id="m1")
    finally:
        logging.getLogger().removeHandler(handler)
    told = f"{vault!r} {vault.__dict__!r} {issued!r} {shelf!r} {masters!r} {logged.getvalue()}"
    decoder_key = bytes.fromhex("929bd3a415c9420a05ec5ee9f3ce91c3")
    assert_hidden(told, bytes.fromhex(VK160), decoder_key)
    assert DKGA04_EA11_FIRST not in told


async def test_a_token_takes_the_event_loop_a_moment_only(add_keys, make_vault):
    await add_keys(a_key())
    vault = make_vault(cached=1)
    started = time.process_time()
    for index in range(100):
        await vault.issue(an_order(sts=configured(tariff_index=index)), message_id=str(index))
    assert (time.process_time() - started) / 100 < 0.005
