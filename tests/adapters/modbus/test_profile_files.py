"""Profile files: the shipped ones, and every mistake one can make in another."""

from decimal import Decimal
from pathlib import Path

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.profile import Verified
from adapters.modbus.profile_faults import MalformedProfile
from adapters.modbus.profile_files import SHIPPED, load_profile, load_profiles
from headend.events import EventType
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.blocks import Limits, Span
from protocols.modbus.registers import Encoding, NumberFormat, Order

GOOD = """\
format   = 1
title    = "A meter"
source   = "A manual"
verified = "vendor"

[limits]
holding  = 60
barriers = [0x20]

[probe]
holding = 0x0000
decode  = "u16"
equals  = 42

[factors.ct]
holding = 0x0005
decode  = "u16"

[readings.ENERGY_IMPORT_WH]
holding  = 0x0010
decode   = "s32"
order    = "CDAB"
scale    = 0.1
invalid  = [0x7FFFFFFF]
unit     = "kWh"
times    = ["ct"]

[readings.POWER_W]
input     = 0x0010
decode    = "u16"
plausible = [0, 5000]
"""
SECTIONS = """\

[supply.contacts]
holding = 0x0030
decode  = "u16"
open    = [0]
closed  = [1]

[supply.order]
holding      = 0x0031
open         = 0x00AA
permit_close = 0x0055

[clock]
holding = 0x0040
decode  = "ymdhms"
zone    = "Africa/Lagos"

[tariff]
rates = 2

[events]
protocol = "stsm"
codes    = { "F001" = "MAGNET" }
"""


def loaded(folder: Path, text: str, name: str = "a-meter"):
    path = folder / f"{name}.toml"
    path.write_text(text)
    return load_profile(path)


def test_every_shipped_profile_says_what_it_rests_on():
    profiles = load_profiles()
    assert len(profiles) >= 17
    assert all(profile.source and profile.title for profile in profiles.values())
    assert Capability.ENTER_TOKEN in profiles[ProfileName("stsm")].can
    assert Capability.CREDIT_REGISTER in profiles[ProfileName("stsm")].can
    assert profiles[ProfileName("eastron-sdm630")].can is Capability.READ
    assert {profile.verified for profile in profiles.values()} <= set(Verified)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_profile_explains_its_traps(path: Path):
    assert path.read_text().startswith("# ")


def test_a_profile_says_where_and_how(tmp_path: Path):
    profile = loaded(tmp_path, GOOD)
    assert profile.name == "a-meter"
    reading = profile.readings[ReadingType.ENERGY_IMPORT_WH]
    assert (reading.table, reading.span) == (Table.HOLDING, Span(0x10, 2))
    assert (reading.factor, reading.times) == (Decimal(1000), ("ct",))
    assert reading.format == NumberFormat(
        encoding=Encoding.S32,
        order=Order.CDAB,
        scale=Decimal("0.1"),
        invalid=frozenset({0x7FFFFFFF}),
    )
    assert reading.value((0x0007, 0), {"ct": Decimal(50)}) == 35_000
    assert profile.readings[ReadingType.POWER_W].plausible == (0, 5000)
    assert profile.limits[Table.HOLDING] == Limits(max_read=60, barriers=frozenset({0x20}))


def test_sections_say_what_a_meter_can_do(tmp_path: Path):
    profile = loaded(tmp_path, GOOD + SECTIONS)
    asked = Capability.READ | Capability.SUPPLY | Capability.SUPPLY_ORDER | Capability.CLOCK
    assert profile.can == asked | Capability.EVENTS
    assert profile.supply is not None
    assert (profile.supply.order_at, profile.supply.open_word) == (0x31, 0xAA)
    assert profile.clock is not None
    assert profile.clock.start == 0x40
    assert profile.rates == 2
    assert profile.event_codes == {0xF001: EventType.MAGNET}


