"""Receipts of gateways: who may bring them; any bytes are read or refused, and never a fault."""

import base64
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.handover.receipts import ReceiptBook
from headend.messages import Receipt

SECRET = "a-long-enough-secret"
JSON, FORM = "application/json; charset=utf-8", "application/x-www-form-urlencoded"


def a_book(**changed):
    plain = {
        "secret": SECRET,
        "id": "id",
        "status": "status",
        "delivered": frozenset({"delivrd"}),
        "failed": frozenset({"undeliv"}),
    }
    return ReceiptBook(**(plain | changed))


@pytest.mark.parametrize(
    ("body", "kind", "parameters"),
    [
        (json.dumps({"id": "m1", "status": "DELIVRD"}).encode(), JSON, {}),
        (urlencode({"id": "m1", "status": "DELIVRD"}).encode(), FORM, {}),
        (b"", "", {"id": "m1", "status": "delivrd"}),
        (json.dumps({"status": "DELIVRD"}).encode(), JSON, {"id": "m1"}),
    ],
)
def test_a_receipt_comes_as_json_as_a_form_or_in_the_address(body, kind, parameters):
    assert a_book().read(body, kind, parameters) == ("m1", Receipt.DELIVERED)


def test_members_deep_inside_are_found():
    body = json.dumps({"results": [{"messageId": 7, "status": {"name": "UNDELIV"}}]}).encode()
    book = a_book(id="results.0.messageId", status="results.0.status.name")
    assert book.read(body, JSON, {}) == ("7", Receipt.FAILED)


def test_a_word_that_is_not_set_means_not_yet():
    assert a_book().read(b'{"id": "m1", "status": "ENROUTE"}', JSON, {}) == ("m1", Receipt.NONE)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'"x"', b"null", b"17", b"\xff\xfe", b"[" * 100_000, b'{"id": "m1"}', b"id=1&a"],
)
def test_what_is_no_receipt_is_told_as_such(body):
    assert a_book().read(body, JSON, {}) is None


@given(st.binary(max_size=300), st.sampled_from([JSON, FORM, "", "text/plain"]))
def test_no_bytes_are_a_fault(body, kind):
    a_book().read(body, kind, {})


@pytest.mark.parametrize(
    ("header", "parameter", "admitted"),
    [
        (f"Bearer {SECRET}", None, True),
        ("Basic " + base64.b64encode(f"gw:{SECRET}".encode()).decode(), None, True),
        (None, SECRET, True),
        (f"Bearer {SECRET}x", None, False),
        (f"Bearer {SECRET}x", SECRET, False),
        ("Basic !!!", None, False),
        ("Basic", None, False),
        (None, None, False),
        ("", "", False),
        (None, "ü" * 20, False),
    ],
)
def test_only_who_knows_the_secret_brings_receipts(header, parameter, admitted):
    assert a_book().admits(header, parameter) is admitted


def test_a_book_does_not_print_its_secret():
    assert SECRET not in repr(a_book())


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "line\nbreak"])
def test_a_name_that_no_database_keeps_is_nobodys(name):
    body = json.dumps({"id": name, "status": "DELIVRD"}).encode()
    read = a_book().read(body, JSON, {})
    assert read is not None
    assert read[1] is Receipt.NONE
