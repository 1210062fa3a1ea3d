"""A PrismToken's other tokens: money, management, key changes, and what it says of digits."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.vault.key_import import check_value
from headend.errors import ModuleDown
from headend.meters import Drn, Keypad, KeyType, Meter, ProfileName, Service
from headend.quantities import Currency
from headend.refusals import (
    AmountTooLarge,
    CommandUnsupported,
    KeyExpired,
    MalformedOrder,
    MalformedToken,
    NoVendingKey,
    OrderRefused,
    WrongUnit,
)
from headend.tokens import (
    KeyChangeOrder,
    ManagementKind,
    ManagementOrder,
    TokenPurpose,
)
from headend.vending_keys import KeyMark
from protocols.sts import drn as sts_drn
from protocols.sts.credit import CreditCurrency
from protocols.sts.keychange import HeldSections
from protocols.sts.tables import BaseDate, EncryptionAlgorithm
from tests.adapters.vault.prism_sales import (
    DRN,
    KEY,
    MODULE_KEY,
    QUICK,
    an_order,
    configured,
    contents,
    kwh,
    opened,
)
from tests.adapters.vault.prism_token import Authority, Fault, PrismTokenServer

# From a key whose base date has run out to one of the next: the way that every meter of 1993 goes.
OLD_MODULE_KEY = replace(MODULE_KEY, krn=2, base_date=BaseDate.Y1993)
OLD_KEY = replace(KEY, krn=2, base_date=1993, check_value=check_value(OLD_MODULE_KEY))
NEW_MODULE_KEY = replace(MODULE_KEY, sgc=203557, krn=6)
NEW_KEY = replace(KEY, sgc="203557", krn=6, check_value=check_value(NEW_MODULE_KEY))
KEYS = (KEY, OLD_KEY, NEW_KEY)
OTHER = Drn(sts_drn.Drn.build(mfr_code="07", serial="00000001").digits)
RAND = Currency(Decimal("100.00"), "ZAR")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.found(tmp_path_factory.mktemp("pki"), "ours")


@pytest.fixture
async def prism(authority):
    server = PrismTokenServer(
        keys={(201457, 1): MODULE_KEY, (201457, 2): OLD_MODULE_KEY, (203557, 6): NEW_MODULE_KEY}
    )
    async with server.run(authority.serve_as("localhost")):
        yield server


@pytest.fixture
async def vault(prism, authority):
    async with opened(prism, authority, keys=KEYS) as vault:
        yield vault


def a_meter(**changed):
    meter = Meter(
        drn=DRN,
        tenant=KEY.tenant,
        service=Service.ELECTRICITY,
        profile=ProfileName("stsm"),
        route=None,
        sts=configured(),
        keypad=Keypad.METER,
        changed_at=datetime(2026, 7, 1, tzinfo=UTC),
    )
    return replace(meter, **changed)


def managing(kind, value=None, index=None):
    return an_order(content=ManagementOrder(kind, value, index), tid=None, rnd=None)


def a_change(**changed):
    order = KeyChangeOrder(
        tenant=KEY.tenant,
        drn=DRN,
        present=configured(krn=2),
        to=configured(sgc="203557", krn=6, tariff_index=2),
    )
    return replace(order, **changed)


async def test_keys_of_the_module_are_marked_as_such(vault):
    assert (await vault.key(KEY.tenant, "201457", 1)).module_draws


# --- money ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0.00001", "0.1", "1", "100.00", "12345.67891", "1000000000"])
async def test_money_survives_the_interface_exactly(prism, vault, value):
    order = an_order(content=Currency(Decimal(value), "ZAR"))
    issued = await vault.issue(order, message_id="city/r1")
    credit = contents(issued.tokens[0].digits, order)
    assert isinstance(credit, CreditCurrency)
    assert issued.encoded.hundred_thousandths == credit.amount_1e5
    assert issued.encoded.value >= order.content.value
    [(_, made)] = prism.made
    assert made.transferAmount == pytest.approx(float(value), rel=1e-3)


@pytest.mark.parametrize("service", Service)
async def test_money_has_the_subclass_of_its_service(vault, service):
    order = an_order(service=service, content=RAND)
    issued = await vault.issue(order, message_id="city/r1")
    subclass = contents(issued.tokens[0].digits, order).subclass
    assert subclass == 4 + list(Service).index(service)


async def test_money_that_no_double_holds_is_refused(prism, vault):
    with pytest.raises(AmountTooLarge, match="exactly"):
        await vault.issue(an_order(content=Currency(Decimal(10**11), "ZAR")), message_id="city/r1")
    assert not prism.calls


@pytest.mark.parametrize("amount", [99.99, 100.1, 10000000.0, 100.000013, float("nan")])
async def test_another_sum_reaches_nobody(prism, vault, amount):
    prism.tamper = lambda token: setattr(token, "transferAmount", amount)
    with pytest.raises(ModuleDown, match="another amount"):
        await vault.issue(an_order(content=RAND), message_id="city/r1")


@pytest.mark.parametrize("scaled", ["0.001", "10000000.00", "10 000 000.00"])
async def test_a_module_that_counts_money_in_other_steps_is_found_out(prism, vault, scaled):
    prism.tamper = lambda token: setattr(token, "scaledAmount", scaled)
    with pytest.raises(ModuleDown, match="other steps"):
        await vault.issue(an_order(content=RAND), message_id="city/r1")


@pytest.mark.parametrize("scaled", ["100.00", "R 100", "", "100,00"])
async def test_the_form_in_which_money_is_printed_is_the_modules_own(prism, vault, scaled):
    prism.tamper = lambda token: setattr(token, "scaledAmount", scaled)
    if scaled == "100,00":  # told as ten thousand: better late than wrong
        with pytest.raises(ModuleDown, match="other steps"):
            await vault.issue(an_order(content=RAND), message_id="city/r1")
    else:
        await vault.issue(an_order(content=RAND), message_id="city/r1")


async def test_units_of_another_service_are_refused(prism, vault):
    with pytest.raises(WrongUnit):
        await vault.issue(an_order(service=Service.WATER), message_id="city/r1")
    assert not prism.calls


# --- management ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "name", "held"),
    [
        (ManagementKind.POWER_LIMIT, 20000, "watts", 20004),
        (ManagementKind.UNBALANCE_LIMIT, 1000, "watts", 1000),
        (ManagementKind.CLEAR_CREDIT, 65535, "register", 65535),
        (ManagementKind.TARIFF_RATE, 64001, "rate", 64001),
        (ManagementKind.WATER_FACTOR, 3, "factor", 3),
        (ManagementKind.CLEAR_TAMPER, None, "data", 0),
    ],
)
async def test_a_management_token_holds_what_was_ordered(vault, kind, value, name, held):
    order = managing(kind, value)
    issued = await vault.issue(order, message_id="city/m1")
    [token] = issued.tokens
    made = contents(token.digits, order)
    assert getattr(made, name) == held
    assert (token.tid, token.purpose) == (made.tid, TokenPurpose.MANAGEMENT)
    assert issued.encoded is None
    assert await vault.issue(order, message_id="city/m1") == issued


async def test_a_meter_test_needs_no_module(prism, vault):
    issued = await vault.issue(managing(ManagementKind.METER_TEST, 0), message_id="city/m1")
    assert [token.purpose for token in issued.tokens] == [TokenPurpose.TEST]
    assert issued.tokens[0].mark is None
    assert issued.tokens[0].digits == "56493153725450313471"  # published: all tests, short form
    assert not prism.calls


@pytest.mark.parametrize(
    ("kind", "value", "index", "error"),
    [
        (ManagementKind.SET_FLAG, 1, 3, CommandUnsupported),
        (ManagementKind.SET_CONTROL, 7, 3, CommandUnsupported),
        (ManagementKind.POWER_LIMIT, None, None, MalformedOrder),
        (ManagementKind.POWER_LIMIT, 18201625, None, MalformedOrder),
        (ManagementKind.CLEAR_CREDIT, 9, None, MalformedOrder),
    ],
)
async def test_what_cannot_be_made_is_refused_before_the_module(
    prism, vault, kind, value, index, error
):
    with pytest.raises(error):
        await vault.issue(managing(kind, value, index), message_id="city/m1")
    assert not prism.calls


async def test_a_refused_value_is_called_a_value(prism, vault):
    prism.refusals["issueMseToken"] = "EParamRange|Parameter 'transferAmount' out of range"
    with pytest.raises(MalformedOrder) as caught:
        await vault.issue(managing(ManagementKind.POWER_LIMIT, 5), message_id="city/m1")
    assert caught.value.field == "value"


async def test_a_lost_management_token_is_fetched(prism, vault):
    prism.faults["issueMseToken"] = Fault.CUT_AFTER
    issued = await vault.issue(managing(ManagementKind.CLEAR_TAMPER), message_id="city/m1")
    assert [made.tokenDec for _, made in prism.made] == [issued.tokens[0].digits]


async def test_a_default_key_manages(prism, authority):
    async with opened(prism, authority, keys=[replace(KEY, key_type=KeyType.DEFAULT)]) as vault:
        order = managing(ManagementKind.CLEAR_TAMPER)
        order = replace(order, sts=configured(key_type=KeyType.DEFAULT))
        assert await vault.issue(order, message_id="city/m1")


# --- key changes ---------------------------------------------------------------------------------


def taken(issued, order):
    """What a meter makes of a set: the new key, out of sections under its present one."""
    held = HeldSections(EncryptionAlgorithm(order.present.ea))
    for token in issued.tokens:
        held = held.take(contents(token.digits, an_order(sts=order.present), OLD_MODULE_KEY))
    return held.assemble()


async def test_a_key_change_is_a_whole_set(prism, vault):
    order = a_change()
    issued = await vault.change_key(order, message_id="city/k1")
    assert [token.purpose for token in issued.tokens] == [TokenPurpose.KEY_CHANGE] * 4
    assert [token.tid for token in issued.tokens] == [None] * 4
    assert [token.mark for token in issued.tokens] == [KeyMark.LIVE] * 4
    change = taken(issued, order)
    assert (change.sgc, change.krn, change.tariff_index, change.ken) == (203557, 6, 2, 255)
    assert change.rollover


@pytest.mark.parametrize(("three_kct", "count"), [(False, 2), (True, 3)])
async def test_ea07_takes_two_tokens_or_three(vault, three_kct, count):
    order = a_change(
        present=configured(krn=2, ea=7),
        to=configured(ea=7, sgc="203557", krn=6),
        three_kct=three_kct,
    )
    issued = await vault.change_key(order, message_id="city/k1")
    assert len(issued.tokens) == count
    assert taken(issued, order).sgc == (203557 if three_kct else None)


async def test_the_same_order_gives_the_same_set_also_after_a_lost_answer(prism, authority, vault):
    prism.faults["issueKeyChangeTokens"] = Fault.CUT_AFTER
    first = await vault.change_key(a_change(), message_id="city/k1")
    async with opened(prism, authority, keys=KEYS) as restarted:
        assert await restarted.change_key(a_change(), message_id="city/k1") == first
    assert prism.calls["issueKeyChangeTokens"] == len(prism.made) == 1


async def test_a_module_that_hangs_gives_no_part_of_a_set(prism, vault):
    prism.faults["issueKeyChangeTokens"] = Fault.HANG
    with pytest.raises(ModuleDown, match="keeps silent"):
        await vault.change_key(a_change(), message_id="city/k1")
    await asyncio.sleep(QUICK.rest_s)
    issued = await vault.change_key(a_change(), message_id="city/k1")
    [(_, made)] = prism.made
    assert [token.tokenDec for token in made] == [token.digits for token in issued.tokens]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drn", OTHER), ("ea", 7), ("sgc", 1), ("krn", 3), ("ti", 9), ("tokenClass", 0),
        ("subclass", 3), ("vkKcv", "000000"), ("tokenDec", "1234"), ("tokenDec", "0" * 20),
        ("newConfig", None),
    ],
)  # fmt: skip
async def test_a_set_that_does_not_fit_reaches_nobody(prism, vault, name, value):
    prism.tamper = lambda token: setattr(token, name, value)
    with pytest.raises(ModuleDown, match=r"compare its keys|sub-classes|other keys|are no|not say"):
        await vault.change_key(a_change(), message_id="city/k1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("toSgc", 1), ("toKrn", 7), ("toTi", 1), ("toKen", 254), ("rollover", False),
        ("toVkKcv", "000000"),
    ],
)  # fmt: skip
async def test_a_set_that_leads_elsewhere_reaches_nobody(prism, vault, name, value):
    def tamper(token):
        if token.newConfig is not None:
            setattr(token.newConfig, name, value)

    prism.tamper = tamper
    with pytest.raises(ModuleDown, match="compare its keys with the settings"):
        await vault.change_key(a_change(), message_id="city/k1")


async def test_a_set_with_a_token_too_few_reaches_nobody(prism, vault):
    await vault.change_key(a_change(), message_id="city/k1")
    [(_, made)] = prism.made
    made.pop()
    with pytest.raises(ModuleDown, match=r"sub-classes \[3, 4, 8\], not \[3, 4, 8, 9\]"):
        await vault.change_key(a_change(), message_id="city/k1")


@pytest.mark.parametrize(
    ("changed", "error", "field"),
    [
        ({"to": configured(krn=3)}, NoVendingKey, "to.sgc"),
        ({"present": configured(krn=3)}, NoVendingKey, "present.sgc"),
        (
            {"present": configured(krn=2, key_type=KeyType.INITIALIZATION)},
            NoVendingKey,
            "present.key_type",
        ),
        (
            {"to": configured(sgc="203557", krn=6, key_type=KeyType.COMMON)},
            NoVendingKey,
            "to.key_type",
        ),
        ({"to": configured(sgc="203557", krn=6, ea=7)}, MalformedOrder, "to.ea"),
        ({"three_kct": True}, MalformedOrder, "three_kct"),
        ({"drn": Drn("00000000001")}, OrderRefused, "drn"),
    ],
    ids=str,
)
async def test_an_impossible_change_is_refused_before_the_module(
    prism, vault, changed, error, field
):
    with pytest.raises(error) as caught:
        await vault.change_key(a_change(**changed), message_id="city/k1")
    assert caught.value.field == field
    assert not prism.calls


async def test_key_types_that_may_not_follow_are_refused(prism, authority):
    keys = (OLD_KEY, replace(NEW_KEY, key_type=KeyType.COMMON))
    async with opened(prism, authority, keys=keys) as vault:
        order = a_change(to=configured(sgc="203557", krn=6, key_type=KeyType.COMMON))
        with pytest.raises(OrderRefused) as caught:
            await vault.change_key(order, message_id="city/k1")
    assert caught.value.field == "to.key_type"
    assert not prism.calls


async def test_the_modules_refusal_names_both_keys(prism, vault):
    prism.keys[203557, 6] = replace(MODULE_KEY, sgc=203557, krn=6, ken=85)
    with pytest.raises(KeyExpired, match=r"201457, revision 2, or of .*203557, revision 6,"):
        await vault.change_key(a_change(), message_id="city/k1")
    assert prism.made == []


# --- what digits are -----------------------------------------------------------------------------


async def test_credit_is_read(vault):
    issued = await vault.issue(an_order(), message_id="city/r1")
    [token] = issued.tokens
    read = await vault.read(KEY.tenant, a_meter(), token.digits)
    assert (read.token_class, read.subclass, read.tid, read.problem) == (0, 0, token.tid, None)
    assert (read.purpose, read.amount) == (TokenPurpose.CREDIT, kwh(20004))
    assert read.moment == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert "RND" not in read.text
    assert (token.mark, read.mark) == (KeyMark.LIVE, KeyMark.LIVE)


async def test_money_is_read_in_the_meters_currency(vault):
    issued = await vault.issue(an_order(content=RAND), message_id="city/r1")
    read = await vault.read(KEY.tenant, a_meter(currency="ZAR"), issued.tokens[0].digits)
    assert (read.amount, read.problem) == (issued.encoded, None)
    read = await vault.read(KEY.tenant, a_meter(), issued.tokens[0].digits)
    assert "the meter counts kWh" in read.problem


async def test_management_is_read(prism, vault):
    order = managing(ManagementKind.POWER_LIMIT, 1000)
    issued = await vault.issue(order, message_id="city/m1")
    read = await vault.read(KEY.tenant, a_meter(), issued.tokens[0].digits)
    assert read.text.startswith("set the power limit to 1000 W; TID")
    assert read.purpose is TokenPurpose.MANAGEMENT
    prism.tamper = lambda token: setattr(token, "subclass", 10)
    read = await vault.read(KEY.tenant, a_meter(), issued.tokens[0].digits)
    assert (read.subclass, read.tid) == (10, issued.tokens[0].tid)


async def test_a_key_change_is_known_as_one(vault):
    issued = await vault.change_key(a_change(), message_id="city/k1")
    meter = a_meter(sts=configured(krn=2))
    read = await vault.read(KEY.tenant, meter, issued.tokens[0].digits)
    assert (read.purpose, read.problem) == (TokenPurpose.KEY_CHANGE, None)


async def test_a_meter_test_is_read_without_the_module(prism, vault):
    read = await vault.read(KEY.tenant, a_meter(), "56493153725450313471")
    assert read.purpose is TokenPurpose.TEST
    assert not prism.calls


async def test_a_token_of_another_meter_cannot_be_read(vault):
    issued = await vault.issue(an_order(), message_id="city/r1")
    read = await vault.read(KEY.tenant, a_meter(drn=OTHER), issued.tokens[0].digits)
    assert read.problem.startswith("crc_error:")


@pytest.mark.parametrize(
    ("verdict", "problem"),
    [("EVerify.DdtkCredit", "ddtk_error: "), ("EVerify.KeyExpired", "key_expired_error: ")],
)
async def test_the_modules_verdict_is_the_meters(prism, vault, verdict, problem):
    issued = await vault.issue(an_order(), message_id="city/r1")
    prism.verdict = verdict
    read = await vault.read(KEY.tenant, a_meter(), issued.tokens[0].digits)
    assert read.problem.startswith(problem)


async def test_a_reading_that_makes_no_sense_is_none(prism, vault):
    issued = await vault.issue(an_order(), message_id="city/r1")
    digits = issued.tokens[0].digits
    for name, value in [("tokenClass", 2), ("subclass", 12), ("transferAmount", 0.5), ("tid", -1)]:
        prism.tamper = lambda token, name=name, value=value: setattr(token, name, value)
        with pytest.raises(ModuleDown, match="security module tells"):
            await vault.read(KEY.tenant, a_meter(), digits)
    prism.verdict = "EVerify.Novel"
    with pytest.raises(ModuleDown, match="no known kind"):
        await vault.read(KEY.tenant, a_meter(), digits)
    prism.verdict = "EVerify.Ok"
    with pytest.raises(ModuleDown, match="does not say how much"):
        await vault.read(KEY.tenant, a_meter(), digits)


@pytest.mark.parametrize(
    ("meter", "digits", "error"),
    [
        (a_meter(), "123", MalformedToken),
        (a_meter(), str(3 << 27).zfill(20), MalformedToken),
        (a_meter(sts=configured(krn=3)), "0" * 20, NoVendingKey),
        (a_meter(sts=configured(key_type=KeyType.COMMON)), "0" * 20, NoVendingKey),
    ],
    ids=str,
)
async def test_what_need_not_be_asked_is_refused(prism, vault, meter, digits, error):
    with pytest.raises(error):
        await vault.read(KEY.tenant, meter, digits)
    assert not prism.calls
