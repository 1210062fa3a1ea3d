"""Contacts on the wire: where a message with digits goes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.routes.forms import Asked
from headend.usage_points import Contact, ContactKind


class SmsContact(Asked):
    """A telephone that takes short messages, as an E.164 number."""

    kind: Literal["sms"]
    address: Annotated[
        str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"), Field(examples=["+15550100"])
    ]

    def contact(self) -> Contact:
        return Contact(ContactKind.SMS, self.address)


class EmailContact(Asked):
    """A mail address."""

    kind: Literal["email"]
    address: Annotated[
        str,
        StringConstraints(
            max_length=254,
            pattern=r"^[^@\s\x00-\x1f\x7f,;<>\"]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$",
        ),
        Field(examples=["someone@example.org"]),
    ]

    def contact(self) -> Contact:
        return Contact(ContactKind.EMAIL, self.address)


ContactForm = Annotated[SmsContact | EmailContact, Field(discriminator="kind")]


def contact_form(contact: Contact) -> SmsContact | EmailContact:
    """The wire form of a contact that was checked when it came in."""
    match contact.kind:
        case ContactKind.SMS:
            return SmsContact.model_construct(kind="sms", address=contact.address)
        case ContactKind.EMAIL:
            return EmailContact.model_construct(kind="email", address=contact.address)
