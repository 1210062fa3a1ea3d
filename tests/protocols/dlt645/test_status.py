"""Status words and event records of DL/T 645."""

from datetime import UTC, datetime

import pytest

from protocols.dlt645.errors import MalformedData
from protocols.dlt645.status import LOG_NAMES, EventRecord, Prepayment, event_record, supply_status

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
