"""Addresses are checked, and hidden."""

import pytest

from adapters.handover.addresses import hidden, is_mailbox, is_phone, mailbox_of, phone_of
from headend.errors import NotSent
from headend.usage_points import Contact, ContactKind

WRONG_PHONES = [
    "", "+", "0712345678", "254712345678", "+0712345678", "+25471", "+2547123456789012",
    "+254 712 345 678", "+254712345678\n", "+25471234567a", "+٢٥٤٧١٢٣٤٥٦٧٨", "+254712345678;+1",
]  # fmt: skip
WRONG_MAILBOXES = [
    "", "a", "@example.org", "a@", "a@example", "a@@example.org", "a b@example.org",
    "a@example.org\r\nBcc: b@example.org", "a@example.org\n", "a@example.org,b@example.org",
    "Amina <a@example.org>", "a@-example.org", "a@example..org", ".a@example.org", "a.@example.org",
    "a..b@example.org", '"a"@example.org', "a@[127.0.0.1]", "ä@example.org", "a@exämple.org",
    f"{'a' * 65}@example.org", f"a@{'b' * 64}.org", f"a@{'bbbb.' * 60}org", "a@example.org\x00",
]  # fmt: skip


@pytest.mark.parametrize(
    "address", ["+254712345678", "+15551234567", "+2901234", "+123456789012345"]
)
def test_international_numbers_are_phones(address):
    assert is_phone(address)


@pytest.mark.parametrize("address", WRONG_PHONES, ids=repr)
def test_what_is_no_phone_is_refused_without_showing_it(address):
    with pytest.raises(NotSent) as caught:
        phone_of(Contact(ContactKind.SMS, address))
    assert len(address) < 2 or address not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["a@example.org", "amina.o'tieno+x@mail.example.co.ke", "a@xn--exmple-cua.org"]
)
def test_plain_addresses_are_mailboxes(address):
    assert is_mailbox(address)


@pytest.mark.parametrize("address", WRONG_MAILBOXES, ids=repr)
def test_what_is_no_mailbox_is_refused_without_showing_it(address):
    with pytest.raises(NotSent) as caught:
        mailbox_of(Contact(ContactKind.EMAIL, address))
    assert len(address) < 2 or address not in str(caught.value)


@pytest.mark.parametrize(
    ("contact", "shown"),
    [
        (Contact(ContactKind.SMS, "+254712345678"), "…78"),
        (Contact(ContactKind.EMAIL, "amina@example.org"), "…@example.org"),
        (Contact(ContactKind.EMAIL, "amina otieno"), "…"),
    ],
)
def test_an_address_is_hidden(contact, shown):
    assert hidden(contact) == shown