@pytest.mark.parametrize(
    ("probe", "words", "fits"),
    [
        ('decode = "u16"\nequals = 42', (42,), True),
        ('decode = "u16"\nequals = 42', (43,), False),
        ('decode = "u16"\nequals = [42, 43]', (43,), True),
        ('decode = "text"\nwords = 2\nequals = "STSM"', (0x5354, 0x534D), True),
        ('decode = "text"\nwords = 2\nequals = "STSM"', (0x5354, 0x5354), False),
        ('decode = "text"\nwords = 2\nequals = ["B23", "B24"]', (0x4232, 0x3420), True),
        ('decode = "float32"\nbetween = [45, 65]', (0x4248, 0), True),
        ('decode = "float32"\nbetween = [45, 65]', (0x449A, 0), False),
        ('decode = "float32"\nbetween = [45, 65]', (0x7FC0, 0), False),
        ('decode = "float32"\nbetween = [-9, 9]', (0, 0), True),
        ('decode = "float32"\nbetween = [-9, 9]', (0x3586, 0x37BE), True),  # 1.0000001e-6
        ('decode = "float32"\nbetween = [-9, 9]', (0x03E6, 0x03C4), False),  # 1.35e-36
        ('decode = "float32"\nbetween = [-9, 9]', (0x8000, 0x0001), False),  # denormal
    ],
)
def test_a_probe_fits_its_model(tmp_path: Path, probe: str, words: tuple[int, ...], fits: bool):
    text = GOOD.replace('decode  = "u16"\nequals  = 42', probe)
    (only,) = loaded(tmp_path, text).probes
    assert only.fits(words) is fits


