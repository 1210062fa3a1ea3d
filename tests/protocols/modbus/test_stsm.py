"""The STSM blocks, against the vectors named stsm-*."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus import stsm
from tests.vectors.field_frames import VECTORS, frame

TOKEN = "55556666777788889999"
WORD = st.integers(0, 0xFFFF)


def written(ident: str) -> tuple[int, ...]:
    """The words of an FC16 request."""
    return struct.unpack(f">{frame(ident)[6] // 2}H", frame(ident)[7:-2])


def read(ident: str) -> tuple[int, ...]:
    """The words of an FC03 reply."""
    return struct.unpack(f">{frame(ident)[2] // 2}H", frame(ident)[3:-2])


def test_a_token_is_written_as_its_printed_groups():
    words = stsm.token_entry(0x12345, TOKEN, origin=stsm.Origin.HEADEND)
    assert words == written("stsm-token-write-bcd")
    assert words[3:8] == (0x5555, 0x6666, 0x7777, 0x8888, 0x9999)


def test_leading_zeros_are_digits():
    words = stsm.token_entry(1, "00000000000000000001", origin=stsm.Origin.HEADEND)
    assert words == written("stsm-token-leading-zeros")


def test_a_bad_commit_word_is_seen():
    words = written("stsm-token-write-badcommit")
    assert stsm.commit_word(words[:-1]) != words[-1]
    assert stsm.commit_word(written("stsm-token-write-bin66")[:-1]) == 65067


def test_an_accepted_token():
    told = VECTORS["stsm-result-accept"]["decode"]
    result = stsm.TokenJudgement.of(read("stsm-result-accept"))
    assert result == stsm.TokenJudgement(
        request_id=0x12345,
        progress=stsm.Progress.DONE,
        code=1,
        token_class=0,
        subclass=0,
        lockout_s=0,
        tid=17443644,
        amount=25000,
        processed=1767225600,
        credit_after=31415,
        krn=1,
        tariff_index=1,
        key_change_pending=0,
    )
    assert (result.tid, result.amount, result.credit_after) == (
        told["tid"], told["amount"], told["balance"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ident", "code"),
    [("stsm-result-used", 10), ("stsm-result-lockout", 15), ("stsm-result-kct1", 2)],
)
def test_the_other_results(ident: str, code: int):
    result = stsm.TokenJudgement.of(read(ident))
    assert (result.progress, result.code) == (stsm.Progress.DONE, code)
    assert result.lockout_s == (80 if code == 15 else 0)
    assert result.key_change_pending == (1 if code == 2 else 0)
    if code == 2:
        assert (result.token_class, result.subclass) == (2, 3)


def test_a_status_block():
    told = VECTORS["stsm-status"]["decode"]
    status = stsm.Status.of(read("stsm-status"))
    assert len(read("stsm-status")) == stsm.STATUS.count
    assert (status.relay, status.control) == (stsm.Relay.CLOSED, 1)
    battery_low = 1 << 17
    assert status.conditions == stsm.Condition.LOW_CREDIT_1 | battery_low
    assert status.credit == told["balance"]
    assert status.import_wh == told["import_wh"]
    assert status.power_w == told["power_w"]
    assert status.accepted_tokens == told["accepted_tokens"]
    assert (status.clock, status.clock_state) == (told["clock"], told["clock_status"])


def test_a_meter_number_stands_at_the_right_of_its_digits():
    words = [0] * stsm.IDENTITY.count
    words[:12] = [
        0x5354, 0x534D, 0x0100, 0x0801, 0x0000, 0x0123, 0x4567, 0x8903, 11, 0, 0, 0xFFFE,
    ]  # fmt: skip
    identity = stsm.Identity.of(words)
    assert identity.signature == stsm.SIGNATURE
    assert (identity.drn, identity.exponent) == ("12345678903", -2)
    assert identity.features == stsm.Feature.RELAY | stsm.Feature.KEYPAD


def test_the_identity_tells_currency_and_key():
    words = [0] * stsm.IDENTITY.count
    words[10], words[12] = stsm.AmountUnit.CURRENCY, 710
    words[22:30] = [0x0003, 0x12F1, 99, 9, 2, 255, 2014, 11]
    identity = stsm.Identity.of(words)
    assert (identity.unit, identity.currency) == (stsm.AmountUnit.CURRENCY, 710)
    assert (identity.sgc, identity.tariff_index, identity.krn) == (201457, 99, 9)
    assert (identity.key_type, identity.ea) == (2, 11)


@pytest.mark.parametrize(("digits", "used"), [(0xFFFF, 11), (0x0000, 0), (0x0000, 17)])
def test_a_meter_number_that_is_none(digits: int, used: int):
    words = [0] * stsm.IDENTITY.count
    words[4], words[8] = digits, used
    assert stsm.Identity.of(words).drn is None


def test_unused_entries_of_the_token_log_are_passed_over():
    words = [0] * 120
    words[12:24] = [0x010A, 0x2B3C, 1, 0, 0, 0, 0, 25000, 0x6955, 0xB900, 1, 0x2345]
    (entry,) = stsm.logged_tokens(words)
    assert (entry.tid, entry.code, entry.amount) == (17443644, 1, 25000)
    assert (entry.processed, entry.origin, entry.request_low) == (1767225600, 1, 0x2345)


def test_orders_and_clock_settings_end_in_their_commit_word():
    order = stsm.supply_order(0x12345, stsm.SupplyCommand.OPEN, valid_until=0x6955B900, reason=1)
    assert order[:-1] == (1, 0x2345, 0xA5C0, 0, 0x6955, 0xB900, 1)
    assert len(order) == stsm.SUPPLY_ORDER.count
    setting = stsm.clock_setting(0x6955B900, zone_minutes=-90, mode=stsm.ClockMode.SET)
    assert setting[:-1] == (0x6955, 0xB900, 0xFFA6, 0)
    assert len(setting) == stsm.CLOCK.count
    for words in (order, setting):
        assert stsm.commit_word(words[:-1]) == words[-1]


@given(st.data())
def test_no_words_break_a_block(data: st.DataObject):
    for span, decode in (
        (stsm.IDENTITY, stsm.Identity.of),
        (stsm.STATUS, stsm.Status.of),
        (stsm.TOKEN_RESULT, stsm.TokenJudgement.of),
        (stsm.SUPPLY_RESULT, stsm.SupplyOutcome.of),
    ):
        words = data.draw(st.lists(WORD, min_size=span.count, max_size=span.count))
        assert decode(words) == decode(words)
