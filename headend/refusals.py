"""Refusals of an order: what is wrong with it, in words stable enough to build on.

Each class is one problem type of the REST interface (RFC 9457); `slug` never changes once released.
Texts never carry token digits, keys or passwords.
"""

from typing import ClassVar

from headend.errors import HeadendError


class OrderRefused(HeadendError):
    """The order is not taken: nothing is stored, nothing is sent."""

    slug: ClassVar[str] = "order-refused"
    title: ClassVar[str] = "The order is not taken"
    status: ClassVar[int] = 422

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class UnknownMeter(OrderRefused):
    slug = "unknown-meter"
    title = "No such meter"
    status = 404


class UnknownUsagePoint(OrderRefused):
    slug = "unknown-usage-point"
    title = "No such usage point"
    status = 404


class UnknownSupplyGroup(OrderRefused):
    slug = "unknown-supply-group"
    title = "No such supply group"
    status = 404


class UnknownRecharge(OrderRefused):
    slug = "unknown-recharge"
    title = "No such recharge"
    status = 404


class UnknownDelivery(OrderRefused):
    slug = "unknown-delivery"
    title = "No such delivery"
    status = 404


class WrongCheckDigit(OrderRefused):
    slug = "wrong-check-digit"
    title = "The check digit of the meter number is wrong"


class MalformedMeterNumber(OrderRefused):
    slug = "malformed-meter-number"
    title = "A meter number is 11 or 13 digits"


class AmountOrTokens(OrderRefused):
    slug = "amount-or-tokens"
    title = "Bring exactly one of amount and tokens"


class AmountNotPositive(OrderRefused):
    slug = "amount-not-positive"
    title = "The amount must be more than zero"


class AmountTooLarge(OrderRefused):
    slug = "amount-too-large"
    title = "The amount is larger than a token can carry"


class AmountAboveLimit(OrderRefused):
    slug = "amount-above-limit"
    title = "The amount is above the limit of the supply group"


class MalformedAmount(OrderRefused):
    slug = "malformed-amount"
    title = "The amount cannot be read"


class WrongUnit(OrderRefused):
    slug = "wrong-unit"
    title = "The unit does not belong to the service of this meter"


class MalformedToken(OrderRefused):
    slug = "malformed-token"
    title = "A token is 20 digits of at most 66 bits"


class TooManyTokens(OrderRefused):
    slug = "too-many-tokens"
    title = "Too many tokens in one recharge"


class TokenKnown(OrderRefused):
    slug = "token-already-known"
    title = "This token already belongs to another recharge"
    status = 409


class MeterNotInService(OrderRefused):
    slug = "meter-not-in-service"
    title = "The meter is not in service"
    status = 409


class NoDeliveryMethod(OrderRefused):
    slug = "no-delivery-method"
    title = "No way leads to this meter"


class NoVendingKey(OrderRefused):
    slug = "no-vending-key"
    title = "No usable vending key for the meter's supply group"
    status = 409


class KeyExpired(OrderRefused):
    slug = "vending-key-expired"
    title = "The vending key has expired"
    status = 409


class RechargeDiffers(OrderRefused):
    """The same id came again with other content; `field` names the first difference."""

    slug = "recharge-differs"
    title = "This id is known with other content"
    status = 409

    def __init__(self, recharge_id: str, field: str) -> None:
        super().__init__(f"recharge {recharge_id} is known: {field} differs", field=field)


class OrderDiffers(OrderRefused):
    """The same id came again with another order; `field` names the difference."""

    slug = "order-differs"
    title = "This id is known with another order"
    status = 409

    def __init__(self, ident: str, field: str) -> None:
        super().__init__(f"order {ident} is known: {field} differs", field=field)


class IdRequired(OrderRefused):
    slug = "id-required"
    title = "Bring an id or an Idempotency-Key"


class CreditNoteRequired(OrderRefused):
    """The digits may be at work in the world: only the back-office's books can undo the sale."""

    slug = "credit-note-required"
    title = "The recharge cannot be reversed: issue a credit note"
    status = 409

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot be reversed: {reason}", field=None)
        self.reason = reason


class SupplyProtected(OrderRefused):
    slug = "supply-protected"
    title = "This usage point is protected: supply is not opened"
    status = 409


