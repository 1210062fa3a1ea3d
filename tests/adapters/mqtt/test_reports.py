"""What gateways say, as the core hears it; and that nonsense is only ever nonsense."""

import contextlib
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.messages import MAX_PAYLOAD, Presence
from adapters.mqtt.reports import Told, tell
from adapters.mqtt.topics import Nonsense
from headend.events import EventType, MeterEvent
from headend.ports import Report
from headend.readings import Quality, ReadingType
from headend.supply import Contacts, ControlState, DarkCause
from headend.tokens import TokenOrigin, TokenResult
from tests.adapters.mqtt.gateway import DRN, GATEWAY, NOON, NOON_MS, body, status_topic, topic
from tests.adapters.mqtt.headend_side import BUS

DOCS = Path(__file__).parents[3] / "docs" / "mqtt.md"


def told(where: str, payload: bytes, *, retained: bool = False) -> Told:
    answer = tell(where, payload, retained=retained, bus=BUS, now=NOON)
    assert answer is not None
    return answer


def report(where: str, payload: bytes, *, retained: bool = False) -> Report:
    answer = told(where, payload, retained=retained).report
    assert answer is not None
    return answer


def nonsense(where: str, payload: bytes, *, retained: bool = False) -> str:
    with pytest.raises(Nonsense) as caught:
        tell(where, payload, retained=retained, bus=BUS, now=NOON)
    return caught.value.reason


def test_a_reading_has_its_own_time_and_unit():
    values = {"1-0:1.8.0": ["1234.5", "kWh"], "volume": [3, "m3"], "14.7.0": ["49.98", "Hz"]}
    heard = report(topic("reading/basic"), body(ts=NOON_MS - 60_000, values=values))
    assert {reading.type: reading.value for reading in heard.readings} == {
        ReadingType.ENERGY_IMPORT_WH: 1_234_500,
        ReadingType.VOLUME_L: 3_000,
        ReadingType.FREQUENCY_MHZ: 49_980,
    }
    (taken_at,) = {reading.taken_at for reading in heard.readings}
    assert taken_at == NOON - timedelta(minutes=1)
    assert {reading.received_at for reading in heard.readings} == {NOON}
    assert (heard.tenant, heard.drn, heard.bus, heard.address) == ("t1", DRN, BUS, GATEWAY)
    assert heard.alive


@pytest.mark.parametrize(
    ("pair", "milli"),
    [
        (["26.8", "kWh"], 26_800),
        (["12.345", "ZAR"], 12_345),
        (["-0.005", "EUR"], -5),
        ([1500, "UGX"], 1_500_000),
    ],
)
def test_credit_is_in_units_or_in_money(pair: list[object], milli: int):
    heard = report(topic("reading/basic"), body(values={"credit": pair}))
    (reading,) = heard.readings
    assert (reading.type, reading.value) == (ReadingType.CREDIT_LEFT_MILLI, milli)


@pytest.mark.parametrize("unit", ["QQQ", "zar", "DEM", "R", "V"])
def test_what_is_no_money_of_today_is_no_credit(unit: str):
    assert report(topic("reading/basic"), body(values={"credit": ["1", unit]})).readings == ()


@pytest.mark.parametrize(
    ("sureness", "quality", "alive"),
    [
        ("good", Quality.GOOD, True),
        ("stale", Quality.STALE, False),
        ("doubtful", Quality.SUSPECT, True),
    ],
)
def test_the_gateways_doubt_is_kept(sureness: str, quality: Quality, alive: bool):
    heard = report(topic("reading/basic"), body(q=sureness, values={"1.8.0": [1, "Wh"]}))
    assert (heard.readings[0].quality, heard.alive) == (quality, alive)


@pytest.mark.parametrize("ts", [None, 0, -1, 12, "noon", 1e12, 10**30, True])
def test_without_a_clock_the_time_is_ours_and_the_value_doubtful(ts: object):
    heard = report(topic("reading/basic"), body(ts=ts, values={"1.8.0": [1, "Wh"]}))
    (reading,) = heard.readings
    assert (reading.taken_at, reading.quality) == (NOON, Quality.SUSPECT)