def test_what_stands_behind_an_or_is_checked_with_its_place(tmp_path: Path):
    alternative = 'equals  = 42\nor = { input = 2, decode = "u16", equals = "x" }'
    text = GOOD.replace("equals  = 42", alternative)
    with pytest.raises(MalformedProfile, match="compare a text with a text"):
        loaded(tmp_path, text)
    (only,) = loaded(tmp_path, text.replace('"x"', "7")).probes
    assert only.otherwise is not None
    assert only.otherwise.fits((7,))


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        # the file
        ("format   = 1", "format   = 2", r":1:1: this version reads format 1, not 2"),
        ("holding  = 60", "holding  = = 60", r":7:12: Invalid value"),
        ("[limits]", "[limits]\nholding = 1", r":8:\d+: Cannot overwrite a value"),
        ("[readings.POWER_W]", "[readings.ENERGY_IMPORT_WH]", r":28:\d+: Cannot declare"),
        ("holding  = 60", "wards    = 60", r":7:1: unknown key `wards`; known are holding, "),
        ("holding  = 60", "holding  = 126", r":7:1: .*<= 125.*got 126"),
        ("holding  = 60", 'holding  = "60"', r":7:1: .*got `str`"),
        ('source   = "A manual"\n', "", r":1:1: missing required key `source`"),
        ('"vendor"', '"hearsay"', r":4:1: 'hearsay' is none of bench, log, "),
        ("[limits]", "[limit]", r":6:2: unknown key `limit`"),
        # a probe
        ("holding = 0x0000", "", r":10:2: give the address"),
        ("holding = 0x0000", "holding = 0\ninput = 0", r":10:2: give the address"),
        ("equals  = 42", "", r':10:2: a probe says what it expects: either "equals" or "between"'),
        ("equals  = 42", "equals = 42\nbetween = [1, 2]", r":10:2: a probe says what it expects"),
        ("equals  = 42", "equals  = []", r":13:1: compare a text with a text"),
        ("equals  = 42", 'equals  = "x"', r":13:1: compare a text with a text"),
        ("equals  = 42", "between = [3, 2]", r":13:1: a range goes from low to high"),
        ('"u16"\nequals  = 42', '"text"\nequals  = "x"', r':10:2: a text needs "words"'),
        ('"u16"\nequals  = 42', '"u17"\nequals  = 42', r":12:1: 'u17' is none of u16, "),
        ("equals  = 42", "equals  = 42\nwords = 2", r":14:1: u16 takes 1 registers"),
        ("equals  = 42", "equals  = 42\nwards = 1", r":14:1: unknown key `wards`"),
        # a factor
        ("[factors.ct]", "[factors.CT]", r":15:10: .*got 'CT'"),
        ('times    = ["ct"]', 'times    = ["ct", "vt"]', r":26:19: no factor is called 'vt'"),
        # a reading
        ("ENERGY_IMPORT_WH", "ENERGY", r":19:11: 'ENERGY' is no reading type"),
        ('"s32"', '"s33"', r":21:1: 's33' is none of u16, "),
        ('"s32"', '"s32"\nwords = 1', r":22:1: s32 takes 2 registers, not 1"),
        ('"CDAB"', '"CABD"', r":22:1: 'CABD' is none of ABCD, "),
        ("scale    = 0.1", "scale    = 0", r":23:1: a scale is a number other than 0"),
        ("scale    = 0.1", "scale    = nan", r":23:1: a scale is a number other than 0"),
        ("scale    = 0.1", "scale    = 1e999999", r":23:1: a scale is a number other than 0"),
        ("[0, 5000]", "[nan, 5000]", r":31:1: a range goes between two numbers"),
        ("[0, 5000]", "[0, inf]", r":31:1: a range goes between two numbers"),
        ("equals  = 42", "equals  = 42\nscale = 0", r":14:1: a scale is a number other than 0"),
        ("scale    = 0.1", 'scale    = "x"', r":23:1: .*decimal"),
        ("0x7FFFFFFF", "0x7FFFFFFFFF", r":24:13: 0x7fffffffff does not fit into 2 registers"),
        ("0x7FFFFFFF", "0, -1", r":24:16: .*>= 0.*got -1"),
        ('"kWh"', '"kvarh"', r":25:1: 'kvarh' is no unit of ENERGY_IMPORT_WH; known are .*kWh"),
        ("0x0010\ndecode   =", "0xFFFF\ndecode   =", r":20:1: the registers end after 0xFFFF"),
        ("[0, 5000]", "[5000, 0]", r":31:1: a range goes from low to high"),
        ("[0, 5000]", "[-100, 5000]", r":31:1: u16 is never below 0; is it s16\?"),
        ("[0, 5000]", "[70000, 80000]", r":31:1: u16 cannot say any of it"),
        ("[0, 5000]", "[0]", r":31:1: .*length 2"),
        # registers that meet
        ("input     = 0x0010", "holding   = 0x0011", r":28:11: holding 0x0011 belongs to ENERGY"),
        ("holding = 0x0005", "holding = 0x0011", r":15:10: holding 0x0011 belongs to ENERGY"),
        ("[0x20]", "[0x11]", r":19:11: the value at 0x0010 lies across a barrier"),
        ("holding  = 60", "holding  = 1", r":19:11: 2 registers at 0x0010: this meter gives 1 at"),
        ("ENERGY_IMPORT_WH", "ENERGY_IMPORT_T1_WH", r":19:11: it counts rate 1; .* has none"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, was: str, becomes: str, complaint: str):
    assert was in GOOD
    with pytest.raises(MalformedProfile, match=rf"a-meter\.toml{complaint}"):
        loaded(tmp_path, GOOD.replace(was, becomes, 1))


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("closed  = [1]", "closed  = [1, 0]", r":\d+:1: 0 cannot mean both open and closed"),
        ("closed  = [1]", "closed  = []", r":\d+:1: .*length >= 1"),
        ("0x0055", "0x00AA", r":\d+:1: one word cannot both open and permit closing"),
        ("open         = 0x00AA\npermit_close = 0x0055", "", r':\d+:\d+: an order is "open" or'),
        ("= 0x0031", "= 0x0010", r":\d+:1: writing there would change ENERGY_IMPORT_WH"),
        ("= 0x0040", "= 0x000F", r":\d+:1: writing there would change ENERGY_IMPORT_WH"),
        ("[clock]", '[clock]\nprotocol = "stsm"', r":\d+:2: a clock goes either by"),
        ('decode  = "ymdhms"\n', "", r":\d+:2: a clock goes either by"),
        ("Africa/Lagos", "Africa/Nowhere", r":\d+:1: 'Africa/Nowhere' is no time zone"),
        ("[supply.order]", '[supply]\nprotocol = "stsm"\n[supply.order]', r":\d+:\d+: supply goes"),
        ("rates = 2", "rates = 0", r":\d+:1: .*>= 1"),
        ('protocol = "stsm"', 'protocol = "acme"', r":\d+:1: .*got 'acme'"),
        ('"MAGNET"', '"MAGNETS"', r":\d+:\d+: 'MAGNETS' is no event type"),
        ('"F001"', '"F1"', r":\d+:\d+: .*got 'F1'"),
    ],
)
def test_a_mistake_in_a_section_is_told_with_its_place(
    tmp_path: Path, was: str, becomes: str, complaint: str
):
    assert was in SECTIONS
    with pytest.raises(MalformedProfile, match=rf"a-meter\.toml{complaint}"):
        loaded(tmp_path, GOOD + SECTIONS.replace(was, becomes, 1))


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path):
    text = GOOD.replace('"s32"', '"s33"').replace('"kWh"', "7").replace("holding  = 60", "hold = 1")
    with pytest.raises(MalformedProfile) as caught:
        loaded(tmp_path, text)
    lines = [fault.place.line for fault in caught.value.faults]
    assert lines == [7, 21, 25]
    assert len(str(caught.value).splitlines()) == 3

    text = GOOD.replace('"kWh"', '"V"').replace("[0, 5000]", "[9, 1]").replace("= 1\n", "= 3\n", 1)
    with pytest.raises(MalformedProfile) as caught:
        loaded(tmp_path, text)
    assert [fault.place.line for fault in caught.value.faults] == [1, 25, 31]


