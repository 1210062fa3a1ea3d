"""Prospects: what happens next to a recharge, in words for the caller and the call centre."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum, unique

from headend.deliveries import OPEN_STATES, Delivery, DeliveryState, Fact
from headend.recharges import Recharge, RechargeState
from headend.supply import DarkCause
from headend.tokens import TokenResult
from headend.unconfirmed import unconfirmed_text


@unique
class NextStep(StrEnum):
    """What the head-end, or a person, does next."""

    ISSUE = "issue"
    SEND = "send"
    AWAIT_ANSWER = "await_answer"
    SEND_AGAIN = "send_again"
    LOOK_AND_SEND = "look_and_send"
    HAND_OVER = "hand_over"
    CUSTOMER_TYPES = "customer_types"
    LOOK_AT_SUPPLY = "look_at_supply"
    CUSTOMER_PRESSES_BUTTON = "customer_presses_button"
    CUSTOMER_ACTS = "customer_acts"
    PERSON_VISITS = "person_visits"
    PERSON_DECIDES = "person_decides"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Prospect:
    """The next step, when (if a time is known), and a sentence that says it."""

    kind: NextStep
    text: str
    at: datetime | None = None


def what_next(
    recharge: Recharge, delivery: Delivery | None, now: datetime, *, change: Delivery | None = None
) -> Prospect:
    """What happens next, as the records tell it; `change` is the key change that it waits for."""
    match recharge.state:
        case RechargeState.OPEN if change is not None:
            return _awaiting(change)
        case RechargeState.OPEN:
            return Prospect(NextStep.ISSUE, "The token is made as soon as the vault answers.")
        case RechargeState.CREDITED:
            return Prospect(NextStep.LOOK_AT_SUPPLY, "The credit is in; supply is looked at.")
        case RechargeState.AWAITING_BUTTON:
            return Prospect(
                NextStep.CUSTOMER_PRESSES_BUTTON,
                "The credit is in; the customer presses the button on the meter.",
            )
        case RechargeState.DARK:
            return _dark(recharge)
        case RechargeState.ISSUED if delivery is not None:
            return _of_delivery(delivery, now)
        case _:
            return _settled(recharge.state, delivery)


def _awaiting(change: Delivery) -> Prospect:
    if change.state in OPEN_STATES and change.by_remote:
        text = f"The token is made when key change {change.id} is proved by the meter."
        return Prospect(NextStep.ISSUE, text)
    return Prospect(NextStep.PERSON_DECIDES, f"Not made yet: {unconfirmed_text(change)}.")


def _dark(recharge: Recharge) -> Prospect:
    """What lights a home whose credit is in."""
    step, text = _LIGHTS[recharge.dark_cause or DarkCause.UNKNOWN]
    if recharge.missing_milli is not None:
        text = text.replace("more credit", f"{Decimal(recharge.missing_milli).scaleb(-3):f} more")
    if recharge.dark_cause is DarkCause.DEBT and recharge.debt_milli is not None:
        text += f" It owes {Decimal(recharge.debt_milli).scaleb(-3):f}."
    return Prospect(step, f"The credit is in but supply is off: {text}")


_LIGHTS = {
    DarkCause.RELAY_FAULT: (
        NextStep.PERSON_VISITS,
        "the contacts do not follow. Send somebody to the meter.",
    ),
    DarkCause.TAMPER_LOCK: (
        NextStep.PERSON_VISITS,
        "the meter is locked after tampering. It wants an inspection and a clear-tamper token.",
    ),
    DarkCause.OVERLOAD: (
        NextStep.CUSTOMER_ACTS,
        "too much was switched on. The customer switches appliances off and presses the button.",
    ),
    DarkCause.OUT_OF_CREDIT: (
        NextStep.CUSTOMER_ACTS,
        "the credit is used up already. The customer buys more credit.",
    ),
    DarkCause.BELOW_THRESHOLD: (
        NextStep.CUSTOMER_ACTS,
        "it is less than the meter wants before it closes. The customer buys more credit.",
    ),
    DarkCause.DEBT: (NextStep.PERSON_DECIDES, "the meter holds it off for a debt."),
    DarkCause.DISCONNECTED: (
        NextStep.PERSON_DECIDES,
        "somebody ordered it off. If the reason is gone, order its supply: permit_close.",
    ),
    DarkCause.NO_VOLTAGE: (
        NextStep.PERSON_DECIDES,
        "no voltage reaches the meter. Look for an outage of its line.",
    ),
    DarkCause.KEYPAD_UNIT_LOST: (
        NextStep.CUSTOMER_ACTS,
        "the unit with the button is not heard. The customer looks after its plug and batteries.",
    ),
    DarkCause.UNKNOWN: (NextStep.PERSON_DECIDES, "the meter does not say why."),
}


_OTHER_KEY = (
    "The meter holds another key than our record: correct the record or schedule a key change"
)


def _settled(state: RechargeState, delivery: Delivery | None) -> Prospect:
    mismatch = delivery is not None and delivery.stopped_by is Fact.KEY_MISMATCH
    match state:
        case RechargeState.UNRESOLVED if mismatch:
            text = f"{_OTHER_KEY}; whether the token was taken before cannot be told."
            return Prospect(NextStep.PERSON_DECIDES, text)
        case RechargeState.FAILED if mismatch:
            text = f"{_OTHER_KEY}. The digits never left us; the sale can be reversed."
            return Prospect(NextStep.PERSON_DECIDES, text)
        case RechargeState.UNRESOLVED:
            text = "Whether the meter took the token cannot be told; a person has to look."
            return Prospect(NextStep.PERSON_DECIDES, text)
        case RechargeState.FAILED:
            text = "The digits never left us and no meter has them; the sale can be reversed."
            return Prospect(NextStep.PERSON_DECIDES, text)
        case _:
            return Prospect(NextStep.NOTHING, "Nothing is left to do.")


def _of_delivery(delivery: Delivery, now: datetime) -> Prospect:
    if delivery.state is DeliveryState.SENDING:
        return Prospect(NextStep.AWAIT_ANSWER, "The meter is being asked.", delivery.lease_until)
    remote, hand_at = delivery.by_remote, delivery.hand_over_at
    waits_for_hand = delivery.next_hand_over() is not None
    if waits_for_hand and (not remote or hand_at <= max(now, delivery.not_before)):
        return Prospect(NextStep.HAND_OVER, "The digits go to the customer.", max(now, hand_at))
    if remote:
        return _sent_again(delivery)
    return Prospect(
        NextStep.CUSTOMER_TYPES,
        "The customer holds the digits; the meter cannot be asked from here.",
        delivery.deadline,
    )


def _sent_again(delivery: Delivery) -> Prospect:
    held = " The customer holds the digits too." if delivery.handed_at else ""
    at = delivery.not_before
    if delivery.result is TokenResult.LOCK_OUT:
        return Prospect(NextStep.SEND_AGAIN, f"The meter's entry is locked; then again.{held}", at)
    if delivery.maybe_taken:
        text = f"The meter is asked whether it took the token; if not, the same is sent.{held}"
        return Prospect(NextStep.LOOK_AND_SEND, text, at)
    if delivery.attempts:
        return Prospect(NextStep.SEND_AGAIN, f"The same token is sent again.{held}", at)
    return Prospect(NextStep.SEND, "The token is sent to the meter.", at)
