"""Status words and event records of DL/T 645."""

from datetime import UTC, datetime

import pytest

from protocols.dlt645.errors import MalformedData
from protocols.dlt645.status import (
    LOG_NAMES,
    Condition,
    EventRecord,
    Prepayment,
    conditions,
    event_record,
    supply_status,
)

FAILURE = LOG_NAMES["power_failure"]
PROGRAMMING = LOG_NAMES["programming"]


def test_status_word_three_tells_of_supply():
    status = supply_status(bytes.fromhex("D4 02"))
    assert status.relay_open
    assert status.open_ordered
    assert status.trip_alarm
    assert status.on_battery
    assert status.prepayment is Prepayment.MONEY
    closed = supply_status(bytes(2))
    assert not (closed.relay_open)
    assert not (closed.open_ordered)
    assert not (closed.trip_alarm)
    assert closed.prepayment is Prepayment.NONE
    assert supply_status(bytes.fromhex("00 03")).prepayment is None


def test_a_record_begins_and_perhaps_ends():
    times = bytes.fromhex("00 30 12 05 06 26 10 31 12 05 06 26")
    began, ended = (
        datetime(2026, 6, 5, 12, 30, tzinfo=UTC),
        datetime(2026, 6, 5, 12, 31, 10, tzinfo=UTC),
    )
    assert event_record(FAILURE, times, UTC) == EventRecord(began, ended)
    assert event_record(FAILURE, times[:6], UTC) == EventRecord(began, None)
    assert event_record(PROGRAMMING, times, UTC) == EventRecord(began, None)
    assert event_record(FAILURE, bytes(12), UTC) is None


@pytest.mark.parametrize("value", [b"", bytes(5)])
def test_short_words_and_records_are_malformed(value: bytes):
    with pytest.raises(MalformedData):
        supply_status(value)
    with pytest.raises(MalformedData):
        event_record(FAILURE, value, UTC)


def test_identifiers_of_a_log():
    assert FAILURE.count_identifier == "03110000"
    assert FAILURE.record_identifier(10) == "0311000A"
    for back in (0, 11):
        with pytest.raises(ValueError, match="1 to 10"):
            FAILURE.record_identifier(back)


def test_a_clock_setting_tells_who_and_both_times():
    value = bytes.fromhex("07 00 00 00 00 30 12 05 06 26 10 31 12 05 06 26")
    after = datetime(2026, 6, 5, 12, 31, 10, tzinfo=UTC)
    assert event_record(LOG_NAMES["clock_set"], value, UTC) == EventRecord(after, None)


def test_one_value_counts_three_phases():
    value = bytes.fromhex("01 00 00 05 00 00  02 00 00 00 00 00  03 01 00 00 00 00")
    counts = [LOG_NAMES[f"undervoltage_l{phase}"].count(value) for phase in (1, 2, 3)]
    assert counts == [1, 2, 103]
    assert LOG_NAMES["undervoltage_l2"].count_identifier == "03020000"
    assert LOG_NAMES["undervoltage_l2"].count(value[:6]) == 0
    with pytest.raises(MalformedData):
        FAILURE.count(bytes((0x0A, 0, 0)))


def test_status_words_tell_what_stands():
    words = bytes.fromhex("0C 00 00 00 00 00 42 00 80 00 00 00 01 00")
    assert conditions(words) == {
        Condition.CLOCK_BATTERY_LOW: 1,
        Condition.READING_BATTERY_LOW: 1,
        Condition.UNDERVOLTAGE: 0b001,
        Condition.REVERSE_FLOW: 0b001,
        Condition.PHASE_CUT: 0b010,
        Condition.PHASE_INVERSION: 1,
    }
    assert conditions(bytes(14)) == {}
    with pytest.raises(MalformedData):
        conditions(bytes(12))