@pytest.mark.parametrize(
    "pair",
    [
        [1.5, "kWh"],
        ["NaN", "kWh"],
        ["Infinity", "kWh"],
        ["1e3", "kWh"],
        ["1,5", "kWh"],
        ["١", "kWh"],
        [" 1", "kWh"],
        [True, "kWh"],
        [None, "kWh"],
        [1, "V"],
        [1, "furlong"],
        [1],
        [1, "kWh", 3],
        1,
        "1 kWh",
        {},
        [10**40, "Wh"],
        ["9" * 25, "Wh"],
        [2**63 - 1, "MWh"],
    ],
)
def test_a_value_that_makes_no_sense_is_left_out_alone(pair: object):
    heard = report(topic("reading/basic"), body(values={"1.8.0": pair, "2.8.0": [5, "Wh"]}))
    assert [reading.type for reading in heard.readings] == [ReadingType.ENERGY_EXPORT_WH]


def test_values_beyond_the_limit_are_left_out():
    values = {f"x{number}": [1, "Wh"] for number in range(64)} | {"1.8.0": [1, "Wh"]}
    assert report(topic("reading/basic"), body(values=values)).readings == ()


@pytest.mark.parametrize(
    ("text", "milli"), [("12.345", 12_345), ("-0.5", -500), ("0.0005", 0), ("0.0015", 2), (7, 7000)]
)
def test_credit_is_kept_in_thousandths(text: object, milli: int):
    heard = report(topic("state"), body(credit=[text, "kWh"]))
    assert heard.readings[0].value == milli
    assert heard.readings[0].type is ReadingType.CREDIT_LEFT_MILLI


STATE = {"supply": {"contacts": "open", "control": "ready", "cause": "overload"}}


def test_a_state_tells_the_supply():
    heard = report(topic("state"), body(ts=NOON_MS - 1_000, **STATE))
    assert heard.supply is not None
    assert heard.supply.contacts is Contacts.OPEN
    assert heard.supply.control is ControlState.READY
    assert heard.supply.cause is DarkCause.OVERLOAD
    assert heard.supply.taken_at == NOON - timedelta(seconds=1)
    assert heard.alive


def test_supply_is_not_from_the_future():
    heard = report(topic("state"), body(ts=NOON_MS + 3_600_000, **STATE))
    assert heard.supply is not None
    assert heard.supply.taken_at == NOON


def test_a_retained_state_tells_of_its_own_time_only():
    payload = body(ts=NOON_MS - 3_600_000, credit=[1, "kWh"], **STATE)
    heard = report(topic("state"), payload, retained=True)
    assert not heard.alive
    assert heard.supply is not None
    assert heard.supply.taken_at == NOON - timedelta(hours=1)
    assert heard.readings[0].quality is Quality.STALE
    assert told(topic("state"), payload, retained=True).presence is None
    assert nonsense(topic("state"), body(ts=None, **STATE), retained=True) == "retained"


def test_a_birth_shows_that_the_meter_is_there_unless_retained():
    assert report(topic("birth"), body(model="M1")).alive
    assert not report(topic("birth"), body(model="M1"), retained=True).alive


def test_an_emptied_topic_tells_nothing():
    for where in (topic("state"), topic("birth"), status_topic()):
        assert tell(where, b"", retained=False, bus=BUS, now=NOON) is None


@pytest.mark.parametrize("presence", Presence)
def test_a_gateway_says_whether_it_is_there(presence: Presence):
    answer = told(status_topic(), body(state=presence.value), retained=True)
    assert (answer.presence, answer.report) == (presence, None)


def test_an_event_has_its_code_number_and_argument():
    heard = report(topic("event/0304"), body(code="0304", number=17, argument=-2))
    (event,) = heard.events
    assert (event.type, event.number, event.argument) == (EventType.MAGNET, 17, -2)
    assert heard.alive


@pytest.mark.parametrize(
    "named",
    [
        {"boot": "b17", "seq": 4},
        {"boot": 17, "seq": 4},
        {"id": "01K9V3Y5T0ABCDEFGHJKMNPQRS"},
        {"boot": "b17", "number": 9},
    ],
)
def test_an_event_without_a_time_is_named_by_its_message(named: dict[str, object]):
    def heard(**more: object) -> MeterEvent:
        (event,) = report(topic("event/0304"), body(**({"ts": None} | named | more))).events
        return event

    first = heard()
    assert first.message is not None
    assert (first.taken_at, len(first.message)) == (NOON, 32)
    assert heard().message == first.message
    for name, value in named.items():
        other = value + 1 if isinstance(value, int) else f"{value}x"
        assert heard(**{name: other}).message != first.message
    assert heard(ts=NOON_MS).message is None  # its time tells


