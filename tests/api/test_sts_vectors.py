"""`headend sts vectors`: counts by kind, every failure by name, nothing skipped."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from protocols.sts.sta import SAMPLE
from tests.api.sts_calls import PUBLISHED, VECTORS, refusal, sts

UNITS = "531-1-11-CTSA01-1"
SAMPLE_LIMIT = "sample-531-1-07-CTSA12-4"


def file_of(folder: Path, *records: object) -> str:
    file = folder / "vectors.json"
    file.write_text(json.dumps({"vectors": list(records)}))
    return str(file)


def changed(id_: str, part: str, **values: object) -> dict[str, Any]:
    record: dict[str, Any] = deepcopy(PUBLISHED[id_])
    record[part] |= values
    return record


def report(status: int, *arguments: str) -> dict[str, Any]:
    result = sts("vectors", *arguments, "--json")
    assert result.exit_code == status, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def test_the_published_file_passes_kind_by_kind():
    found = report(0, str(VECTORS))
    assert found["passed"] == len(PUBLISHED)
    assert found["failures"] == found["waiting_for_tables"] == found["problems"] == []
    by_kind = {kind: counts["passed"] for kind, counts in found["kinds"].items()}
    assert sum(by_kind.values()) == len(PUBLISHED)
    assert by_kind["token_set.key_change"] == 9
    text = sts("vectors", str(VECTORS)).stdout.splitlines()
    assert text[-1].split() == ["all", str(len(PUBLISHED)), "0", "0"]


def test_a_failure_is_named_with_got_and_expected(tmp_path: Path):
    wrong = "58625789986991357487"
    file = file_of(tmp_path, PUBLISHED[SAMPLE_LIMIT], changed(UNITS, "expected", token=wrong))
    found = report(1, file)
    [failure] = found["failures"]
    assert (found["passed"], found["failed"]) == (1, 1)
    assert failure["id"] == UNITS
    assert failure["got"]["token"] == PUBLISHED[UNITS]["expected"]["token"]
    assert failure["expected"]["token"] == wrong
    text = sts("vectors", file)
    assert text.exit_code == 1
    assert f"FAILED {UNITS} (token.credit.units): differs: token" in text.stdout
    assert "got       58625789986991357486" in text.stdout
    assert f"expected  {wrong}" in text.stdout


def test_a_refusal_of_ours_stands_beside_what_was_expected(tmp_path: Path):
    [failure] = report(1, file_of(tmp_path, changed(UNITS, "inputs", rnd=16)))["failures"]
    assert "RangeError: rnd" in failure["detail"]
    assert failure["got"] == {"token": "refused"}
    assert failure["expected"] == PUBLISHED[UNITS]["expected"]


def test_an_unknown_kind_is_misuse_and_stops_no_other_record(tmp_path: Path):
    unknown = PUBLISHED[UNITS] | {"id": "mine", "kind": "token.credit.points"}
    found = report(2, file_of(tmp_path, unknown, PUBLISHED[SAMPLE_LIMIT]))
    assert found["problems"] == [{"field": "mine.kind", "problem": "is unknown"}]
    assert (found["passed"], found["cannot_be_checked"]) == (1, 1)
    text = sts("vectors", file_of(tmp_path, unknown))
    assert text.exit_code == 2
    assert "mine.kind: is unknown" in text.stderr


def test_a_missing_field_is_misuse_and_is_named(tmp_path: Path):
    record = deepcopy(PUBLISHED[UNITS])
    del record["inputs"]["krn"]
    told = sts("vectors", file_of(tmp_path, record))
    assert told.exit_code == 2
    assert f"{UNITS}.inputs.krn: is missing" in told.stderr


def test_a_failure_does_not_hide_misuse(tmp_path: Path):
    wrong = changed(UNITS, "expected", token="0" * 20)
    found = report(2, file_of(tmp_path, wrong, {"id": "x"}))
    assert (found["failed"], found["cannot_be_checked"]) == (1, 1)


def test_records_of_the_licensed_tables_are_told_apart(tmp_path: Path):
    licensed = changed(SAMPLE_LIMIT, "inputs", ea07_tables="licensed")
    file = file_of(tmp_path, PUBLISHED[UNITS], licensed)
    found = report(1, file)
    assert (found["passed"], found["failed"], found["needs_tables"]) == (1, 0, 1)
    assert found["waiting_for_tables"] == [SAMPLE_LIMIT]
    text = sts("vectors", file)
    assert text.exit_code == 1
    assert "1 need the licensed EA07 tables (--ea07-tables FILE)" in text.stdout


def test_loaded_tables_are_used_and_named(tmp_path: Path):
    tables = tmp_path / "other.json"
    numbers = {"SE1": SAMPLE.se2, "SE2": SAMPLE.se1, "PE": SAMPLE.pe[::-1]}
    tables.write_text(json.dumps({name: list(table) for name, table in numbers.items()}))
    key = ["--sgc", "201457", "--krn", "1", "--ti", "1", "--meter", "600727000000000009"]
    inputs = PUBLISHED[SAMPLE_LIMIT]["inputs"]
    order = [f"power-limit={inputs['value']}", "--tid", str(inputs["tid"]), "--rnd", "5"]
    options = ["--ea", "7", "--ea07-tables", str(tables), "--test-key", "--json"]
    issued = json.loads(sts("issue", *order, *key, *options).stdout)["tokens"][0]["token"]
    licensed = changed(SAMPLE_LIMIT, "inputs", ea07_tables="licensed")
    licensed["expected"]["token"] = issued
    licensed["computed"] = {}
    file = file_of(tmp_path, licensed)
    found = report(0, file, "--ea07-tables", str(tables))
    assert found["ea07_tables"]["name"] == "other"
    assert report(1, file)["needs_tables"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"vectors": [\n  {"id": 1,}\n]}', "(line 2, column 12)"),
        ("", "is no JSON: Expecting value (line 1, column 1)"),
        ("[" * 200_000, "nested too deeply"),
        ('{"vectors": [' + "9" * 5000 + "]}", "a number of too many digits"),
        ('{"vectors": [], "vectors": []}', "names 'vectors' twice in one object"),
        ('{"vectors": []}', "vectors: is empty"),
        ('{"vectors": [1]}', "vectors: must be a list of objects"),
        ("[]", "vectors: must be a list of objects"),
    ],
)
def test_a_file_that_is_none_is_misuse(text: str, problem: str, tmp_path: Path):
    file = tmp_path / "vectors.json"
    file.write_text(text)
    assert problem in refusal("vectors", str(file))


def test_bytes_that_are_no_text_are_told(tmp_path: Path):
    file = tmp_path / "vectors.json"
    file.write_bytes(b'{"vectors": "\xff"}')
    assert "is no UTF-8 at byte 13" in refusal("vectors", str(file))
    assert "no-such.json: cannot be read" in refusal("vectors", "no-such.json")


def test_an_id_cannot_upset_the_terminal(tmp_path: Path):
    record = changed(UNITS, "expected", token="0" * 20) | {"id": "a\x1b[2J\ud800"}
    result = sts("vectors", file_of(tmp_path, record))
    assert result.exit_code == 1
    assert "FAILED a\\x1b[2J\\ud800 " in result.stdout


def test_a_number_without_end_is_misuse(tmp_path: Path):
    record = changed(UNITS, "inputs", tid="0x" + "f" * 6000)
    told = sts("vectors", file_of(tmp_path, record))
    assert told.exit_code == 2
    assert f"{UNITS}.inputs.tid: must be a whole number" in told.stderr
