"""What is said of a change: once, with exactly the fields that are documented, and no digits."""

from dataclasses import replace
from datetime import timedelta

import pytest

from headend.announcing import delivery_news, meter_event_news, reading_news, recharge_news
from headend.commands import Manage, SetClock, SetSupply
from headend.deliveries import DeliveryMethod, DeliveryState, Fact
from headend.occurrences import FAMILIES, Occurrence
from headend.outbox import announce, wanted
from headend.recharges import RechargeState
from headend.supply import DarkCause
from headend.webhooks import (
    FAILING_AFTER,
    GIVE_UP_AFTER,
    MAX_ATTEMPTS,
    REST_MAX_S,
    Health,
    Posting,
    PostingState,
)
from tests.builders import (
    NOW,
    TENANT,
    a_delivery,
    a_key_change,
    a_management_order,
    a_reading,
    a_recharge,
    an_announcement,
    an_event,
    an_opening,
)
from tests.fakes import MemoryStore


def names(news):
    return [one.occurrence.value for one in news]


@pytest.mark.parametrize("state", [one for one in RechargeState if one is not RechargeState.OPEN])
def test_every_state_of_a_recharge_is_told(state):
    before = a_recharge()
    (told,) = recharge_news(before, replace(before, state=state), now=NOW)
    assert told.occurrence.value == f"recharge.{state}"
    assert (told.data["state"], told.data["was"]) == (state, "open")
    assert told.data["requested"] == {"kind": "units", "value": "25.60", "unit": "kWh"}


def test_a_recharge_is_told_when_it_is_new_and_not_when_nothing_changed():
    recharge = a_recharge()
    assert names(recharge_news(None, recharge, now=NOW)) == ["recharge.created"]
    assert recharge_news(recharge, replace(recharge, tid=7), now=NOW) == ()
    lit = replace(recharge, state=RechargeState.LIT)
    assert recharge_news(lit, replace(lit, changed_at=NOW + timedelta(days=1)), now=NOW) == ()


def test_another_cause_of_darkness_is_news():
    dark = a_recharge(state=RechargeState.DARK, dark_cause=DarkCause.UNKNOWN)
    tamper = replace(dark, dark_cause=DarkCause.TAMPER_LOCK)
    (told,) = recharge_news(dark, tamper, now=NOW)
    assert told.data["dark_cause"] == "tamper_lock"


def test_digits_are_told_to_be_out_and_handed_over():
    waiting = a_delivery(methods=frozenset(DeliveryMethod))
    out = waiting.after(Fact.REVEALED, now=NOW)
    handed = out.after(Fact.HANDED, now=NOW)
    assert names(delivery_news(waiting, out, now=NOW)) == ["digits.out"]
    news = delivery_news(out, handed, now=NOW, method=DeliveryMethod.MANUAL)
    assert names(news) == ["digits.handed_over"]
    assert news[0].data["method"] == "manual"
    assert names(delivery_news(None, out, now=NOW)) == ["digits.out"]
    assert delivery_news(None, waiting, now=NOW) == []


@pytest.mark.parametrize("given_up", [DeliveryState.FAILED, DeliveryState.CANCELLED])
def test_a_truth_after_giving_up_is_an_alarm(given_up):
    before = a_delivery(state=given_up)
    after = before.after(Fact.SEEN, now=NOW)
    assert after.state is DeliveryState.DONE
    (told,) = delivery_news(before, after, now=NOW)
    assert told.occurrence is Occurrence.DELIVERY_LATE_TRUTH
    assert (told.data["was"], told.data["state"]) == (given_up, "done")
    half = replace(before, size=2)
    assert names(delivery_news(half, half.after(Fact.SEEN, now=NOW), now=NOW)) == [
        "delivery.late_truth"
    ]


def test_a_truth_in_time_is_no_alarm():
    doubtful = a_delivery(state=DeliveryState.UNRESOLVED, maybe_taken=True)
    assert delivery_news(doubtful, doubtful.after(Fact.SEEN, now=NOW), now=NOW) == []


