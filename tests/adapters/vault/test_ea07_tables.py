"""A table set of EA07 comes from a file, whole or not at all."""

import json

import pytest

from adapters.vault.ea07_tables import load_tables
from headend.errors import Misconfigured
from protocols.sts.sta import SAMPLE

DOCUMENT = {"SE1": list(SAMPLE.se1), "SE2": list(SAMPLE.se2), "PE": list(SAMPLE.pe)}


def test_a_set_is_named_after_its_file(tmp_path):
    file = tmp_path / "licensed-2026.json"
    file.write_text(json.dumps(DOCUMENT))
    tables = load_tables(file)
    assert tables.name == "licensed-2026"
    assert tables.fingerprint == SAMPLE.fingerprint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (json.dumps(DOCUMENT | {"PE": list(range(63))}), "PE"),
        (json.dumps({"SE1": DOCUMENT["SE1"]}), "SE2"),
        ("{", "no JSON"),
        ("[" * 50000, "no JSON"),
        ("\x00", "no JSON"),
        ("[]", "must be an object"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path, text, told):
    file = tmp_path / "licensed.json"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=f"licensed.json: .*{told}"):
        load_tables(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(Misconfigured, match="No such file"):
        load_tables(tmp_path / "licensed.json")
