"""The published vectors, every one; and a checker that cannot be fooled nor broken."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.vectors import Outcome, VectorError, Verdict, check, records

DOCUMENT = json.loads((Path(__file__).parent / "vectors" / "sts.json").read_text())
VECTORS: dict[str, dict[str, Any]] = {record["id"]: record for record in DOCUMENT["vectors"]}
KINDS = sorted({record["kind"] for record in VECTORS.values()})

UNITS = "531-1-11-CTSA01-1"
CURRENCY = "531-1-11-CTSA20-14"
SAMPLE_UNITS = "iec-sample-worked"
SAMPLE_LIMIT = "sample-531-1-07-CTSA12-4"
EXTENDED = "531-1-11-CTSA24-1"
KEY_CHANGE = "531-1-11-CTSA05-2"
DECODER_KEY = "nectar-dk-ctsa01"

# What a record may leave out: told twice, or of use only to a reader.
OPTIONAL = {
    "amount_1e5",
    "amount_currency",
    "amount_field",
    "amount_requested",
    "case",
    "issue_time",
    "ken",
    "s_and_e",
    "tid",
    "tid_top8",
    "value_field",
    "value_kind",
    "ea07_tables",
}

# A set that is not the sample one; no licensed set may stand here.
OTHER_TABLES = StaTables("other", SAMPLE.se2, SAMPLE.se1, SAMPLE.pe[::-1])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["0x1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def changed(id_: str, **inputs: object) -> dict[str, Any]:
    """A vector with other inputs; None takes one away."""
    record = deepcopy(VECTORS[id_])
    for name, value in inputs.items():
        record["inputs"].pop(name, None)
        if value is not None:
            record["inputs"][name] = value
    return record


def paths(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*path, name)
            yield from paths(inner, (*path, name))


@pytest.mark.parametrize("id_", VECTORS)
def test_vector(id_: str):
    outcome = check(VECTORS[id_])
    assert outcome.ok, (outcome.detail, outcome.got, outcome.expected)
    assert (outcome.id, outcome.kind) == (id_, VECTORS[id_]["kind"])
    assert outcome.got.keys() == outcome.expected.keys() != set()
    assert outcome.detail == ""


def test_the_file_lists_its_records():
    assert [record["id"] for record in records(DOCUMENT)] == list(VECTORS)


@pytest.mark.parametrize("document", [None, [], {}, {"vectors": None}, {"vectors": [1]}])
def test_a_file_of_another_form_is_refused(document: object):
    with pytest.raises(VectorError, match="vectors: must be a list of objects"):
        records(document)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_expectation_fails_in_every_kind(kind: str):
    original = next(record for record in VECTORS.values() if record["kind"] == kind)
    for part in ("expected", "computed"):
        for name in original.get(part, {}):
            if name != "result":
                assert failing(spoiled(original, part, name)).detail.startswith("differs: ")


def spoiled(original: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    record = deepcopy(original)
    match record[part][name]:
        case int(number):
            record[part][name] = number ^ 1
        case [str(first), *others]:
            record[part][name] = [another(first), *others]
        case str(text):
            record[part][name] = another(text)
    return record


def another(text: str) -> str:
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def failing(record: dict[str, Any], tables: StaTables | None = None) -> Outcome:
    outcome = check(record, tables)
    assert outcome.verdict is Verdict.FAILED
    assert not outcome.ok
    return outcome


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_input_is_named_in_every_kind(kind: str):
    original = next(record for record in VECTORS.values() if record["kind"] == kind)
    for name in original["inputs"].keys() - OPTIONAL:
        with pytest.raises(VectorError) as caught:
            check(changed(original["id"], **{name: None}))
        assert caught.value.field.startswith(f"{original['id']}.inputs")


@pytest.mark.parametrize("name", ["id", "kind", "inputs", "expected"])
def test_a_missing_part_is_named(name: str):
    record = {key: value for key, value in VECTORS[UNITS].items() if key != name}
    with pytest.raises(VectorError, match=f"{name}: is missing"):
        check(record)


def test_an_unknown_kind_is_refused():
    with pytest.raises(VectorError, match=r"531-1-11-CTSA01-1\.kind: is unknown"):
        check(VECTORS[UNITS] | {"kind": "token.credit.points"})


def test_an_unknown_expectation_is_refused():
    record = deepcopy(VECTORS[UNITS])
    record["expected"]["colour"] = "green"
    with pytest.raises(VectorError, match=r"expected\.colour: is unknown"):
        check(record)


def test_an_unknown_intermediate_value_is_told():
    record = deepcopy(VECTORS[UNITS])
    record["computed"]["colour"] = "green"
    outcome = check(record)
    assert outcome.ok
    assert outcome.detail == "not compared: computed colour"


def test_an_ea07_record_without_licensed_tables_says_so():
    for tables in (None, SAMPLE):
        outcome = check(changed(SAMPLE_LIMIT, ea07_tables=None), tables)
        assert outcome.verdict is Verdict.NEEDS_TABLES
        assert not outcome.ok
        assert "licensed EA07 tables" in outcome.detail
        assert "clear_block" in outcome.got


def test_an_ea07_record_is_still_compared_without_its_tables():
    record = changed(SAMPLE_LIMIT, ea07_tables=None, value=20_010)
    assert "value_field" in failing(record).detail


def test_a_loaded_table_set_serves_the_records_that_are_not_of_the_sample():
    assert check(VECTORS[SAMPLE_LIMIT], OTHER_TABLES).ok
    assert "token" in failing(changed(SAMPLE_LIMIT, ea07_tables=None), OTHER_TABLES).detail
    licensed = changed(SAMPLE_LIMIT, ea07_tables="licensed")
    assert "token" in failing(licensed, OTHER_TABLES).detail


def test_a_table_set_of_another_name_is_refused():
    with pytest.raises(VectorError, match="ea07_tables: must be sample or licensed"):
        check(changed(SAMPLE_LIMIT, ea07_tables="mine"))


def ea07_key_change(*, three_kct: int, tables: str | None = "sample") -> dict[str, Any]:
    """The published change in EA07, of which no tokens of the sample set are published."""
    record = changed(KEY_CHANGE, ea=7, three_kct=three_kct, rollover=0, ea07_tables=tables)
    record["inputs"]["new"] = record["inputs"]["old"] | {"ti": 2}
    record["expected"] = {"tokens": ["0" * 20]}
    published = ["3f167f78cdd2390c", "4f0220be39b836f9", "80312f10000053d5"]
    record["computed"] = {"clear_blocks": published} if three_kct else {}
    return record


def test_key_changes_of_ea07_are_computed_and_assembled():
    for three_kct in (0, 1):
        outcome = failing(ea07_key_change(three_kct=three_kct))
        assert outcome.detail == "differs: tokens"
        assert outcome.got["assembled"] == "True"
        record = ea07_key_change(three_kct=three_kct)
        record["expected"] = {"tokens": outcome.got["tokens"].split()}
        assert check(record).ok


def test_a_key_change_of_ea07_without_its_tables_says_so():
    outcome = check(ea07_key_change(three_kct=1, tables=None))
    assert outcome.verdict is Verdict.NEEDS_TABLES


def test_a_key_change_may_be_told_with_a_type_and_a_generation_of_its_own():
    record = deepcopy(VECTORS[KEY_CHANGE])
    record["inputs"]["new"] |= {"kt": 1, "dkga": 4}
    assert "new_decoder_key" in failing(record).detail


def test_credit_of_an_earlier_minute_than_its_issue_is_wrong():
    assert "tid" in failing(changed(UNITS, issue_time="2014-03-01T13:01:00")).detail


def test_credit_of_a_burst_or_of_the_reserved_minute_is_right():
    for minute, tid in (("12:57", 85_740), ("13:00", 85_740)):
        assert check(changed(UNITS, issue_time=f"2014-03-01T{minute}:00", tid=tid)).ok
    reserved = changed(UNITS, issue_time="2014-01-02T00:01:00", tid=1441)
    assert "tid" not in failing(reserved).detail
    outcome = failing(changed(UNITS, issue_time="2014-01-02T00:00:00", tid=1441))
    assert outcome.got["tid"] == "1440"


def test_a_tid_may_come_from_the_time_of_issue_alone_or_stand_alone():
    assert check(changed(UNITS, tid=None)).ok
    assert check(changed(UNITS, issue_time=None)).ok
    with pytest.raises(VectorError, match="tid: is missing"):
        check(changed(UNITS, tid=None, issue_time=None))


def test_an_amount_of_currency_may_be_told_in_either_way():
    assert check(changed(CURRENCY, amount_currency=None)).ok
    assert check(changed(CURRENCY, amount_1e5=None)).ok
    assert "amount_1e5" in failing(changed(CURRENCY, amount_1e5="-18022400001")).detail


@pytest.mark.parametrize("text", ["much", "NaN", "Infinity", "1E+999999999"])
def test_an_amount_of_currency_is_a_number_of_bearable_size(text: str):
    with pytest.raises(VectorError, match="amount_currency"):
        check(changed(CURRENCY, amount_currency=text))


def test_what_our_code_refuses_is_a_failure_with_its_reason():
    assert failing(changed(UNITS, dkga=3)).detail.startswith("UnsupportedError: dkga: DKGA03")
    assert failing(changed(UNITS, ti=100)).detail.startswith("RangeError: tariff_index")
    assert failing(changed(UNITS, rnd=16)).detail.startswith("RangeError: rnd")


def test_a_mistyped_expected_token_is_told_as_not_authentic():
    record = deepcopy(VECTORS[UNITS])
    record["expected"]["token"] = "58625789986991357487"
    assert failing(record).got["decoded"] == "CrcError"


@pytest.mark.parametrize(
    ("id_", "inputs", "field"),
    [
        (UNITS, {"subclass": 8}, "subclass"),
        (UNITS, {"base_date": 1994}, "base_date"),
        (UNITS, {"kt": 7}, "kt"),
        (UNITS, {"vending_key": "xyz"}, "vending_key"),
        (UNITS, {"vending_key": 12}, "vending_key"),
        (UNITS, {"issue_time": "noon"}, "issue_time"),
        (UNITS, {"rnd": True}, "rnd"),
        (UNITS, {"rnd": "five"}, "rnd"),
        (UNITS, {"rnd": 5.0}, "rnd"),
        (EXTENDED, {"value_kind": "mpl_w"}, "value_kind"),
        (EXTENDED, {"subclass": 3, "value_kind": None}, "subclass"),
        (KEY_CHANGE, {"old": "none"}, "old"),
        ("rfc2994-0123456789abcdef", {"plaintext": "00"}, "plaintext"),
    ],
)
def test_a_malformed_input_is_named(id_: str, inputs: dict[str, object], field: str):
    with pytest.raises(VectorError) as caught:
        check(changed(id_, **inputs))
    assert caught.value.field == f"{id_}.inputs.{field}"


@pytest.mark.parametrize("tokens", [None, [], [1], "1"])
def test_expected_tokens_are_a_list_of_texts(tokens: object):
    record = deepcopy(VECTORS[KEY_CHANGE])
    record["expected"]["tokens"] = tokens
    with pytest.raises(VectorError, match=r"expected\.tokens: must be a list of texts"):
        check(record)


def test_control_and_flags_of_the_extended_set_are_read_from_16_bits():
    outcome = failing(changed(EXTENDED, value=123, value_field=123))
    assert "SetControl" in outcome.expected["decoded"]
    outcome = failing(changed(EXTENDED, value=0xFC01, value_field=0xFC01))
    assert "SetFlag" in outcome.expected["decoded"]


@pytest.mark.parametrize(("subclass", "name"), [(2, "TariffRate"), (7, "WaterFactor")])
def test_raw_management_tokens_are_checked_too(subclass: int, name: str):
    record = changed(SAMPLE_LIMIT, subclass=subclass, value_kind="raw16", value_field=20_000)
    outcome = failing(record)
    assert "value_field" not in outcome.detail
    assert name in outcome.expected["decoded"]


def test_a_clear_block_may_be_of_a_management_token():
    record: dict[str, Any] = {
        "id": "extended",
        "kind": "clear_block",
        "inputs": VECTORS[EXTENDED]["inputs"],
        "expected": {"clear_block": "a57b78fcfc005daf"},
    }
    assert check(record).ok


def test_an_amount_may_be_of_currency():
    record: dict[str, Any] = {
        "id": "minus-one",
        "kind": "amount",
        "inputs": {"amount_1e5": "-100000"},
        "expected": {"s_and_e": 8, "field": "60a9"},
    }
    assert check(record).ok


def test_a_tid_may_follow_an_earlier_one():
    record: dict[str, Any] = {
        "id": "burst",
        "kind": "tid",
        "inputs": {"time": "2020-01-01T08:00:00+00:00", "base_date": 2014, "last": 3_155_520},
        "expected": {"tid": 3_155_521},
    }
    assert check(record).ok


def test_refusals_are_judged_both_ways():
    expiry = changed("531-1-07-CTSA16-1", tid=100, tid_top8=0)
    assert failing(expiry).got["refused"] == "False"
    expiry["expected"]["result"] = "Valid"
    assert check(expiry).ok
    luhn = changed("531-1-07-CTSA17-1", drn="12345678903")
    assert failing(luhn).got["refused"] == "False"
    pan = changed("531-1-07-CTSA17-1", drn=None, meter_pan="600727000000000008")
    assert check(pan).ok
    luhn["expected"]["result"] = "perhaps"
    with pytest.raises(VectorError, match=r"expected\.result: must begin with Luhn error"):
        check(luhn)


def test_a_decoder_key_may_be_given_outright():
    assert check(VECTORS[SAMPLE_UNITS]).ok
    assert "token" in failing(changed(SAMPLE_UNITS, decoder_key="00" * 8)).detail


@given(st.sampled_from(sorted(VECTORS)), st.data(), json_values)
def test_no_spoiled_record_breaks_the_checker(id_: str, data: st.DataObject, value: object):
    record = deepcopy(VECTORS[id_])
    path = data.draw(st.sampled_from(sorted(paths(record))))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with suppress(VectorError):
        assert check(record).id == record["id"]