@pytest.mark.parametrize(
    ("command", "family"),
    [
        (an_opening(), "supply_order"),
        (SetClock(), "clock_order"),
        (Manage(a_management_order()), "engineering"),
        (a_key_change(), "key_change"),
    ],
)
def test_the_end_of_an_order_is_told(command, family):
    sending = a_delivery(command=command, recharge_id=None, state=DeliveryState.SENDING)
    done = sending.after(Fact.ACCEPTED, now=NOW)
    assert names(delivery_news(sending, done, now=NOW)) == [f"{family}.done"]
    unsure = sending.after(Fact.NO_ANSWER, now=NOW)
    assert delivery_news(sending, unsure, now=NOW) == []
    waiting = a_delivery(command=command, recharge_id=None)
    cancelled = waiting.after(Fact.CANCELLED, now=NOW)
    assert names(delivery_news(waiting, cancelled, now=NOW)) == [f"{family}.cancelled"]
    assert isinstance(command, SetSupply | SetClock | Manage | type(a_key_change()))


async def test_what_is_said_has_the_documented_fields():
    said = [
        *recharge_news(None, a_recharge(), now=NOW),
        *meter_event_news([an_event(), an_event(code=0x7777)], now=NOW),
        *reading_news([a_reading()], now=NOW),
    ]
    assert names(said) == ["recharge.created", "meter.event", "meter.event", "readings.taken"]
    assert said[1].data["severity"] == "critical"
    assert said[2].data["event"] == "unknown"
    async with MemoryStore().begin() as tx:
        await announce(tx, *said)
        with pytest.raises(AssertionError):
            await announce(tx, an_announcement(data={"recharge": "1", "digits": "2"}))


def test_every_occurrence_has_its_family():
    assert {one.family for one in Occurrence} == FAMILIES.keys()


def test_a_filter_knows_types_and_families():
    lit = Occurrence.RECHARGE_LIT
    assert wanted(lit, ())
    assert wanted(lit, ("headend.recharge.lit.v1",))
    assert wanted(lit, ("headend.meter.event.v1", "headend.recharge.*"))
    assert not wanted(lit, ("headend.recharge.dark.v1", "headend.meter.*"))


# --- postings and receivers ---------------------------------------------------------------------


def a_posting(**fields):
    posting = Posting(
        webhook_id="w",
        tenant=TENANT,
        cursor=1,
        drn=None,
        not_before=NOW,
        give_up_at=NOW + GIVE_UP_AFTER,
    )
    return replace(posting, **fields)


@pytest.mark.parametrize("spread", [0.0, 0.999])
def test_a_posting_is_tried_for_about_three_days_and_then_dead(spread):
    posting, now, tries = a_posting(), NOW, 0
    while posting.state is PostingState.PENDING:
        now = posting.not_before
        posting = posting.failed(now=now, spread=spread, status=500, detail="answered 500")
        tries += 1
    assert posting.state is PostingState.DEAD
    assert 15 <= tries <= MAX_ATTEMPTS
    assert timedelta(days=2, hours=6) <= now - NOW <= timedelta(days=3, hours=5)


def test_what_could_not_be_tried_in_time_is_tried_once():
    late = NOW + timedelta(days=9)
    assert a_posting().delivered(now=late, status=200).state is PostingState.DELIVERED
    assert a_posting().failed(now=late, spread=0, status=500, detail="").state is PostingState.DEAD


def test_a_receiver_that_fails_again_and_again_is_let_rest_ever_longer():
    health, now = Health(), NOW
    rests = []
    for _ in range(20):
        health = health.failed(now=now, spread=0.5, status=None, detail="no answer")
        rests.append((health.rest_until - now).total_seconds() if health.rest_until else 0)
    assert rests[: FAILING_AFTER - 1] == [0] * (FAILING_AFTER - 1)
    assert rests[FAILING_AFTER:] == sorted(rests[FAILING_AFTER:])
    assert rests[-1] <= REST_MAX_S
    assert health.failing_since == NOW
    well = health.well(now=now, status=200)
    assert (well.failures, well.failing_since, well.rest_until) == (0, None, None)
