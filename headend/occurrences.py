"""Occurrences: everything that the back-office may be told, by stable name, with its fields.

`docs/events.md` shows each; a test holds it to this table, and `announce` holds what is said to it.
To tell something new: a member here, its family if it is a new one, and a call of `announce`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

VERSION = 1


@unique
class Occurrence(StrEnum):
    """What happened: the family before the dot, then what became of it."""

    RECHARGE_CREATED = "recharge.created"
    RECHARGE_ISSUED = "recharge.issued"
    RECHARGE_CREDITED = "recharge.credited"
    RECHARGE_LIT = "recharge.lit"
    RECHARGE_AWAITING_BUTTON = "recharge.awaiting_button"
    RECHARGE_DARK = "recharge.dark"
    RECHARGE_UNRESOLVED = "recharge.unresolved"
    RECHARGE_FAILED = "recharge.failed"
    RECHARGE_REVERSED = "recharge.reversed"
    RECHARGE_REPLACED = "recharge.replaced"
    DIGITS_HANDED_OVER = "digits.handed_over"
    DIGITS_OUT = "digits.out"
    DELIVERY_LATE_TRUTH = "delivery.late_truth"
    KEY_CHANGE_DONE = "key_change.done"
    KEY_CHANGE_UNRESOLVED = "key_change.unresolved"
    KEY_CHANGE_FAILED = "key_change.failed"
    KEY_CHANGE_CANCELLED = "key_change.cancelled"
    ENGINEERING_DONE = "engineering.done"
    ENGINEERING_UNRESOLVED = "engineering.unresolved"
    ENGINEERING_FAILED = "engineering.failed"
    ENGINEERING_CANCELLED = "engineering.cancelled"
    SUPPLY_ORDER_DONE = "supply_order.done"
    SUPPLY_ORDER_UNRESOLVED = "supply_order.unresolved"
    SUPPLY_ORDER_FAILED = "supply_order.failed"
    SUPPLY_ORDER_CANCELLED = "supply_order.cancelled"
    CLOCK_ORDER_DONE = "clock_order.done"
    CLOCK_ORDER_UNRESOLVED = "clock_order.unresolved"
    CLOCK_ORDER_FAILED = "clock_order.failed"
    CLOCK_ORDER_CANCELLED = "clock_order.cancelled"
    PARAMETERS_ORDER_DONE = "parameters_order.done"
    PARAMETERS_ORDER_UNRESOLVED = "parameters_order.unresolved"
    PARAMETERS_ORDER_FAILED = "parameters_order.failed"
    PARAMETERS_ORDER_CANCELLED = "parameters_order.cancelled"
    RESTORATION_OVERDUE = "restoration.overdue"
    RESTORATION_LIMIT_PASSED = "restoration.limit_passed"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_FAILED = "message.failed"
    METER_EVENT = "meter.event"
    READINGS_TAKEN = "readings.taken"
    APPROVAL_WAITING = "approval.waiting"
    APPROVAL_DECIDED = "approval.decided"
    HOLD_BEGUN = "hold.begun"
    HOLD_LIFTED = "hold.lifted"
    JOB_ENDED = "job.ended"

    @property
    def family(self) -> str:
        return self.partition(".")[0]

    @property
    def type(self) -> str:
        """The type of the CloudEvent."""
        return f"headend.{self}.v{VERSION}"

    @property
    def schema(self) -> str:
        """Names the fields of `data` (the `dataschema` of the CloudEvent)."""
        return f"urn:headend:event:{self.family}:{VERSION}"


@dataclass(frozen=True, slots=True)
class Family:
    """What one family is about, and the fields of its `data`, each with its meaning."""

    title: str
    fields: Mapping[str, str]


_DELIVERY = {
    "delivery": "id of the delivery",
    "recharge": "id of the recharge, null for other commands",
    "command": "enter_token, set_supply, set_clock, manage, change_key or set_credit_parameters",
}
_ORDER = {
    "order": "id of the order, which is that of its delivery",
    "ordered_by": "id of the API key that ordered it",
    "state": "done, unresolved, failed or cancelled",
    "was": "its state before: what was given up may still be done late",
    "confirmed_by": "how we know that the meter took it, else null",
    "stopped_by": "the fact that ended it otherwise, else null",
    "created_at": "when it was ordered",
}

FAMILIES: Mapping[str, Family] = {
    "approval": Family(
        "Something dangerous waits for a second person, or was decided",
        {
            "approval": "id of the approval",
            "subject": "order, job or caps",
            "order": "id of the order or job",
            "kind": "what is dangerous about it",
            "reason": "why a second person is needed",
            "state": "waiting, approved, carried_out, refused, expired, failed or withdrawn",
            "expires_at": "until when it can be approved",
            "decided_by": "id of the person who decided, or null",
        },
    ),
    "job": Family(
        "A job of many lines has ended; told once more if lines were ordered at that very moment",
        {
            "job": "id of the job",
            "state": "its state, as in `GET /v1/jobs/{id}`",
            "lines": "how many lines it has",
            "ordered": "how many were ordered",
            "failed": "how many were bad or refused",
        },
    ),
    "hold": Family(
        "Orders of a dangerous kind are stopped in a supply group, or go again",
        {
            "hold": "id of the hold",
            "kind": "what is held",
            "sgc": "supply group code",
            "reason": "why",
            "since": "since when",
            "lifted_by": "id of the person who lifted it, or null",
        },
    ),
    "recharge": Family(
        "A sale of credit, each time its state (or the cause of its darkness) changes",
        {
            "recharge": "id of the recharge",
            "reference": "the caller's own reference, or null",
            "sales_point": "where it was sold, or null",
            "state": "its state now, as in `GET /v1/recharges/{id}`",
            "was": "its state before, null when it is new",
            "requested": "amount ordered (kind, value, and unit or currency), or null",
            "encoded": "amount in the tokens, or null",
            "taken": "amount that the meter took, or null",
            "supply": "on, awaiting_button, dark or unknown",
            "dark_cause": "why there is no supply, or null",
            "supply_at": "when the supply was seen so, or null",
            "missing_milli": "thousandths of a unit missing until the meter reconnects, or null",
            "debt_milli": "thousandths of a unit owed to the meter, or null",
            "created_at": "when it was ordered",
            "replaces": "id of the recharge that it replaces, or null",
            "replaced_by": "id of the recharge that replaces it, or null",
        },
    ),
    "digits": Family(
        "Token digits have left the head-end: given to a person (handed_over), or from now on"
        " somebody may hold them (out), so that the sale cannot be reversed any more",
        {
            **_DELIVERY,
            "method": "manual or local when handed over, else null",
        },
    ),
    "delivery": Family(
        "ALARM. A meter took tokens of a delivery that was given up as failed or cancelled:"
        " the books of the back-office are wrong until somebody acts",
        {
            **_DELIVERY,
            "was": "failed or cancelled",
            "state": "its state now",
            "entered": "how many tokens of the set are in the meter",
            "size": "how many tokens the set has",
            "confirmed_by": "how we know, else null",
        },
    ),
    "key_change": Family(
        "The end of a key change",
        {
            **_ORDER,
            "present": "the key before: sgc, krn, ti, kt, ea",
            "to": "the key ordered: sgc, krn, ti, kt, ea",
        },
    ),
    "engineering": Family(
        "The end of a management or test token",
        {**_ORDER, "kind": "what it does", "value": "its number, or null", "index": "or null"},
    ),
    "supply_order": Family(
        "The end of an order to open supply or to permit closing it",
        {
            **_ORDER,
            "action": "open or permit_close",
            "reason": "why it was ordered",
            "expires_at": "when it became worthless",
        },
    ),
    "clock_order": Family("The end of an order to set a clock", _ORDER),
    "parameters_order": Family(
        "The end of an order to set credit parameters or a power limit",
        {**_ORDER, "parameters": "those that were named, amounts as decimal texts"},
    ),
    "restoration": Family(
        "A home that paid and is not lit, each once: past the time at which the people in charge"
        " are told (overdue), and past the legal limit (limit_passed)",
        {
            "recharge": "id of the recharge",
            "reference": "the caller's own reference, or null",
            "sgc": "its supply group",
            "state": "state of the recharge",
            "cause": "why it is dark, as far as is known",
            "paid_at": "when it was paid",
            "tell_at": "when the people in charge were to be told",
            "limit_at": "the legal limit",
        },
    ),
    "message": Family(
        "What a provider said of a message with digits. It proves nothing: some say it of messages"
        " that nobody got",
        {
            "delivery": "id of the delivery",
            "recharge": "id of the recharge, null for other commands",
            "kind": "sms or email",
            "provider": "its name in the settings",
            "sent_at": "when the provider took it",
            "receipt": "delivered or failed",
        },
    ),
    "meter": Family(
        "An abnormal event that a meter reported, once",
        {
            "code": "256 times its group plus its number",
            "event": "name of the code, or unknown",
            "severity": "info, notice, minor, major or critical",
            "number": "tells two events of one moment apart",
            "argument": "the meter's own, or null",
            "taken_at": "by the meter's clock",
            "received_at": "by ours",
        },
    ),
    "readings": Family(
        "Readings that came together; announced only with `outbox.readings` in the settings",
        {
            "readings": "list of type, value (integer in the unit that ends the type), quality"
            " and taken_at",
            "received_at": "by our clock",
        },
    ),
}
