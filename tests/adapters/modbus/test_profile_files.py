"""Profile files: the shipped ones, and every mistake one can make in another."""

from decimal import Decimal
from pathlib import Path

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.profile_files import MalformedProfile, load_profile, load_profiles
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.blocks import Span
from protocols.modbus.registers import Encoding, NumberFormat, Order

GOOD = """\
format   = 1
title    = "A meter"
source   = "A manual"
can      = ["READ"]
max_hole = 4
barriers = [0x20]

[probe]
holding = 0x0000
decode  = "u16"
equals  = 42

[readings.ENERGY_IMPORT_WH]
holding  = 0x0010
decode   = "s32"
order    = "CDAB"
scale    = 0.1
invalid  = [0x7FFFFFFF]
exponent = 0x0005

[readings.POWER_W]
input  = 0x0010
decode = "float32"
"""


def loaded(folder: Path, text: str):
    path = folder / "a-meter.toml"
    path.write_text(text)
    return load_profile(path)


def test_the_shipped_profiles():
    profiles = load_profiles()
    assert profiles.keys() == {"stsm", "eastron-sdm630"}
    assert Capability.ENTER_TOKEN in profiles[ProfileName("stsm")].can
    assert Capability.CREDIT_REGISTER in profiles[ProfileName("stsm")].can
    assert profiles[ProfileName("eastron-sdm630")].can is Capability.READ
    assert all(profile.source for profile in profiles.values())


def test_an_sdm630_is_read_in_two_reads_it_can_bear():
    profile = load_profiles()[ProfileName("eastron-sdm630")]
    assert profile.reads(Table.INPUT) == (Span(0x00, 12), Span(0x34, 24))
    assert profile.max_read == 60


def test_a_profile_says_where_and_how(tmp_path: Path):
    profile = loaded(tmp_path, GOOD)
    assert profile.name == "a-meter"
    reading = profile.readings[ReadingType.ENERGY_IMPORT_WH]
    assert (reading.table, reading.span) == (Table.HOLDING, Span(0x10, 2))
    assert reading.exponent_at == 5
    assert reading.format == NumberFormat(
        encoding=Encoding.S32,
        order=Order.CDAB,
        scale=Decimal("0.1"),
        invalid=frozenset({0x7FFFFFFF}),
    )


@pytest.mark.parametrize(
    ("probe", "words", "fits"),
    [
        ('decode = "u16"\nequals = 42', (42,), True),
        ('decode = "u16"\nequals = 42', (43,), False),
        ('decode = "text"\nwords = 2\nequals = "STSM"', (0x5354, 0x534D), True),
        ('decode = "text"\nwords = 2\nequals = "STSM"', (0x5354, 0x5354), False),
        ('decode = "float32"\nbetween = [45, 65]', (0x4248, 0), True),
        ('decode = "float32"\nbetween = [45, 65]', (0x449A, 0), False),
        ('decode = "float32"\nbetween = [45, 65]', (0x7FC0, 0), False),
    ],
)
def test_a_probe_fits_its_model(tmp_path: Path, probe: str, words: tuple[int, ...], fits: bool):
    text = GOOD.replace('decode  = "u16"\nequals  = 42', probe)
    assert loaded(tmp_path, text).probe.fits(words) is fits


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("format   = 1", "format   = 2", r":1:1: this version reads format 1, not 2"),
        ("max_hole = 4", "max_hole = = 4", r":5:12: Invalid value"),
        ("max_hole = 4", "max_holes = 4", r":5:1: .*unknown field `max_holes`"),
        ("max_hole = 4", "max_read = 126", r":5:1: .*125"),
        ('"READ"]', '"READ", "FLY"]', r":4:1: 'FLY' is none of READ, "),
        ('"READ"]', '"NONE"]', r":4:1: 'NONE'"),
        ('"READ"]', '"CREDIT_REGISTER"]', r":4:1: CREDIT_REGISTER needs the reading CREDIT_LEFT"),
        ('"READ"]', '"SUPPLY"]', r':4:1: tokens, supply, clock and key need "prepay"'),
        ("max_hole = 4", 'prepay = "acme"', r":5:1: 'acme' is none of stsm"),
        ('source   = "A manual"\n', "", r":1:1: .*missing required field `source`"),
        ("[probe]\nholding = 0x0000", "[probe]", r":8:2: give the address"),
        ("[probe]\n", "[probe]\ninput = 1\n", r":8:2: give the address"),
        ("equals  = 42", "", r':8:2: a probe says either "equals" or "between"'),
        ("equals  = 42", 'equals  = "x"', r":11:1: compare a text with a text"),
        ('"u16"\nequals  = 42', '"text"\nequals  = "x"', r':8:2: a text needs "words"'),
        ("equals  = 42", "equals  = 42\nwards = 1", r":12:1: .*unknown field `wards`"),
        ("ENERGY_IMPORT_WH", "ENERGY", r":13:2: 'ENERGY' is no reading type"),
        ('"s32"', '"s33"', r":15:1: 's33' is none of u16, "),
        ('"CDAB"', '"CABD"', r":16:1: Invalid enum value 'CABD'"),
        ("scale    = 0.1", "scale    = 0", r":17:1: a scale is a number other than 0"),
        ("scale    = 0.1", 'scale    = "x"', r":17:1: Invalid decimal"),
        ("0x0010\ndecode   =", "0xFFFF\ndecode   =", r":14:1: the registers end after 0xFFFF"),
        ("barriers = [0x20]", "barriers = [0x11]", r":13:2: the value at 0x0010 lies across"),
        ("barriers = [0x20]", "max_read = 1", r":13:2: 2 registers at 0x0010: this meter gives 1"),
        ("input  = 0x0010", "holding  = 0x0011", r":21:2: 0x0011 belongs to another reading"),
        ("can      = [", "can      = ", r":4:"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, was: str, becomes: str, complaint: str):
    assert was in GOOD
    with pytest.raises(MalformedProfile, match=rf"a-meter\.toml{complaint}"):
        loaded(tmp_path, GOOD.replace(was, becomes, 1))


def test_reading_needs_readings(tmp_path: Path):
    with pytest.raises(MalformedProfile, match=r":4:1: READ needs readings"):
        loaded(tmp_path, GOOD[: GOOD.index("[readings.")])


def test_profiles_of_the_utility_come_on_top(tmp_path: Path):
    (tmp_path / "stsm.toml").write_text(GOOD)
    (tmp_path / "another.toml").write_text(GOOD)
    profiles = load_profiles(tmp_path)
    assert profiles.keys() == {"stsm", "eastron-sdm630", "another"}
    assert profiles[ProfileName("stsm")].title == "A meter"
