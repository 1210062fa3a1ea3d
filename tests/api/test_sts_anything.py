"""Whatever is typed, the STS commands answer: a token, a judgement or a field that is wrong."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.commands.sts_files import key_of
from api.commands.sts_judging import Memory, judge, rows_of
from api.commands.sts_keys import MeterKey
from api.commands.sts_options import printable
from api.commands.sts_orders import MeterTestOrder, TimedOrder, order_of
from protocols.sts.block import seal
from protocols.sts.errors import StsError
from protocols.sts.keys import DecoderKey
from protocols.sts.sta import SAMPLE
from protocols.sts.tables import BaseDate, EncryptionAlgorithm, KeyType, TokenClass
from protocols.sts.token import clear_block, digits_of

KEYS = {
    algorithm: MeterKey(
        DecoderKey(bytes(range(algorithm.key_bytes)), algorithm),
        base_date=BaseDate.Y2014,
        ken=200,
        key_type=KeyType.UNIQUE,
        tables=SAMPLE,
    )
    for algorithm in EncryptionAlgorithm
}
NAMES = ["electricity", "time-currency", "power-limit", "clear-credit", "set-flag", "set-control"]
NAMES += ["meter-test", "read-control", "manufacturer-test", "clear-tamper", "tariff-rate"]
values = st.text(max_size=30) | st.from_regex(r"[-0-9a-fx:.e+]{0,30}(:on|:off)?", fullmatch=True)


@given(st.sampled_from(NAMES) | st.text(max_size=20), values, st.sampled_from([None, 11, 13]))
def test_an_order_is_a_token_or_a_named_mistake(name: str, value: str, digits: int | None):
    with suppress(StsError):
        order = order_of(f"{name}={value}", drn_digits=digits)
        match order:
            case TimedOrder():
                clear_block(order.make(15, 0xFF_FFFF))
            case MeterTestOrder():
                assert all(clear_block(token) for token in order.tokens)


@given(st.text(alphabet="0123456789", min_size=20, max_size=20))
def test_any_digits_are_judged_by_any_eye(digits: str):
    assert rows_of(judge(digits, None, Memory(), show_key=False))


@pytest.mark.parametrize("algorithm", EncryptionAlgorithm)
@given(st.integers(0, (1 << 48) - 1), st.sampled_from(TokenClass), st.booleans())
def test_any_authentic_content_is_judged(
    algorithm: EncryptionAlgorithm, content: int, token_class: TokenClass, show_key: bool
):
    key = KEYS[algorithm]
    block = seal(token_class, content)
    if token_class is not TokenClass.METER_TEST:
        block = key.cipher().encrypt(block)
    memory = Memory(frozenset({1000}), mfr_code=1)
    judgement = judge(digits_of(token_class, block), key, memory, show_key=show_key)
    assert judgement.result.name != "CRC"
    assert "result" in [row.name for row in rows_of(judgement)]


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_none(text: str):
    with suppress(StsError):
        assert key_of(text)


@given(st.text())
def test_what_is_printable_is_one_line_of_text(text: str):
    assert printable(text).isprintable()
    printable(text).encode()