def lines_of_faults(folder: Path, text: str) -> list[int]:
    with pytest.raises(MalformedProfile) as caught:
        loaded(folder, text)
    return [fault.place.line for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("was", "becomes", "line"),
    [
        ('source   = "A manual"\n', "", 1),
        ('"vendor"', '"hearsay"', 4),
        ("A meter", "A meter", 0),
        ("holding  = 60", "hold = 1", 7),
        ("equals  = 42", "equals  = 42\nwards = 1", 14),
        ('"s32"', '"s33"', 21),
        ('"kWh"', "7", 25),
        ("[factors.ct]", "[factors.ct]\nwards = 1", 16),
        ("[0, 5000]", "[0]", 31),
    ],
)
def test_a_fault_of_the_form_hides_none_of_the_layout(
    tmp_path: Path, was: str, becomes: str, line: int
):
    more = """
[readings.CURRENT_L1_MA]
holding = 0x0006
decode  = "u16"
unit    = "V"

[readings.CURRENT_L2_MA]
holding = 0x0006
decode  = "u16"
"""
    text = GOOD.replace(was, becomes, 1) + more
    last = len(text.splitlines())
    assert lines_of_faults(tmp_path, text) == [*([line] if line else []), last - 4, last - 2]


def test_a_fault_of_the_common_part_is_told_once_and_hides_none_of_a_variant(tmp_path: Path):
    text = GOOD.replace('"kWh"', '"V"') + VARIANTS.replace("scale = 0.1", "scale = 0")
    assert lines_of_faults(tmp_path, text) == [25, 37]