@pytest.mark.parametrize(
    "named",
    [{}, {"boot": "b1"}, {"seq": 3}, {"number": 9}, {"boot": [], "seq": 1}, {"id": 5}, {"id": ""}],
)
def test_what_has_no_name_is_taken_for_new_each_time(named: dict[str, object]):
    (event,) = report(topic("event/0304"), body(**({"ts": None} | named))).events
    assert event.message is None


def test_an_unknown_event_is_kept_as_its_number():
    (event,) = report(topic("event/0fFf"), body(number="x", argument=1.5)).events
    assert (event.code, event.type, event.number, event.argument) == (0x0FFF, None, 0, None)


@pytest.mark.parametrize("code", ["0405", "0801"])
def test_a_farewell_is_no_sign_of_life(code: str):
    assert not report(topic(f"event/{code}"), body()).alive


def test_a_token_from_the_keypad_is_told_with_its_echo():
    echo = {"code": 1, "tid": 6_784_560, "amount": "25.6", "balance": 26}
    (seen,) = report(topic("event/0601"), body(token=echo)).tokens
    assert seen.token_id is None
    assert seen.outcome.amount == Decimal("25.6")
    assert (seen.outcome.result, seen.outcome.credit_after) == (TokenResult.ACCEPT, Decimal(26))


def test_what_is_retained_or_stored_tells_of_the_past():
    echo = {"code": 1, "tid": 6_784_560, "origin": "keypad"}
    live = report(topic("event/0601"), body(token=echo))
    assert (live.stored, live.told_at) == (False, NOON)
    assert live.tokens[0].outcome.origin is TokenOrigin.KEYPAD
    assert report(topic("event/0601"), body(token=echo, q="stale")).stored
    assert report(topic("event/0601"), body(token=echo), retained=True).stored
    assert report(topic("state"), body(**STATE), retained=True).stored
    assert report(topic("state"), body(q="stale", **STATE)).stored
    assert report(topic("reading/basic"), body(q="stale", values={})).stored
    assert not report(topic("state"), body(**STATE)).stored


@pytest.mark.parametrize("origin", ["moon", 3, None, ["keypad"]])
def test_an_origin_that_makes_no_sense_is_left_out(origin: object):
    (seen,) = report(topic("event/0601"), body(token={"code": 1, "origin": origin})).tokens
    assert seen.outcome.origin is None


def result(**fields: object) -> bytes:
    return body(**{"cmd": "c1", "verb": "token", "state": "done", "code": 1, **fields})


def test_a_bad_echo_does_not_hide_a_good_result():
    odd = {"tid": 2**40, "amount": 1.5, "balance": "NaN", "lockout_s": -3, "at": 7}
    (seen,) = report(topic("res/c1"), result(**odd)).tokens
    assert seen.token_id == "c1"
    assert seen.outcome.result is TokenResult.ACCEPT
    assert (seen.outcome.tid, seen.outcome.amount, seen.outcome.at) == (None, None, None)
    assert (seen.outcome.credit_after, seen.outcome.lockout_s) == (None, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "received"},
        {"state": "running"},
        {"state": "unknown"},
        {"code": None},
        {"code": 0},
        {"code": 99},
        {"verb": "read"},
        {"verb": "outcome"},
    ],
)
def test_what_is_no_token_result_tells_of_no_token(fields: dict[str, object]):
    assert report(topic("res/c1"), result(**fields)).tokens == ()


@pytest.mark.parametrize(
    ("fields", "alive"),
    [
        ({"state": "received"}, False),
        ({"state": "unknown"}, False),
        ({"state": "done"}, True),
        ({"state": "failed", "code": 13}, True),
        ({"state": "failed", "code": None, "reason": "refused"}, True),
        ({"state": "failed", "code": None, "reason": "no_answer"}, False),
        ({"state": "failed", "code": None, "reason": "busy"}, False),
        ({"state": "done", "verb": "outcome", "of": "c0"}, False),
    ],
)
def test_only_the_meters_own_answer_is_a_sign_of_life(fields: dict[str, object], alive: bool):
    assert report(topic("res/c1"), result(**fields)).alive is alive


