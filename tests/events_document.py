"""Writes docs/events.md from what the code says: `python -m tests.events_document`.

Every example is what really would be told of a change made here; a test compares the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from headend.announcing import (
    delivery_news,
    meter_event_news,
    moment_json,
    reading_news,
    recharge_news,
)
from headend.approvals import Approval, ApprovalState, ApprovalSubject
from headend.cloud_events import cloud_event
from headend.commands import Command, EnterToken, Manage, SetClock, SetCreditParameters
from headend.credit_parameters import CreditParameters
from headend.dangers import Danger
from headend.deliveries import DeliveryMethod, DeliveryState, Fact
from headend.events import EventType
from headend.harm_news import approval_news, hold_news, job_news
from headend.holds import Hold
from headend.jobs import Job, JobState, LineState, Progress
from headend.meters import Drn
from headend.occurrences import FAMILIES, Occurrence
from headend.outbox import Announced, Announcement
from headend.people import PersonId
from headend.quantities import Unit, Units
from headend.readings import ReadingType
from headend.recharges import Json, RechargeState
from headend.supply import DarkCause, SupplyState
from tests.builders import (
    NOW,
    TENANT,
    a_delivery,
    a_drn,
    a_key_change,
    a_management_order,
    a_reading,
    a_recharge,
    an_event,
    an_opening,
)

FILE = Path(__file__).parent.parent / "docs" / "events.md"
IDENT = "01JQ8ZK4T9WX3M7B5RCD2EFGHV"
LATER = NOW + timedelta(seconds=9)
_SUPPLY = {
    RechargeState.LIT: (SupplyState.ON, None),
    RechargeState.AWAITING_BUTTON: (SupplyState.BUTTON, None),
    RechargeState.DARK: (SupplyState.DARK, DarkCause.TAMPER_LOCK),
}
_ORDERS: Mapping[str, Command] = {
    "key_change": a_key_change(),
    "engineering": Manage(a_management_order()),
    "parameters_order": SetCreditParameters(
        CreditParameters(unit="kWh", low_credit_1=Decimal(20), reconnect_credit=Decimal(5))
    ),
    "supply_order": an_opening(),
    "clock_order": SetClock(),
}


def examples() -> Mapping[Occurrence, Announcement]:
    """One announcement of each kind."""
    every = [
        *_of_recharges(),
        *_of_digits(),
        *_of_restoration(),
        *_of_messages(),
        *_of_orders(),
        *_of_meters(),
        *_of_people(),
        job_news(_A_JOB, _PROGRESS, now=LATER),
    ]
    return {one.occurrence: one for one in every}


def _of_recharges() -> Sequence[Announcement]:
    amount = Units(Decimal("25.6"), Unit.KWH)
    new = a_recharge(id="sale-17", requested=amount)
    news = list(recharge_news(None, new, now=NOW))
    issued = replace(new, state=RechargeState.ISSUED, encoded=amount)
    news += recharge_news(new, issued, now=LATER)
    for state in RechargeState:
        if state in (RechargeState.OPEN, RechargeState.ISSUED):
            continue
        supply, cause = _SUPPLY.get(state, (SupplyState.UNKNOWN, None))
        taken = amount if state in (*_SUPPLY, RechargeState.CREDITED) else None
        after = replace(
            issued,
            state=state,
            taken=taken,
            supply=supply,
            dark_cause=cause,
            supply_at=LATER if state in _SUPPLY else None,
            replaced_by="sale-18" if state is RechargeState.REPLACED else None,
        )
        news += recharge_news(issued, after, now=LATER)
    return news


def _of_digits() -> Sequence[Announcement]:
    waiting = a_delivery(id=IDENT, recharge_id="sale-17", methods=frozenset(DeliveryMethod))
    out = waiting.after(Fact.REVEALED, now=NOW)
    handed = out.after(Fact.HANDED, now=LATER)
    given_up = replace(waiting, state=DeliveryState.FAILED)
    seen = given_up.after(Fact.SEEN, now=LATER)
    return [
        *delivery_news(waiting, out, now=NOW),
        *delivery_news(out, handed, now=LATER, method=DeliveryMethod.MANUAL),
        *delivery_news(given_up, seen, now=LATER),
    ]


def _of_restoration() -> Sequence[Announcement]:
    """Its fields are held to the table; `announce` holds the code to the same."""
    data = {
        "recharge": "sale-17",
        "reference": "invoice-1",
        "sgc": "600675",
        "state": "dark",
        "cause": "tamper_lock",
        "paid_at": moment_json(NOW),
        "tell_at": moment_json(NOW + timedelta(minutes=15)),
        "limit_at": moment_json(NOW + timedelta(hours=2)),
    }
    return [
        _plain(Occurrence.RESTORATION_OVERDUE, data),
        _plain(Occurrence.RESTORATION_LIMIT_PASSED, data),
    ]


def _of_messages() -> Sequence[Announcement]:
    """As for restoration."""
    data = {
        "delivery": IDENT,
        "recharge": "sale-17",
        "kind": "sms",
        "provider": "sms_http",
        "sent_at": moment_json(NOW),
    }
    return [
        _plain(Occurrence.MESSAGE_DELIVERED, {**data, "receipt": "delivered"}),
        _plain(Occurrence.MESSAGE_FAILED, {**data, "receipt": "failed"}),
    ]


def _plain(occurrence: Occurrence, data: Mapping[str, Json]) -> Announcement:
    return Announcement(tenant=TENANT, drn=a_drn(), occurrence=occurrence, at=LATER, data=data)


_A_JOB = Job(
    id="job-3",
    tenant=TENANT,
    digest="",
    size=1000,
    ordered_by=IDENT,
    state=JobState.DONE_WITH_FAILURES,
    created_at=NOW,
    changed_at=LATER,
)
_PROGRESS = Progress({LineState.ORDERED: 998, LineState.BAD: 2}, {})


def _of_orders() -> Sequence[Announcement]:
    news: list[Announcement] = []
    for family, command in _ORDERS.items():
        assert not isinstance(command, EnterToken)
        sending = a_delivery(
            id=f"{family}-9",
            command=command,
            recharge_id=None,
            ordered_by=IDENT,
            state=DeliveryState.SENDING,
        )
        ends = [
            sending.after(Fact.ACCEPTED, now=LATER),
            sending.after(Fact.REFUSED, now=LATER),
            replace(sending, maybe_taken=True).after(Fact.REFUSED, now=LATER),
            replace(sending, state=DeliveryState.WAITING).after(Fact.CANCELLED, now=LATER),
        ]
        for after in ends:
            news += delivery_news(sending, after, now=LATER)
    return news


def _of_meters() -> Sequence[Announcement]:
    readings = [a_reading(), a_reading(type=ReadingType.CREDIT_LEFT_MILLI, value=31_250)]
    return [
        *meter_event_news([an_event(code=EventType.METER_COVER_OPENED)], now=LATER),
        *reading_news(readings, now=LATER),
    ]


def _of_people() -> Sequence[Announcement]:
    approval = Approval(
        id=IDENT,
        tenant=TENANT,
        subject=ApprovalSubject.ORDER,
        order_id="opening-9",
        danger=Danger.OPEN_SUPPLY,
        sgc="600675",
        drn=Drn("01000000016"),
        command=an_opening(),
        requesters=frozenset(),
        reason="above the cap of 20 an hour",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )
    decided = approval.decided(ApprovalState.APPROVED, by=PersonId("k.otieno"), now=LATER)
    hold = Hold(
        id=IDENT,
        tenant=TENANT,
        danger=Danger.OPEN_SUPPLY,
        sgc="600675",
        reason="5 of the last 10 failed",
        since=NOW,
    )
    lifted = replace(hold, lifted_at=LATER, lifted_by=PersonId("k.otieno"))
    return [
        approval_news(approval, now=NOW),
        approval_news(decided, now=LATER),
        hold_news(hold, now=NOW),
        hold_news(lifted, now=LATER),
    ]


# --- the document -------------------------------------------------------------------------------

BEGIN, END = "<!-- from here on written by tests/events_document.py -->", "<!-- end -->"


def render(present: str) -> str:
    """The document with its tables and examples as the code has them now."""
    head, _, rest = present.partition(BEGIN)
    _, _, foot = rest.partition(END)
    shown = examples()
    parts = [_family(name, shown) for name in FAMILIES]
    return f"{head}{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}{foot}"


def _family(name: str, shown: Mapping[Occurrence, Announcement]) -> str:
    family = FAMILIES[name]
    members = [one for one in Occurrence if one.family == name]
    lines = [f"## {name}", "", f"{family.title}.", ""]
    lines += ["Types: " + ", ".join(f"`{one.type}`" for one in members) + ".", ""]
    lines += [f"`dataschema` is `{members[0].schema}`; its `data` has", ""]
    lines += ["| field | meaning |", "|---|---|"]
    lines += [f"| `{field}` | {meaning} |" for field, meaning in family.fields.items()]
    lines.append("")
    for number, one in enumerate(members, start=1):
        event = cloud_event(Announced(number, number, shown[one]), "urn:headend")
        text = json.dumps(event, ensure_ascii=False, indent=1)
        lines += [f"### `{one.type}`", "", "```json", text, "```", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    FILE.write_text(render(FILE.read_text()))