def test_a_meter_that_can_do_nothing_is_no_meter(tmp_path: Path):
    with pytest.raises(MalformedProfile, match=r":1:1: nothing can be read"):
        loaded(tmp_path, GOOD[: GOOD.index("[factors.")])


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b'title = "\xff"', r":1:10: this is no UTF-8"),
        (b"a = " + b"[" * 5000, r":1:1: nested too deeply|Invalid|Unclosed"),
        (b"#" * 1_100_000, r":1:1: cannot be read: longer than"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, raw: bytes, complaint: str):
    path = tmp_path / "a-meter.toml"
    path.write_bytes(raw)
    with pytest.raises(MalformedProfile, match=complaint):
        load_profile(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(MalformedProfile, match="cannot be read: No such file"):
        load_profile(tmp_path / "none.toml")


# --- inheritance and variants -------------------------------------------------------------------


CHILD = """\
format   = 1
inherits = "a-meter"
title    = "Another meter"

[readings.ENERGY_IMPORT_WH]
scale    = 1

[readings.POWER_W]
holding  = 0x0018
"""


def test_what_a_profile_does_not_say_it_inherits(tmp_path: Path):
    parent = loaded(tmp_path, GOOD)
    child = loaded(tmp_path, CHILD, "child")
    assert (child.name, child.title, child.source) == ("child", "Another meter", parent.source)
    assert child.probes == parent.probes
    energy = child.readings[ReadingType.ENERGY_IMPORT_WH]
    assert (energy.format.scale, energy.format.order) == (1, Order.CDAB)
    power = child.readings[ReadingType.POWER_W]
    assert (power.table, power.span) == (Table.HOLDING, Span(0x18, 1))


def test_a_fault_is_told_in_the_file_that_makes_it(tmp_path: Path):
    loaded(tmp_path, GOOD)
    with pytest.raises(MalformedProfile, match=r"child\.toml:9:1: .*got"):
        loaded(tmp_path, CHILD.replace("0x0018", "-1"), "child")
    (tmp_path / "a-meter.toml").write_text(GOOD.replace('"u16"\nplausible', '"u7"\nplausible'))
    with pytest.raises(MalformedProfile, match=r"a-meter\.toml:30:1: 'u7' is none of"):
        loaded(tmp_path, CHILD, "child")


def test_nobody_inherits_from_himself_or_from_nobody(tmp_path: Path):
    with pytest.raises(MalformedProfile, match=r"child\.toml:2:1: no profile is called 'a-meter'"):
        loaded(tmp_path, CHILD, "child")
    (tmp_path / "a-meter.toml").write_text('inherits = "child"\n' + GOOD)
    with pytest.raises(MalformedProfile, match=r"a-meter\.toml:1:1: .*child → a-meter → child"):
        loaded(tmp_path, CHILD, "child")
    with pytest.raises(MalformedProfile, match=r"self\.toml:2:1: .*self → self"):
        loaded(tmp_path, CHILD.replace("a-meter", "self"), "self")


def test_a_shipped_profile_can_be_inherited(tmp_path: Path):
    text = CHILD.replace('"a-meter"', '"eastron-sdm120"').split("[readings")[0]
    child = loaded(tmp_path, text, "our-sdm120")
    assert child.readings.keys() == load_profiles()[ProfileName("eastron-sdm120")].readings.keys()


VARIANTS = """\

[[variants]]
name  = "tenths"
probe = { holding = 0x0001, decode = "u16", equals = 1 }
[variants.readings.POWER_W]
scale = 0.1

[[variants]]
name  = "plain"
probe = { holding = 0x0001, decode = "u16", equals = 2 }
"""


def test_a_variant_says_only_what_it_has_otherwise(tmp_path: Path):
    tenths, plain = loaded(tmp_path, GOOD + VARIANTS).variants
    assert (tenths.variant, plain.variant) == ("tenths", "plain")
    assert tenths.readings[ReadingType.POWER_W].format.scale == Decimal("0.1")
    assert plain.readings[ReadingType.POWER_W].format.scale == 1
    assert tenths.readings.keys() == plain.readings.keys()
    assert (tenths.name, tenths.title) == ("a-meter", "A meter")


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('"plain"', '"tenths"', r":40:1: two variants are called 'tenths'"),
        ("scale = 0.1", "scale = 0", r":37:1: a scale is a number other than 0"),
        ("scale = 0.1", "wards = 0", r":37:1: unknown key `wards`"),
        (", equals = 1 ", "", r":35:1: a probe says what it expects"),
        ("scale = 0.1", 'decode = "u32"\nholding = 0x0011', r":36:20: holding 0x0011 belongs"),
        ('"tenths"', '"Tenths!"', r":34:1: .*got 'Tenths!'"),
    ],
)
def test_a_mistake_in_a_variant_is_told_with_its_place(
    tmp_path: Path, was: str, becomes: str, complaint: str
):
    assert was in VARIANTS
    with pytest.raises(MalformedProfile, match=rf"a-meter\.toml{complaint}"):
        loaded(tmp_path, GOOD + VARIANTS.replace(was, becomes, 1))


