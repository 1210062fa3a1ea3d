"""Keys come in checked, once, and without a trace of themselves."""

import pytest

from adapters.vault.key_import import KeyRefused, check_key, import_keys, read_keys_file
from adapters.vault.private_file import FileUnusable
from headend.meters import KeyType
from headend.vending_keys import KeyMark
from tests.adapters.vault.conftest import (
    NOW,
    TENANT,
    VK64,
    VK160,
    a_key,
    assert_hidden,
    everything_told,
)

SECRET = bytes.fromhex(VK160)

FILE = f"""
[[keys]]
sgc = "201457"
krn = 1
base_date = 2014
ken = 255
mark = "test"
key = "{VK160}"

[[keys]]
sgc = "123456"
krn = 9
base_date = 1993
ken = 255
dkga = 2
mark = "private"
key = "{VK64}"
"""


def write(file, text=FILE, mode=0o600):
    file.write_text(text)
    file.chmod(mode)
    return file


async def test_a_key_is_stored_with_its_attributes(shelf, masters):
    [key] = await import_keys(shelf.as_store, masters, [a_key()], tenant=TENANT, now=NOW)
    [row] = shelf.vending_keys.rows
    assert row.key == key
    assert (key.sgc, key.krn, key.key_type, key.base_date) == ("201457", 1, KeyType.UNIQUE, 2014)
    assert (key.ken, key.dkga, key.mark) == (255, 4, KeyMark.TEST)
    assert row.created_at == NOW


def test_check_values_are_those_of_openssl():
    # openssl enc -des-ecb -K abababababababab -nopad -provider legacy, over eight zero bytes
    assert check_key(TENANT, a_key(key=VK64, dkga=2))[0].check_value == "C33F45"
    # openssl dgst -sha256 -mac hmac -macopt hexkey:<key>, over eight zero bytes
    assert check_key(TENANT, a_key())[0].check_value == "0F353D"


async def test_importing_twice_is_harmless(shelf, add_keys):
    await add_keys(a_key())
    first = list(shelf.vending_keys.rows)
    await add_keys(a_key())
    assert shelf.vending_keys.rows == first


async def test_another_key_of_the_same_name_is_refused_and_the_first_stays(shelf, add_keys):
    await add_keys(a_key())
    with pytest.raises(KeyRefused, match="another key of revision 1"):
        await add_keys(a_key(key="01" * 20))
    [row] = shelf.vending_keys.rows
    assert row.key.check_value == check_key(TENANT, a_key())[0].check_value


async def test_of_many_keys_all_come_in_or_none(shelf, add_keys):
    await add_keys(a_key(krn=3))
    with pytest.raises(KeyRefused):
        await add_keys(a_key(krn=1), a_key(krn=2, key="zz"))
    with pytest.raises(KeyRefused):
        await add_keys(a_key(krn=1), a_key(krn=3, ken=7))
    assert [row.key.krn for row in shelf.vending_keys.rows] == [3]


@pytest.mark.parametrize(
    ("changed", "field", "text"),
    [
        ({"mark": "live"}, "mark", "live keys belong in a security module"),
        ({"mark": "prod"}, "mark", "test or private"),
        ({"key": VK160 + "16"}, "key", "is 20 bytes, this one is 21"),
        ({"key": VK160[:-1]}, "key", "two a byte"),
        ({"key": VK160[:-2] + "xy"}, "key", "hex"),
        ({"key": VK160[:20] + " " + VK160[20:]}, "key", "without blanks"),
        ({"key": "\u0661" * 40}, "key", "hex"),
        ({"key": ""}, "key", "this one is 0"),
        ({"key": VK160, "dkga": 2}, "key", "is 8 bytes, this one is 20"),
        ({"key": VK160[:14] + "aa", "dkga": 2}, "key", "odd parity"),
        ({"dkga": 3}, "dkga", "withdrawn"),
        ({"dkga": 5}, "dkga", "no such"),
        ({"sgc": "20145"}, "sgc", "six digits"),
        ({"sgc": "+20145"}, "sgc", "six digits"),
        ({"krn": 0}, "krn", "between 1 and 9"),
        ({"ken": 256}, "ken", "between 0 and 255"),
        ({"base_date": 2015}, "base_date", "1993, 2014 or 2035"),
        ({"key_type": 0}, "key_type", "initialisation"),
        ({"key_type": 4}, "key_type", "1, 2 or 3"),
        ({"check_value": "000000"}, "check_value", "comes out as"),
    ],
    ids=str,
)
def test_a_wrong_key_is_refused_by_field_and_never_shown(changed, field, text):
    with pytest.raises(KeyRefused, match=text) as caught:
        check_key(TENANT, a_key(**changed))
    assert caught.value.field == field
    told = everything_told(caught.value)
    assert_hidden(told, SECRET, bytes.fromhex(VK64), SECRET[:9], SECRET[10:])


def test_a_check_value_may_be_written_small():
    key, _ = check_key(TENANT, a_key())
    assert check_key(TENANT, a_key(check_value=key.check_value.lower()))[0] == key


def test_neither_order_nor_result_prints_the_key():
    given = a_key()
    assert_hidden(f"{given!r} {check_key(TENANT, given)!r}", SECRET)


def test_a_keys_file_is_read(tmp_path):
    first, second = read_keys_file(write(tmp_path / "keys.toml"))
    assert first == a_key()
    assert (second.sgc, second.dkga, second.mark, second.key) == ("123456", 2, "private", VK64)


def test_a_keys_file_open_to_others_is_refused(tmp_path):
    with pytest.raises(FileUnusable, match="chmod 600"):
        read_keys_file(write(tmp_path / "keys.toml", mode=0o644))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no \\[\\[keys\\]\\]"),
        (f"key = {VK160}", "no TOML"),
        (f'key = "{VK160}\n', "no TOML"),
        (f'keys = "{VK160}"', "must be"),
        (FILE.replace('"201457"', "201457"), r"keys\[0\].*str"),
        (FILE.replace("krn = 9", 'krn = "9"'), r"keys\[1\].*int"),
        (FILE.replace("ken = 255\n", "", 1), r"keys\[0\].*ken"),
        (FILE.replace("ken = 255", "kenn = 255", 1), r"keys\[0\].*kenn is no field"),
        (FILE.replace(f'"{VK160}"', "12"), r"keys\[0\].*str"),
        ("\x00\ufffd" + FILE, "no TOML"),
    ],
)
def test_a_wrong_keys_file_is_refused_and_never_shown(tmp_path, text, told):
    with pytest.raises(KeyRefused, match=told) as caught:
        read_keys_file(write(tmp_path / "keys.toml", text))
    assert_hidden(everything_told(caught.value), SECRET, SECRET[:9], bytes.fromhex(VK64))
