"""Decoder keys against published ones, and everything a vending key may not be."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.drn import Drn, MeterPan
from protocols.sts.errors import RangeError, UnsupportedError
from protocols.sts.keys import DecoderKey, VendingKey, control_block, derive, kdf_input, pan_block
from protocols.sts.tables import BaseDate, Dkga, EncryptionAlgorithm, KeyType

PAN = MeterPan("600727000000000009")
LONG_PAN = MeterPan("000001000000000082")
DES_KEY = bytes.fromhex("abababababababab")
HMAC_KEY = bytes.fromhex("abababababababab949494949494949401234567")
STA, MISTY1 = EncryptionAlgorithm.STA, EncryptionAlgorithm.MISTY1


def des_key(**changes: object) -> VendingKey:
    return vending_key(value=DES_KEY, dkga=Dkga.DES, base_date=BaseDate.Y1993, **changes)


def vending_key(**changes: object) -> VendingKey:
    fields: dict[str, object] = {
        "value": HMAC_KEY,
        "dkga": Dkga.HMAC_SHA_256,
        "sgc": 201_457,
        "krn": 1,
        "base_date": BaseDate.Y2014,
        "ken": 255,
    }
    make: Callable[..., VendingKey] = VendingKey
    return make(**(fields | changes))


@pytest.mark.parametrize(
    ("pan", "expected"), [(PAN, "e653341f9d5bf36f"), (LONG_PAN, "e94023262e9993c2")]
)
def test_dkga02_makes_the_published_keys(pan: MeterPan, expected: str):
    key = derive(des_key(sgc=123_456), pan, tariff_index=1, algorithm=STA)
    assert key.value.hex() == expected


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [(STA, "87f3ecbb2e46b48f"), (MISTY1, "929bd3a415c9420a05ec5ee9f3ce91c3")],
)
def test_dkga04_makes_the_published_keys(algorithm: EncryptionAlgorithm, expected: str):
    key = derive(vending_key(), PAN, tariff_index=1, algorithm=algorithm)
    assert key == DecoderKey(bytes.fromhex(expected), algorithm)


@given(
    st.integers(0, 999_999),
    st.integers(1, 9),
    st.integers(0, 99),
    st.sampled_from(BaseDate),
    st.sampled_from(EncryptionAlgorithm),
)
def test_every_ingredient_of_dkga04_makes_another_key(
    sgc: int, krn: int, tariff_index: int, base: BaseDate, algorithm: EncryptionAlgorithm
):
    usual = derive(vending_key(), PAN, tariff_index=1, algorithm=MISTY1)
    same = (sgc, krn, tariff_index, base, algorithm) == (201_457, 1, 1, BaseDate.Y2014, MISTY1)
    vending = vending_key(sgc=sgc, krn=krn, base_date=base)
    key = derive(vending, PAN, tariff_index=tariff_index, algorithm=algorithm)
    assert (key == usual) is same


def test_key_type_and_meter_are_ingredients_too():
    default = vending_key(key_type=KeyType.DEFAULT)
    made = {
        derive(key, pan, tariff_index=1, algorithm=MISTY1)
        for key in (vending_key(), default)
        for pan in (PAN, LONG_PAN)
    }
    assert len(made) == 4


def test_a_common_key_of_dkga02_is_one_for_all_meters():
    common = des_key(key_type=KeyType.COMMON)
    one = derive(common, PAN, tariff_index=1, algorithm=STA)
    assert one == derive(common, MeterPan.of(Drn("11111111115")), tariff_index=1, algorithm=STA)


def test_a_common_key_of_dkga04_is_not_supported():
    with pytest.raises(UnsupportedError, match="key_type: common keys under DKGA04"):
        derive(vending_key(key_type=KeyType.COMMON), PAN, tariff_index=1, algorithm=MISTY1)


def test_dkga02_has_no_keys_for_ea11():
    with pytest.raises(UnsupportedError, match="ea: DKGA02 makes keys for EA07 only"):
        derive(des_key(), PAN, tariff_index=1, algorithm=MISTY1)


@pytest.mark.parametrize("tariff_index", [-1, 100])
@pytest.mark.parametrize("key", [des_key(), vending_key()], ids=["dkga02", "dkga04"])
def test_a_tariff_index_has_two_digits(key: VendingKey, tariff_index: int):
    with pytest.raises(RangeError, match="tariff_index: must lie between 0 and 99"):
        derive(key, PAN, tariff_index=tariff_index, algorithm=STA)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sgc", -1), ("sgc", 1_000_000), ("krn", 0), ("krn", 10), ("ken", -1), ("ken", 256)],
)
def test_an_attribute_out_of_range_is_named(field: str, value: int):
    with pytest.raises(RangeError) as caught:
        vending_key(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("dkga", "value"),
    [(Dkga.DES, HMAC_KEY), (Dkga.HMAC_SHA_256, DES_KEY), (Dkga.HMAC_SHA_256, HMAC_KEY + b"\x16")],
)
def test_a_vending_key_of_another_length_is_refused(dkga: Dkga, value: bytes):
    with pytest.raises(RangeError, match="vending_key: must be"):
        vending_key(dkga=dkga, value=value)


def test_a_des_key_without_odd_parity_is_refused():
    with pytest.raises(RangeError, match="vending_key: a DES key must have odd parity"):
        vending_key(dkga=Dkga.DES, value=bytes.fromhex("ababababababab00"))


def test_an_initialisation_key_comes_from_no_vending_key():
    with pytest.raises(UnsupportedError, match="key_type"):
        vending_key(key_type=KeyType.INITIALIZATION)


@pytest.mark.parametrize("length", [0, 8, 15, 17])
def test_a_decoder_key_fits_its_algorithm(length: int):
    with pytest.raises(RangeError, match="decoder_key: must be 16 bytes"):
        DecoderKey(b"k" * length, MISTY1)


def test_no_key_shows_itself():
    key = derive(vending_key(), PAN, tariff_index=1, algorithm=MISTY1)
    shown = repr(key) + str(key) + repr(vending_key()) + str(vending_key())
    assert "value" not in shown
    assert key.value.hex() not in shown
    assert repr(HMAC_KEY) not in shown


def test_blocks_take_only_decimal_parts_of_the_right_length():
    for iin, drn in (("600727", "1234567890123"), ("0000", "12345678901"), ("60072x", "1" * 11)):
        with pytest.raises(RangeError, match="meter_pan"):
            pan_block(iin, drn, KeyType.UNIQUE)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sgc", 1_000_000), ("sgc", -1), ("tariff_index", 100), ("krn", 0), ("krn", 10)],
)
def test_a_control_block_takes_only_what_fits(field: str, value: int):
    fields = {"sgc": 1, "tariff_index": 1, "krn": 1} | {field: value}
    with pytest.raises(RangeError) as caught:
        control_block(key_type=KeyType.UNIQUE, **fields)
    assert caught.value.field == field


def test_a_control_block_holds_decimal_digits():
    block = control_block(key_type=KeyType.UNIQUE, sgc=123_456, tariff_index=1, krn=1)
    assert block.hex() == "2123456011ffffff"


def test_the_input_of_dkga04_is_49_bytes_of_items_after_their_lengths():
    message = kdf_input(vending_key(), PAN, tariff_index=1, algorithm=EncryptionAlgorithm.STA)
    assert message == bytes.fromhex(
        "04 023034 023134 023037 023031 00 04 06323031343537 0132 0131"
        " 12363030373237303030303030303030303039 00000040"
    )
