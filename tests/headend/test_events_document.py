"""docs/events.md cannot lie: it is what the code says, and the code says only what it lists."""

import json
import re

import pytest

from headend.cloud_events import cloud_event, event_body
from headend.occurrences import FAMILIES, Occurrence
from headend.outbox import Announced
from tests.events_document import FILE, examples, render

TWENTY = re.compile(r"\d(?:[ -]?\d){19}")
# CloudEvents 1.0, 3.1: names of attributes are lower case letters and digits.
NAME = re.compile(r"[a-z0-9]{1,20}")


def test_the_document_is_what_the_code_says():
    text = FILE.read_text()
    assert text == render(text), "write it anew: python -m tests.events_document"


@pytest.mark.parametrize("occurrence", Occurrence)
def test_every_occurrence_is_shown_with_the_fields_of_its_family(occurrence):
    shown = examples()[occurrence]
    assert shown.data.keys() == FAMILIES[occurrence.family].fields.keys()
    assert f"### `{occurrence.type}`" in FILE.read_text()


@pytest.mark.parametrize("occurrence", Occurrence)
def test_every_event_is_a_cloud_event_without_digits(occurrence):
    announced = Announced(7, 42, examples()[occurrence])
    event = cloud_event(announced, "urn:headend")
    assert event["specversion"] == "1.0"
    for required in ("id", "source", "type"):
        assert event[required]
    assert all(NAME.fullmatch(name) for name in event)
    assert event["sequence"] == "000000000042"
    body = event_body(announced, "urn:headend")
    assert json.loads(body) == event
    assert not TWENTY.search(body.decode())
