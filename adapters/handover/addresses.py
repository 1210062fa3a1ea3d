"""Addresses of people: checked before they reach a wire, hidden before they reach a log."""

import re

from headend.errors import NotSent
from headend.usage_points import Contact, ContactKind

# ITU-T E.164: a country code that does not begin with zero, at most 15 digits in all.
PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
# RFC 5321: a dot-string of ASCII, and a domain of at least two labels; no quoting, no literals.
ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
MAILBOX = re.compile(rf"(?P<local>{ATOM}(?:\.{ATOM})*)@{LABEL}(?:\.{LABEL})+", re.ASCII)
MAX_LOCAL = 64
MAX_MAILBOX = 254


def is_phone(address: str) -> bool:
    """Whether this is an international number such as +254712345678."""
    return PHONE.fullmatch(address) is not None


def is_mailbox(address: str) -> bool:
    """Whether this is a plain mail address, free of whatever could bend a mail header."""
    if len(address) > MAX_MAILBOX:
        return False
    found = MAILBOX.fullmatch(address)
    return found is not None and len(found["local"]) <= MAX_LOCAL


def phone_of(contact: Contact) -> str:
    """The number of a contact; raises NotSent, not showing it."""
    if not is_phone(contact.address):
        raise NotSent("a phone number is + and 7 to 15 digits, country code first")
    return contact.address


def mailbox_of(contact: Contact) -> str:
    """The mail address of a contact; raises NotSent, not showing it."""
    if not is_mailbox(contact.address):
        raise NotSent("this is no mail address")
    return contact.address


def hidden(contact: Contact) -> str:
    """Enough of an address for a person who knows it already."""
    if contact.kind is ContactKind.EMAIL:
        return "…@" + contact.address.rpartition("@")[2] if is_mailbox(contact.address) else "…"
    return "…" + contact.address[-2:]