class OutsideHours(OrderRefused):
    slug = "outside-opening-hours"
    title = "Supply is not opened at this hour"
    status = 409


class CapReached(OrderRefused):
    """Above a cap, and nobody is named for whom a second person could approve."""

    slug = "cap-reached"
    title = "Too many dangerous orders of this kind"
    status = 429


class RequesterRequired(OrderRefused):
    slug = "requester-required"
    title = "Name the person for whom it is ordered"
    status = 403


class ApprovalRequired(OrderRefused):
    """It waits for a second person; `approval` is the id of what waits."""

    slug = "approval-required"
    title = "A second person must approve it"
    status = 403

    def __init__(self, detail: str, *, approval: str) -> None:
        super().__init__(detail)
        self.approval = approval


class ApprovalEnded(OrderRefused):
    """A person refused it, or nobody approved it in time: order anew, with another id."""

    slug = "approval-ended"
    title = "It was not approved"
    status = 409


class UnknownApproval(OrderRefused):
    slug = "unknown-approval"
    title = "No such approval"
    status = 404


class SamePerson(OrderRefused):
    slug = "same-person"
    title = "Nobody approves what was ordered for them"
    status = 403


class UnknownPerson(OrderRefused):
    slug = "unknown-person"
    title = "No such person"


class KindHeld(OrderRefused):
    slug = "kind-held"
    title = "Orders of this kind are held in this supply group"
    status = 409


class UnknownHold(OrderRefused):
    slug = "unknown-hold"
    title = "No such hold"
    status = 404


class CommandUnsupported(OrderRefused):
    slug = "command-unsupported"
    title = "The meter's profile or route cannot do this"


class MalformedOrder(OrderRefused):
    slug = "malformed-order"
    title = "The order cannot be read"


class MeterExists(OrderRefused):
    slug = "meter-exists"
    title = "This meter number is taken"
    status = 409


class SameKey(OrderRefused):
    slug = "same-key"
    title = "The meter is recorded with this key already"
    status = 409


class KeyChangePending(OrderRefused):
    slug = "key-change-pending"
    title = "A key change of this meter is on its way"
    status = 409


class KeyChangeUnconfirmed(OrderRefused):
    slug = "key-change-unconfirmed"
    title = "Which key the meter holds is not known: confirm or withdraw its key change"
    status = 409


class NothingToWithdraw(OrderRefused):
    slug = "nothing-to-withdraw"
    title = "This is no key change that could be withdrawn now"
    status = 409


class NotReplaceable(OrderRefused):
    slug = "not-replaceable"
    title = "It is not proved that the token died with the old key"
    status = 409


class NothingToConfirm(OrderRefused):
    slug = "nothing-to-confirm"
    title = "Its digits were never out, so nobody can have entered them"
    status = 409


class NothingToAsk(OrderRefused):
    slug = "nothing-to-ask"
    title = "The meter is not asked about this again"
    status = 409


class NotOnTheWorkList(OrderRefused):
    slug = "not-on-the-work-list"
    title = "Nothing of it waits for a person"
    status = 409


class MeterSaysOtherwise(OrderRefused):
    slug = "meter-says-otherwise"
    title = "The meter's own word is another"
    status = 409


class TooMuchSaid(OrderRefused):
    slug = "too-much-said"
    title = "No more evidence is kept of one delivery"
    status = 409


class NothingToGive(OrderRefused):
    slug = "nothing-to-give"
    title = "There are no digits that a person could still use"
    status = 409


class TooOften(OrderRefused):
    slug = "too-often"
    title = "The digits were given a moment ago, or often enough"
    status = 429


class TooManyGuesses(OrderRefused):
    slug = "too-many-guesses"
    title = "Too many unknown tokens were verified in this hour"
    status = 429


class UnknownLine(OrderRefused):
    slug = "unknown-line"
    title = "No such line is served here"
    status = 404


class UnknownProfile(OrderRefused):
    slug = "unknown-profile"
    title = "No such meter profile"


class UnknownBus(OrderRefused):
    slug = "unknown-bus"
    title = "No such bus in the settings"


class VersionDiffers(OrderRefused):
    slug = "version-differs"
    title = "It was changed since you read it"
    status = 412