@pytest.mark.parametrize(
    ("first", "second", "hidden"),
    [
        ("equals = 1", "equals = 1", True),
        ("equals = 1", "equals = [1, 2]", True),
        ("equals = 1", "between = [1, 9]", True),
        ("between = [1, 5]", "between = [5, 9]", True),
        ("between = [10, 50]", "scale = 0.1, between = [4, 9]", True),
        ("equals = 1", "equals = 2", False),
        ("between = [1, 4]", "between = [5, 9]", False),
        ("equals = 1", "order = 'BADC', equals = 1", False),
    ],
)
def test_a_variant_that_an_earlier_one_hides_is_refused(
    tmp_path: Path, first: str, second: str, hidden: bool
):
    text = GOOD + VARIANTS.replace("equals = 1", first).replace("equals = 2", second)
    if not hidden:
        assert len(loaded(tmp_path, text).variants) == 2
        return
    with pytest.raises(MalformedProfile, match=r"a-meter\.toml:41:1: .*taken for 'tenths'"):
        loaded(tmp_path, text)


def test_texts_that_begin_alike_hide_each_other(tmp_path: Path):
    text = GOOD + VARIANTS.replace('"u16", equals = 1', '"text", words = 2, equals = "B2"')
    hidden = text.replace('"u16", equals = 2', '"text", words = 2, equals = "B23"')
    with pytest.raises(MalformedProfile, match=r":41:1: .*taken for 'tenths'"):
        loaded(tmp_path, hidden)
    apart = text.replace('"u16", equals = 2', '"text", words = 2, equals = "A43"')
    assert len(loaded(tmp_path, apart).variants) == 2


def test_a_variant_that_asks_more_may_stand_first(tmp_path: Path):
    more = ", equals = 1 }, { holding = 0x0002, decode = 'u16', equals = 7 }]"
    text = VARIANTS.replace("equals = 2", "equals = 1").replace(", equals = 1 }", more, 1)
    first = GOOD + text.replace("probe = {", "probe = [{", 1)
    assert len(loaded(tmp_path, first).variants) == 2


# --- folders ------------------------------------------------------------------------------------


def test_profiles_of_the_utility_come_on_top(tmp_path: Path):
    (tmp_path / "stsm.toml").write_text(GOOD)
    (tmp_path / "another.toml").write_text(GOOD)
    profiles = load_profiles(tmp_path)
    assert profiles.keys() == load_profiles().keys() | {"another"}
    assert profiles[ProfileName("stsm")].title == "A meter"


def test_one_bad_file_is_told_before_any_is_used(tmp_path: Path):
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(GOOD.replace('"u16"', '"u17"', 1))
    with pytest.raises(MalformedProfile, match=r"bad\.toml:12:1"):
        load_profiles(tmp_path)
