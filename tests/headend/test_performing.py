"""Performing one try: what the meter said, what was in doubt, and what it means."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from headend.agenda import Urgency
from headend.commands import (
    ChangeKey,
    Command,
    EnterToken,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation, Delivery, DeliveryMethod, Fact
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Unsupported
from headend.events import MeterEvent
from headend.meters import (
    BusName,
    Capability,
    Drn,
    Keypad,
    KeyType,
    Meter,
    ProfileName,
    Route,
    Service,
    StsConfiguration,
    TenantId,
)
from headend.outcomes import Outcome
from headend.performing import Attempting, Sold, perform
from headend.quantities import Currency, Unit, Units
from headend.readings import Reading, ReadingType
from headend.store import Leased
from headend.supply import Contacts, ControlState, Supply, SupplyAction, SupplyReason
from headend.tokens import Token, TokenOutcome, TokenPurpose, TokenResult

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ON = Supply(contacts=Contacts.CLOSED, control=ControlState.CONNECTED, taken_at=NOW)
OFF = Supply(contacts=Contacts.OPEN, control=ControlState.DISCONNECTED, taken_at=NOW)
ALL = ~Capability.NONE
TEN = Units(Decimal(10), Unit.KWH)


class FixedClock:
    def now(self) -> datetime:
        return NOW


class Scripted:
    """A session that says what it is told to, and notes what it was asked."""

    def __init__(
        self, *, enter=None, remembers=None, supply: object = ON, opening=None, held=None
    ) -> None:
        self.enter, self.remembers, self.seen, self.opening = enter, remembers, supply, opening
        self.held = held or METER.sts
        self.asked: list[str] = []
        self.can = ALL

    def capabilities(self, profile: ProfileName) -> Capability:
        return self.can

    @asynccontextmanager
    async def open(
        self, meter: Meter, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator["Scripted"]:
        if self.opening is not None:
            raise self.opening
        yield self

    def say(self, name: str, answer: object) -> object:
        self.asked.append(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read(self) -> Sequence[Reading]:
        return ()

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        return self.say("enter", self.enter)  # type: ignore[return-value]

    async def token_outcome(self, token: Token) -> TokenOutcome | None:
        return self.say("outcome", self.remembers)  # type: ignore[return-value]

    async def supply(self) -> Supply:
        return self.say("supply", self.seen)  # type: ignore[return-value]

    async def set_supply(self, order: SetSupply, *, order_id: str) -> None:
        self.say("set_supply", self.enter)

    async def events(self, *, after: int) -> Sequence[MeterEvent]:
        raise Unsupported("no event log")

    async def history(self, *, since: datetime | None) -> Sequence[Reading]:
        raise Unsupported("no history")

    async def set_clock(self, now: datetime) -> Confirmation:
        self.say("set_clock", self.enter)
        return Confirmation.READ_BACK

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        self.say("set_credit_parameters", self.enter)

    async def sts_configuration(self) -> StsConfiguration:
        return self.say("key", self.held)  # type: ignore[return-value]


METER = Meter(
    tenant=TenantId("t"),
    drn=Drn("12345678903"),
    service=Service.ELECTRICITY,
    profile=ProfileName("stsm"),
    route=Route(BusName("line"), "1"),
    sts=StsConfiguration("201457", 1, 1, KeyType.UNIQUE, 11),
    keypad=Keypad.METER,
    changed_at=NOW,
)
TOKEN = Token(
    id="k1",
    tenant=TenantId("t"),
    drn=METER.drn,
    delivery_id="d1",
    sequence=1,
    purpose=TokenPurpose.CREDIT,
    digits="58625789986991357486",
    tid=85740,
)


def leased(command: Command | None = None, **changes: object) -> Leased:
    delivery = Delivery(
        id="d1",
        tenant=TenantId("t"),
        drn=METER.drn,
        bus=BusName("line"),
        command=command or EnterToken(),
        recharge_id="r1",
        priority=0,
        rank=1,
        methods=frozenset(DeliveryMethod),
        not_before=NOW,
        deadline=NOW + timedelta(hours=1),
        created_at=NOW,
        changed_at=NOW,
    )
    return Leased(replace(delivery, **changes), METER, (TOKEN,))  # type: ignore[arg-type]


def said(result: TokenResult, **more: object) -> TokenOutcome:
    return TokenOutcome(result=result, **more)  # type: ignore[arg-type]


SOLD = Sold(encoded=TEN)
LIMIT = SetCreditParameters(CreditParameters(power_limit_w=6000))


async def outcome_of(session: Scripted, job: Leased, sold: Sold = SOLD):
    return await perform(session, job, clock=FixedClock(), sold=sold, attempting=Attempting())


@pytest.mark.parametrize(
    ("result", "fact"),
    [
        (TokenResult.ACCEPT, Fact.ACCEPTED),
        (TokenResult.FIRST_KCT, Fact.ACCEPTED),
        (TokenResult.OLD_ERROR, Fact.REFUSED),
        (TokenResult.CRC_ERROR, Fact.REFUSED),
        (TokenResult.OVERFLOW_ERROR, Fact.REFUSED),
        (TokenResult.USED_ERROR, Fact.USED),
        (TokenResult.LOCK_OUT, Fact.LOCKED_OUT),
        (TokenResult.REQUEST_ID_USED, Fact.LOCKED_OUT),
        (TokenResult.NOT_READY, Fact.NOT_READY),
    ],
)
async def test_each_result_of_the_meter_is_one_fact(result, fact):
    outcome = await outcome_of(Scripted(enter=said(result)), leased())
    assert (outcome.fact, outcome.result, outcome.token_id) == (fact, result, "k1")


async def test_an_accepted_token_is_followed_by_a_look_at_the_supply():
    session = Scripted(enter=said(TokenResult.ACCEPT))
    outcome = await outcome_of(session, leased())
    assert session.asked == ["enter", "supply"]
    assert outcome.supply is ON


async def test_a_supply_that_cannot_be_read_does_not_undo_the_credit():
    session = Scripted(enter=said(TokenResult.ACCEPT), supply=NoAnswer("silence"))
    outcome = await outcome_of(session, leased())
    assert (outcome.fact, outcome.supply) == (Fact.ACCEPTED, None)


async def test_an_echo_of_another_tid_is_no_answer():
    session = Scripted(enter=said(TokenResult.ACCEPT, tid=1))
    assert (await outcome_of(session, leased())).fact is Fact.NO_ANSWER


async def test_a_first_try_does_not_look_first():
    session = Scripted(enter=said(TokenResult.ACCEPT))
    await outcome_of(session, leased())
    assert "outcome" not in session.asked


async def test_after_a_lost_answer_the_meter_is_asked_before_anything_is_sent():
    session = Scripted(remembers=said(TokenResult.ACCEPT, amount=Decimal(10)))
    outcome = await outcome_of(session, leased(maybe_taken=True))
    assert session.asked == ["outcome", "supply"]
    assert (outcome.fact, outcome.by) == (Fact.SEEN, Confirmation.TOKEN_LOG)


async def test_a_meter_that_knows_nothing_of_it_is_sent_the_same_token():
    session = Scripted(enter=said(TokenResult.ACCEPT))
    outcome = await outcome_of(session, leased(maybe_taken=True))
    assert session.asked == ["outcome", "enter", "supply"]
    assert outcome.fact is Fact.ACCEPTED


async def test_another_vendors_token_of_the_same_minute_is_not_taken_for_ours():
    session = Scripted(remembers=said(TokenResult.ACCEPT, amount=Decimal(77)))
    outcome = await outcome_of(session, leased(maybe_taken=True))
    assert outcome.fact is Fact.REFUSED
    assert session.asked == ["outcome"]


async def test_used_on_a_first_try_looks_for_no_evidence_as_the_digits_were_never_out():
    session = Scripted(enter=said(TokenResult.USED_ERROR), remembers=said(TokenResult.ACCEPT))
    outcome = await outcome_of(session, leased())
    assert outcome.fact is Fact.USED
    assert "outcome" not in session.asked


class Registers(Scripted):
    """Its log is silent, its registers are there or not."""

    def __init__(self, *, registers: object) -> None:
        super().__init__(enter=said(TokenResult.USED_ERROR))
        self.registers = registers

    async def read(self) -> Sequence[Reading]:
        return self.say("read", self.registers)  # type: ignore[return-value]


CREDIT = Reading(
    tenant=METER.tenant,
    drn=METER.drn,
    type=ReadingType.CREDIT_LEFT_MILLI,
    value=5_000,
    taken_at=NOW,
    received_at=NOW,
)


async def test_where_the_log_no_longer_tells_whose_was_used_the_registers_are_read():
    session = Registers(registers=(CREDIT,))
    outcome = await outcome_of(session, leased(handed_at=NOW))
    assert (outcome.fact, outcome.readings) == (Fact.USED, (CREDIT,))
    assert session.asked == ["outcome", "enter", "outcome", "read", "supply"]


async def test_without_a_doubt_or_a_credit_register_none_is_read():
    undoubted = Registers(registers=())
    outcomes = [await outcome_of(undoubted, leased())]
    blind = Registers(registers=())
    blind.can = ALL & ~Capability.CREDIT_REGISTER
    outcomes.append(await outcome_of(blind, leased(handed_at=NOW)))
    assert [one.fact for one in outcomes] == [Fact.USED, Fact.USED]
    assert "read" not in undoubted.asked + blind.asked


async def test_registers_that_do_not_answer_leave_it_used():
    session = Registers(registers=NoAnswer("silent"))
    outcome = await outcome_of(session, leased(handed_at=NOW))
    assert (outcome.fact, outcome.readings) == (Fact.USED, ())


async def test_used_after_a_hand_over_is_proved_by_the_token_log():
    log = iter([None, said(TokenResult.ACCEPT, amount=Decimal(10))])

    class Typed(Scripted):
        async def token_outcome(self, token: Token) -> TokenOutcome | None:
            return next(log)

    session = Typed(enter=said(TokenResult.USED_ERROR))
    outcome = await outcome_of(session, leased(handed_at=NOW))
    assert (outcome.fact, outcome.by) == (Fact.SEEN, Confirmation.TOKEN_LOG)


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (NotSent("x"), Fact.NOT_SENT),
        (NoAnswer("x"), Fact.NO_ANSWER),
        (Refused("x"), Fact.REFUSED),
        (Unsupported("x"), Fact.UNSUPPORTED),
        (Misconfigured("x"), Fact.MISCONFIGURED),
    ],
)
async def test_each_error_of_the_wire_is_one_fact(error, fact):
    assert (await outcome_of(Scripted(enter=error), leased())).fact is fact


async def test_silence_before_the_token_was_sent_leaves_nothing_in_doubt():
    assert (await outcome_of(Scripted(opening=NoAnswer("x")), leased())).fact is Fact.NOT_SENT


def supply_order(action: SupplyAction) -> SetSupply:
    return SetSupply(action, SupplyReason.SAFETY, NOW + timedelta(hours=1))


async def test_supply_is_read_back_after_it_was_ordered():
    session = Scripted(supply=OFF)
    outcome = await outcome_of(session, leased(supply_order(SupplyAction.OPEN)))
    assert session.asked == ["set_supply", "supply"]
    assert (outcome.fact, outcome.by) == (Fact.ACCEPTED, Confirmation.READ_BACK)


async def test_a_relay_that_does_not_follow_is_not_done():
    outcome = await outcome_of(Scripted(supply=ON), leased(supply_order(SupplyAction.OPEN)))
    assert outcome.fact is Fact.NOT_READY


@pytest.mark.parametrize("error", [NotSent, NoAnswer, Refused, Unsupported, Misconfigured])
async def test_a_read_back_that_breaks_leaves_the_order_in_doubt(error):
    session = Scripted(supply=error("x"))
    outcome = await outcome_of(session, leased(supply_order(SupplyAction.OPEN)))
    assert session.asked == ["set_supply", "supply"]
    assert outcome.fact is Fact.NO_ANSWER


async def test_in_doubt_supply_is_read_before_it_is_ordered_again():
    session = Scripted(supply=OFF)
    job = leased(supply_order(SupplyAction.OPEN), maybe_taken=True)
    outcome = await outcome_of(session, job)
    assert session.asked == ["supply"]
    assert outcome.fact is Fact.SEEN


@pytest.mark.parametrize("fact", [Fact.UNWANTED, Fact.HELD])
async def test_an_opening_in_doubt_that_is_not_wanted_now_is_looked_at_but_not_sent(fact):
    job = leased(supply_order(SupplyAction.OPEN), maybe_taken=True)
    sold = Sold(stopped=Outcome(fact=fact, detail="paid meanwhile"))
    for supply, told in ((ON, fact), (OFF, Fact.SEEN)):
        session = Scripted(supply=supply)
        attempting = Attempting()
        outcome = await perform(session, job, clock=FixedClock(), sold=sold, attempting=attempting)
        assert (session.asked, outcome.fact) == (["supply"], told)


async def test_an_order_that_nobody_wants_ends_once_nothing_can_be_under_way():
    unwanted = Sold(stopped=Outcome(fact=Fact.UNWANTED, detail="paid meanwhile"))
    held = Sold(stopped=Outcome(fact=Fact.HELD))
    late = {"maybe_taken": True, "doubted_at": NOW - timedelta(minutes=5)}
    job = leased(supply_order(SupplyAction.OPEN), **late)
    assert (await outcome_of(Scripted(supply=ON), job, unwanted)).fact is Fact.NOT_AS_ORDERED
    assert (await outcome_of(Scripted(supply=ON), job, held)).fact is Fact.HELD
    assert (await outcome_of(Scripted(supply=OFF), job, unwanted)).fact is Fact.SEEN


async def test_the_clock_is_set_to_the_time_of_sending():
    session = Scripted()
    outcome = await outcome_of(session, leased(SetClock()))
    assert (session.asked, outcome.fact) == (["set_clock"], Fact.ACCEPTED)


async def test_credit_parameters_are_done_when_they_were_read_back():
    session = Scripted()
    outcome = await outcome_of(session, leased(LIMIT))
    assert session.asked == ["set_credit_parameters"]
    assert (outcome.fact, outcome.by) == (Fact.ACCEPTED, Confirmation.READ_BACK)


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (NoAnswer("silence"), Fact.NO_ANSWER),
        (NotSent("silence before it"), Fact.NOT_SENT),
        (Refused("it keeps others"), Fact.REFUSED),
    ],
)
async def test_credit_parameters_that_are_not_kept_or_not_told(error, fact):
    assert (await outcome_of(Scripted(enter=error), leased(LIMIT))).fact is fact


@pytest.mark.parametrize("command", [SetClock(), LIMIT])
@pytest.mark.parametrize("error", [NotSent, NoAnswer])
async def test_what_was_read_back_stays_done_though_the_conversation_breaks_at_its_end(
    command, error
):
    class Breaking(Scripted):
        @asynccontextmanager
        async def open(
            self, meter: Meter, *, urgency: Urgency = Urgency.READING
        ) -> AsyncIterator["Scripted"]:
            yield self
            raise error("the line is closed")

    outcome = await outcome_of(Breaking(), leased(command))
    assert (outcome.fact, outcome.by) == (Fact.ACCEPTED, Confirmation.READ_BACK)


def test_an_interruption_is_in_doubt_only_once_the_command_was_sent():
    assert Attempting(acted=False).interrupted().fact is Fact.NOT_SENT
    assert Attempting(acted=True).interrupted().fact is Fact.NO_ANSWER


# --- the key that the meter holds -----------------------------------------------------------------

UNDER_ITS_KEY = Sold(encoded=TEN, sts=METER.sts)
NEXT_KEY = replace(METER.sts, krn=2)


async def test_the_key_is_read_before_credit_is_sent():
    session = Scripted(enter=said(TokenResult.ACCEPT))
    assert (await outcome_of(session, leased(), UNDER_ITS_KEY)).fact is Fact.ACCEPTED
    assert session.asked == ["key", "enter", "supply"]


async def test_credit_made_under_another_key_is_not_sent():
    session = Scripted(held=NEXT_KEY)
    assert (await outcome_of(session, leased(), UNDER_ITS_KEY)).fact is Fact.KEY_MISMATCH
    assert session.asked == ["key"]


async def test_a_gateway_that_does_not_know_the_question_is_no_obstacle_to_credit():
    session = Scripted(enter=said(TokenResult.ACCEPT), held=Unsupported("the gateway says no"))
    assert (await outcome_of(session, leased(), UNDER_ITS_KEY)).fact is Fact.ACCEPTED
    assert session.asked == ["key", "enter", "supply"]


@pytest.mark.parametrize("error", [NoAnswer("silence"), NotSent("busy")])
async def test_a_key_that_could_not_be_read_now_is_read_again_before_credit_is_sent(error):
    session = Scripted(held=error)
    assert (await outcome_of(session, leased(), UNDER_ITS_KEY)).fact is Fact.NOT_SENT
    assert session.asked == ["key"]


async def test_what_the_token_log_did_not_hold_is_noted():
    doubtful = leased(maybe_taken=True)
    refusing = Scripted(enter=said(TokenResult.CRC_ERROR))
    assert (await outcome_of(refusing, doubtful, SOLD)).log_absent
    elsewhere = Scripted(held=NEXT_KEY)
    assert (await outcome_of(elsewhere, doubtful, UNDER_ITS_KEY)).log_absent
    not_asked = Scripted(held=NEXT_KEY)
    assert not (await outcome_of(not_asked, leased(), UNDER_ITS_KEY)).log_absent
    without = Scripted(held=NEXT_KEY)
    without.can = ALL & ~Capability.TOKEN_OUTCOME
    assert not (await outcome_of(without, doubtful, UNDER_ITS_KEY)).log_absent


CHANGE = ChangeKey(present=METER.sts, to=NEXT_KEY)


class Rekeyed(Scripted):
    """Enters parts of a set as told, one answer each, and tells the key in turn."""

    def __init__(self, *, parts: Sequence[object], keys: Sequence[object]) -> None:
        super().__init__()
        self.parts, self.keys = iter(parts), iter(keys)
        self.attempts: list[int] = []

    async def enter_token(self, token: Token, *, attempt: int) -> TokenOutcome:
        self.attempts.append(attempt)
        return self.say("enter", next(self.parts))  # type: ignore[return-value]

    async def set_credit_parameters(self, change: CreditParameters) -> None:
        self.say("set_credit_parameters", self.enter)

    async def sts_configuration(self) -> StsConfiguration:
        return self.say("key", next(self.keys))  # type: ignore[return-value]


PARTS = (said(TokenResult.FIRST_KCT), said(TokenResult.ACCEPT))


def a_set(**changes: object) -> Leased:
    job = leased(CHANGE, **changes)
    parts = tuple(
        replace(TOKEN, id=f"k{place}", purpose=TokenPurpose.KEY_CHANGE, tid=None, sequence=place)
        for place in (1, 2)
    )
    return replace(job, tokens=parts)


async def test_a_key_change_is_proved_by_reading_the_key():
    session = Rekeyed(parts=PARTS, keys=(METER.sts, NEXT_KEY))
    outcome = await outcome_of(session, a_set())
    assert (outcome.fact, outcome.by) == (Fact.ACCEPTED, Confirmation.READ_BACK)
    assert session.asked == ["key", "enter", "enter", "key"]


async def test_where_the_key_cannot_be_read_the_meters_echo_has_to_do():
    unknown = Unsupported("no such verb")
    outcome = await outcome_of(Rekeyed(parts=PARTS, keys=(unknown, unknown)), a_set())
    assert (outcome.fact, outcome.by) == (Fact.ACCEPTED, Confirmation.ECHO)


async def test_where_the_key_cannot_be_read_nothing_is_sent_in_doubt():
    session = Rekeyed(parts=(), keys=(Unsupported("no such verb"),))
    outcome = await outcome_of(session, a_set(maybe_taken=True))
    assert outcome.fact is Fact.REFUSED
    assert session.asked == ["key"]


@pytest.mark.parametrize("error", [NotSent("busy"), Misconfigured("x"), Unsupported("x")])
async def test_a_set_that_stops_half_way_is_in_doubt(error):
    session = Rekeyed(parts=(PARTS[0], error), keys=(METER.sts,))
    assert (await outcome_of(session, a_set())).fact is Fact.NO_ANSWER


@pytest.mark.parametrize("error", [NotSent("busy"), NoAnswer("x"), Misconfigured("x")])
async def test_a_set_that_is_in_but_not_proved_is_in_doubt(error):
    session = Rekeyed(parts=PARTS, keys=(METER.sts, error))
    assert (await outcome_of(session, a_set())).fact is Fact.NO_ANSWER


async def test_every_try_of_a_set_is_new_to_the_meter_after_a_lock_out_too():
    seen: list[int] = []
    tries = ((1, 0), (2, 0), (2, 1), (2, 2), (3, 2))  # a lock-out gives its attempt back
    for attempts, lockouts in tries:
        session = Rekeyed(parts=PARTS, keys=(METER.sts, NEXT_KEY))
        await outcome_of(session, a_set(attempts=attempts, lockouts=lockouts))
        assert len(set(session.attempts)) == 1
        seen.append(session.attempts[0])
    assert seen == [1, 2, 3, 4, 5]


async def test_money_told_to_the_last_place_of_a_register_is_not_anothers():
    sold = Sold(encoded=Currency(Decimal("100.00452"), "ZAR"))
    job = leased(maybe_taken=True)
    for told, fact in (("100.01", Fact.SEEN), ("100.004", Fact.SEEN), ("100.02", Fact.REFUSED)):
        session = Scripted(remembers=said(TokenResult.ACCEPT, amount=Decimal(told)))
        assert (await outcome_of(session, job, sold)).fact is fact, told
