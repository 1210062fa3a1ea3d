"""A key change: the whole set under the old key, or a refusal that names side and field."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.vault.master_key import SealBroken
from headend.meters import Drn, KeyType, StsConfiguration
from headend.refusals import KeyExpired, MalformedOrder, NoVendingKey, OrderRefused
from headend.tokens import KeyChangeOrder, TokenPurpose
from headend.vending_keys import KeyMark
from protocols.sts import cipher as ciphers
from protocols.sts.drn import Drn as StsDrn
from protocols.sts.drn import MeterPan
from protocols.sts.keychange import HeldSections, KeySection
from protocols.sts.keys import VendingKey, derive
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm
from protocols.sts.token import decode
from tests.adapters.vault.conftest import (
    TENANT,
    VK64,
    VK160,
    a_key,
    assert_hidden,
    everything_told,
)

DRN = Drn("00000000000")
PRESENT = StsConfiguration("201457", 1, tariff_index=1, key_type=KeyType.UNIQUE, ea=11)
TO = StsConfiguration("203557", 6, tariff_index=2, key_type=KeyType.UNIQUE, ea=11)


def an_order(present=PRESENT, to=TO, **changed):
    order = KeyChangeOrder(tenant=TENANT, drn=DRN, present=present, to=to)
    return replace(order, **changed)


def at_ea07(config):
    return replace(config, ea=7)


@pytest.fixture
async def two_keys(add_keys):
    await add_keys(a_key(), a_key(sgc="203557", krn=6, ken=170))


def of_material(hexadecimal, config, *, base_date=2014, ken=255):
    return VendingKey(
        bytes.fromhex(hexadecimal),
        dkga=Dkga.DES if len(hexadecimal) == 16 else Dkga.HMAC_SHA_256,
        sgc=int(config.sgc),
        krn=config.krn,
        base_date=BaseDate(base_date),
        ken=ken,
    )


def decoder_key_of(key, config):
    pan = MeterPan.of(StsDrn(DRN))
    algorithm = EncryptionAlgorithm(config.ea)
    return derive(key, pan, tariff_index=config.tariff_index, algorithm=algorithm)


def assembled(issued, old_decoder_key):
    """What a meter has in hand when it took the tokens, last one first."""
    cipher = ciphers.cipher_for(old_decoder_key, SAMPLE)
    held = HeldSections(cipher.algorithm)
    for token in reversed(issued.tokens):
        section = decode(token.digits, cipher)
        assert isinstance(section, KeySection)
        held = held.take(section)
    return held.assemble()


async def test_four_tokens_bring_an_ea11_meter_to_the_new_key(vault, two_keys):
    issued = await vault.change_key(an_order(), message_id="m1")
    assert len(issued.tokens) == 4
    change = assembled(issued, decoder_key_of(of_material(VK160, PRESENT), PRESENT))
    assert change.key == decoder_key_of(of_material(VK160, TO), TO)
    assert (change.sgc, change.krn, change.tariff_index, change.ken) == (203557, 6, 2, 170)
    assert not change.rollover


@pytest.mark.parametrize(("three_kct", "count", "sgc"), [(False, 2, None), (True, 3, 203557)])
@pytest.mark.parametrize("vending_key", [VK160, VK64])
async def test_two_or_three_tokens_bring_an_ea07_meter_to_the_new_key(
    make_vault, add_keys, three_kct, count, sgc, vending_key
):
    dkga = 2 if vending_key == VK64 else 4
    await add_keys(
        a_key(key=vending_key, dkga=dkga),
        a_key(sgc="203557", krn=6, ken=170, key=vending_key, dkga=dkga),
    )
    present, to = at_ea07(PRESENT), at_ea07(TO)
    order = an_order(present, to, three_kct=three_kct)
    issued = await make_vault(tables=SAMPLE).change_key(order, message_id="m1")
    assert len(issued.tokens) == count
    change = assembled(issued, decoder_key_of(of_material(vending_key, present), present))
    assert change.key == decoder_key_of(of_material(vending_key, to), to)
    assert (change.sgc, change.krn, change.tariff_index, change.ken) == (sgc, 6, 2, 170)


async def test_another_base_date_empties_the_meters_memory_of_tids(make_vault, add_keys):
    await add_keys(a_key(base_date=1993), a_key(sgc="203557", krn=6))
    make_vault.clock.at = datetime(2026, 1, 1, tzinfo=UTC)  # base 1993 ended in 2024
    issued = await make_vault().change_key(an_order(), message_id="m1")
    old = decoder_key_of(of_material(VK160, PRESENT, base_date=1993), PRESENT)
    assert assembled(issued, old).rollover


async def test_a_change_within_one_vending_key_needs_only_that(vault, add_keys):
    await add_keys(a_key())
    other_tariff = replace(PRESENT, tariff_index=99)
    issued = await vault.change_key(an_order(to=other_tariff), message_id="m1")
    change = assembled(issued, decoder_key_of(of_material(VK160, PRESENT), PRESENT))
    assert (change.tariff_index, change.sgc) == (99, 201457)


async def test_a_repeat_gives_the_same_digits_also_after_a_restart(vault, make_vault, two_keys):
    first = await vault.change_key(an_order(), message_id="m1")
    assert await make_vault().change_key(an_order(), message_id="m1") == first
    assert {token.purpose for token in first.tokens} == {TokenPurpose.KEY_CHANGE}


async def test_an_expired_old_key_still_makes_the_way_out(vault, make_vault, add_keys):
    await add_keys(a_key(ken=85), a_key(sgc="203557", krn=6))
    assert make_vault.clock.now().year == 2026  # KEN 85 of base 2014 ended in 2024
    assert len((await vault.change_key(an_order(), message_id="m1")).tokens) == 4


@pytest.mark.parametrize(
    ("base_date", "ken", "refusal", "told"),
    [
        (2014, 85, KeyExpired, "expired at 2024-09-18 22:55 UTC"),
        (1993, 255, KeyExpired, "expired at 2024-11-24 20:15 UTC"),
        (2035, 255, NoVendingKey, "begins on 2035-01-01"),
    ],
)
async def test_no_meter_is_brought_to_a_key_that_cannot_issue_now(
    vault, add_keys, base_date, ken, refusal, told
):
    await add_keys(a_key(), a_key(sgc="203557", krn=6, base_date=base_date, ken=ken))
    with pytest.raises(refusal, match=told) as caught:
        await vault.change_key(an_order(), message_id="m1")
    assert caught.value.field.startswith("to.")


async def test_the_clock_is_asked_at_the_order_not_at_the_start(vault, make_vault, add_keys):
    await add_keys(a_key(), a_key(sgc="203557", krn=6, base_date=2035))
    with pytest.raises(NoVendingKey):
        await vault.change_key(an_order(), message_id="m1")
    make_vault.clock.at = datetime(2035, 1, 1, tzinfo=UTC)
    assert len((await vault.change_key(an_order(), message_id="m1")).tokens) == 4


@pytest.mark.parametrize(
    ("order", "refusal", "field"),
    [
        (an_order(drn=Drn("00000000001")), OrderRefused, "drn"),
        (an_order(to=at_ea07(TO)), MalformedOrder, "to.ea"),
        (an_order(three_kct=True), MalformedOrder, "three_kct"),
        (an_order(replace(PRESENT, ea=9), replace(TO, ea=9)), OrderRefused, "present.ea"),
        (an_order(at_ea07(PRESENT), at_ea07(TO)), OrderRefused, "present.ea"),
        (an_order(replace(PRESENT, krn=2)), NoVendingKey, "present.sgc"),
        (an_order(to=replace(TO, krn=2)), NoVendingKey, "to.sgc"),
        (an_order(to=replace(TO, sgc="0")), NoVendingKey, "to.sgc"),
        (an_order(replace(PRESENT, tariff_index=100)), OrderRefused, "present.tariff_index"),
        (an_order(to=replace(TO, tariff_index=100)), OrderRefused, "to.tariff_index"),
        (
            an_order(replace(PRESENT, key_type=KeyType.INITIALIZATION)),
            NoVendingKey,
            "present.key_type",
        ),
        (an_order(to=replace(TO, key_type=KeyType.INITIALIZATION)), NoVendingKey, "to.key_type"),
        (an_order(to=replace(TO, key_type=KeyType.DEFAULT)), NoVendingKey, "to.key_type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_change_that_cannot_be_is_refused_by_side_and_field(
    vault, two_keys, order, refusal, field
):
    with pytest.raises(refusal) as caught:
        await vault.change_key(order, message_id="m1")
    assert caught.value.field == field
    assert_hidden(everything_told(caught.value), bytes.fromhex(VK160))


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        (KeyType.DEFAULT, KeyType.UNIQUE, True),
        (KeyType.UNIQUE, KeyType.DEFAULT, True),
        (KeyType.UNIQUE, KeyType.COMMON, False),
        (KeyType.COMMON, KeyType.UNIQUE, False),
    ],
)
async def test_key_types_follow_the_rules_of_the_standard(make_vault, add_keys, old, new, allowed):
    keys = {"dkga": 2, "key": VK64}  # common keys are derived by DKGA02 only
    await add_keys(a_key(key_type=old, **keys), a_key(sgc="203557", krn=6, key_type=new, **keys))
    order = an_order(replace(PRESENT, key_type=old, ea=7), replace(TO, key_type=new, ea=7))
    vault = make_vault(tables=SAMPLE)
    if allowed:
        assert len((await vault.change_key(order, message_id="m1")).tokens) == 2
        return
    with pytest.raises(OrderRefused) as caught:
        await vault.change_key(order, message_id="m1")
    assert caught.value.field == "to.key_type"


@pytest.mark.parametrize("place", [0, 1])
async def test_a_live_key_takes_part_in_no_change(vault, shelf, two_keys, place):
    rows = shelf.vending_keys.rows
    rows[place] = replace(rows[place], key=replace(rows[place].key, mark=KeyMark.LIVE))
    with pytest.raises(NoVendingKey, match="live keys belong in a security module") as caught:
        await vault.change_key(an_order(), message_id="m1")
    assert caught.value.field == ("present.sgc", "to.sgc")[place]


@pytest.mark.parametrize("place", [0, 1])
async def test_the_sample_tables_change_no_meter_of_a_private_key(make_vault, add_keys, place):
    marks = ["test", "test"]
    marks[place] = "private"
    await add_keys(a_key(mark=marks[0]), a_key(sgc="203557", krn=6, mark=marks[1]))
    order = an_order(at_ea07(PRESENT), at_ea07(TO))
    with pytest.raises(OrderRefused, match="only a test key") as caught:
        await make_vault(tables=SAMPLE).change_key(order, message_id="m1")
    assert caught.value.field == ("present.ea", "to.ea")[place]


@pytest.mark.parametrize("place", [0, 1])
async def test_a_changed_row_makes_no_set(vault, shelf, two_keys, place):
    rows = shelf.vending_keys.rows
    rows[place] = replace(rows[place], key=replace(rows[place].key, ken=99))
    with pytest.raises(SealBroken):
        await vault.change_key(an_order(), message_id="m1")


async def test_no_key_shows_in_a_set(vault, two_keys):
    issued = await vault.change_key(an_order(), message_id="m1")
    new = decoder_key_of(of_material(VK160, TO), TO)
    told = f"{issued!r} {vault.__dict__!r}"
    assert_hidden(told, new.value, bytes.fromhex(VK160))
    assert not any(token.digits in told for token in issued.tokens)