@pytest.mark.parametrize(
    ("where", "payload", "reason"),
    [
        ("amr/v1", body(), "topic"),
        ("amr/v2/t1/gw-1/status", body(state="online"), "topic"),
        ("", body(), "topic"),
        (topic("reading"), body(values={}), "topic"),
        (topic("reading/a/b"), body(values={}), "topic"),
        (topic("cmd/token"), body(), "topic"),
        (topic("event/xyz1"), body(), "topic"),
        (topic("event/١٢٣٤"), body(), "topic"),
        (topic("state", gateway="ä"), body(), "topic"),
        (topic("state", drn="01234567890"), body(), "meter_number"),
        (topic("state", drn="gw"), body(), "meter_number"),
        (topic("state"), b"", "clears"),
        (topic("state"), b"{", "json"),
        (topic("state"), b"\xff\xfe", "json"),
        (topic("state"), b'{"v": NaN}', "json"),
        (topic("state"), b"[" * 30_000, "field"),
        (topic("reading/b"), b'{"v":1,"values":{"a":' + b"[" * 20_000 + b"}}", "json"),
        (topic("state"), b"[]", "field"),
        (topic("state"), b"null", "field"),
        (topic("state"), b"{}", "field"),
        (topic("state"), body(v=2), "version"),
        (topic("state"), body(v="1"), "field"),
        (topic("state"), body(q="perhaps"), "field"),
        (topic("state"), body(meter="01234567890"), "mismatch"),
        (topic("state"), body(supply={"contacts": "ajar"}), "field"),
        (topic("state"), body(supply={}), "field"),
        (topic("reading/basic"), body(), "field"),
        (topic("reading/basic"), body(values=[1]), "field"),
        (topic("event/0304"), body(code="0305"), "mismatch"),
        (topic("res/c1"), result(cmd="c2"), "mismatch"),
        (topic("res/c1"), result(state="finished"), "field"),
        (topic("res/c1"), result(code="1"), "field"),
        (topic("res/c1"), result(code=1.0), "field"),
        (topic("reading/basic"), b" " * (MAX_PAYLOAD + 1), "too_large"),
    ],
)
def test_nonsense_has_a_reason(where: str, payload: bytes, reason: str):
    if reason == "clears":
        assert tell(where, payload, retained=False, bus=BUS, now=NOON) is None
    else:
        assert nonsense(where, payload) == reason


def test_a_retained_result_answers_nothing():
    assert nonsense(topic("res/c1"), result(), retained=True) == "retained"


TOPICS = st.sampled_from(
    [
        status_topic(),
        *map(topic, ["birth", "state", "reading/basic", "event/0601", "event/0304", "res/c1"]),
    ]
) | st.text(max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [
    *("v", "ts", "meter", "q", "state", "supply", "credit", "values", "code", "number"),
    *("argument", "token", "cmd", "verb", "tid", "amount", "credit_before", "balance"),
    *("lockout_s", "at", "of", "reason"),
]
SENSIBLE = {
    "v": 1,
    "state": "done",
    "cmd": "c1",
    "verb": "token",
    "code": 1,
    "values": {"1.8.0": [1, "Wh"]},
    "supply": {"contacts": "open"},
}
BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6).map(
    lambda odd: json.dumps(SENSIBLE | odd).encode()
)
PAYLOADS = st.binary(max_size=200) | JSON.map(lambda odd: json.dumps(odd).encode()) | BODIES


@settings(max_examples=500)
@given(TOPICS, PAYLOADS, st.booleans())
def test_whatever_comes_is_a_report_or_nonsense(where: str, payload: bytes, retained: bool):
    with contextlib.suppress(Nonsense):
        answer = tell(where, payload, retained=retained, bus=BUS, now=NOON)
        if answer is not None and answer.report is not None:
            assert not (retained and answer.report.alive)
            assert all(abs(reading.value) < 2**63 for reading in answer.report.readings)


def examples() -> list[dict[str, object]]:
    """The JSON blocks of docs/mqtt.md."""
    blocks = DOCS.read_text().split("```json\n")[1:]
    return [json.loads(block.partition("```")[0]) for block in blocks]


def where_said(example: dict[str, object]) -> str:
    if "args" in example:
        return ""
    if "cmd" in example:
        return topic(f"res/{example['cmd']}")
    if "code" in example:
        return topic(f"event/{example['code']}")
    if "values" in example:
        return topic("reading/basic")
    if example.get("state") in ("online", "offline"):
        return status_topic()
    return topic("birth" if "model" in example else "state")


def test_every_example_of_the_manual_is_understood():
    said = [(where_said(example), json.dumps(example).encode()) for example in examples()]
    heard = [told(where, payload) for where, payload in said if where]
    reports = [answer.report for answer in heard if answer.report is not None]
    assert len(heard) == 12
    assert [seen.outcome.tid for report in reports for seen in report.tokens] == [6_784_560] * 3
    assert sum(len(report.events) for report in reports) == 2
    assert sum(report.supply is not None for report in reports) == 2
    assert sum(len(report.readings) for report in reports) == 7
