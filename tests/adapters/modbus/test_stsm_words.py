"""What STSM meters say, in the head-end's words: results, evidence, causes of the dark."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus.stsm_supply import refusal_of, supply_of
from adapters.modbus.stsm_tokens import judged, logged, own_request_ids, request_id
from headend.errors import Misconfigured, NoAnswer, Refused, WireError
from headend.supply import Contacts, ControlState, DarkCause, SupplyState
from headend.tokens import Token, TokenOrigin, TokenPurpose, TokenResult
from protocols.modbus.stsm import Condition, LoggedToken, Status, TokenJudgement
from tests.builders import DRN, NOW, TENANT

TOKEN = Token(
    id="token-1",
    tenant=TENANT,
    drn=DRN,
    delivery_id="delivery-1",
    sequence=1,
    purpose=TokenPurpose.CREDIT,
    digits="55556666777788889999",
    tid=1000,
)
OWN = own_request_ids(TOKEN)
OWN_LOW = request_id(TOKEN.id, 0) & 0xFFFF
FOREIGN_LOW = next(low for low in range(0x10000) if low not in {ident & 0xFFFF for ident in OWN})


def test_a_repeat_has_the_same_id_and_a_new_attempt_another():
    assert request_id("token-1", 0) == request_id("token-1", 0)
    ids = {request_id(f"token-{n}", attempt) for n in range(50) for attempt in range(3)}
    assert len(ids) == 150
    assert all(0 < ident <= 0xFFFFFFFF for ident in ids)


def judgement(**fields: int) -> TokenJudgement:
    values = {
        "request_id": 1, "progress": 3, "code": 1, "token_class": 0, "subclass": 0,
        "lockout_s": 0, "tid": 1000, "amount": 256, "processed": 0, "credit_after": 500,
        "krn": 1, "tariff_index": 1, "key_change_pending": 0,
    }  # fmt: skip
    return TokenJudgement(**(values | fields))


def test_amounts_come_in_units():
    outcome = judged(judgement(), -1)
    assert (outcome.amount, outcome.credit_after) == (Decimal("25.6"), Decimal("50.0"))
    assert outcome.at is None
    assert judged(judgement(), 2).amount == 25600


def test_only_a_credit_token_that_was_taken_has_an_amount():
    assert judged(judgement(code=2, token_class=2), 0).amount is None
    assert judged(judgement(code=10), 0).amount is None


@given(st.integers(0, 0xFFFF))
def test_every_code_is_a_result_or_no_answer(code: int):
    known = {int(result) for result in TokenResult}
    if code in known:
        assert judged(judgement(code=code), 0).result == code
    else:
        with pytest.raises(NoAnswer):
            judged(judgement(code=code), 0)


def entry(**fields: int) -> LoggedToken:
    values = {
        "tid": 1000, "code": 1, "token_class": 0, "subclass": 0, "amount": 256,
        "processed": 0, "origin": 1, "request_low": OWN_LOW,
    }  # fmt: skip
    return LoggedToken(**(values | fields))


def found(*entries: LoggedToken) -> TokenResult | None:
    outcome = logged(entries, TOKEN, OWN, -1)
    return outcome.result if outcome else None


def test_the_log_knows_a_token_by_its_tid():
    assert found(entry(tid=999), entry()) is TokenResult.ACCEPT
    assert found(entry(tid=999)) is None
    assert found() is None


def test_the_log_tells_where_a_token_came_from():
    origins = [logged((entry(origin=number),), TOKEN, OWN, -1) for number in (0, 1, 2, 3, 9)]
    assert [outcome and outcome.origin for outcome in origins] == [
        TokenOrigin.KEYPAD,
        TokenOrigin.HEADEND,
        TokenOrigin.LOCAL,
        TokenOrigin.HANDHELD,
        None,
    ]


def test_taken_goes_before_refused_and_ours_before_others():
    assert found(entry(code=10), entry(request_low=FOREIGN_LOW)) is TokenResult.ACCEPT
    outcome = logged((entry(request_low=FOREIGN_LOW, amount=1), entry(amount=256)), TOKEN, OWN, -1)
    assert outcome is not None
    assert outcome.amount == Decimal("25.6")


def test_the_refusal_of_another_sender_says_nothing_of_ours():
    assert found(entry(code=9, request_low=FOREIGN_LOW)) is None
    assert found(entry(code=9)) is TokenResult.OLD_ERROR


@pytest.mark.parametrize("code", [0, 15, 16, 99])
def test_what_decides_nothing_is_no_evidence(code: int):
    assert found(entry(code=code)) is None


def status(*, relay: int, control: int, conditions: Condition = Condition(0)) -> Status:  # noqa: B008
    return Status(
        relay=relay, control=control, reason=0, conditions=conditions, latched=Condition(0),
        credit=0, import_wh=0, power_w=0, accepted_tokens=0, last_request_low=0, clock=0,
        clock_state=1,
    )  # fmt: skip


FAULT = Condition.RELAY_DOES_NOT_FOLLOW
NO_CREDIT = Condition.OUT_OF_CREDIT


@pytest.mark.parametrize(
    ("relay", "control", "conditions", "state", "cause"),
    [
        (1, 1, 0, SupplyState.ON, None),
        (1, 1, NO_CREDIT, SupplyState.ON, None),
        (0, 0, 0, SupplyState.DARK, DarkCause.DISCONNECTED),
        (0, 0, NO_CREDIT, SupplyState.DARK, DarkCause.OUT_OF_CREDIT),
        (0, 0, NO_CREDIT | Condition.OVERLOAD, SupplyState.DARK, DarkCause.OVERLOAD),
        (0, 0, NO_CREDIT | Condition.TAMPER_LOCK, SupplyState.DARK, DarkCause.TAMPER_LOCK),
        (0, 0, NO_CREDIT | FAULT, SupplyState.DARK, DarkCause.RELAY_FAULT),
        (0, 1, 0, SupplyState.DARK, DarkCause.RELAY_FAULT),
        (0, 1, FAULT, SupplyState.DARK, DarkCause.RELAY_FAULT),
        (0, 2, 0, SupplyState.BUTTON, None),
        (1, 0, FAULT, SupplyState.ON, None),
        (2, 1, 0, SupplyState.UNKNOWN, None),
        (77, 99, 0, SupplyState.UNKNOWN, None),
    ],
)
def test_supply_and_its_cause(
    relay: int, control: int, conditions: int, state: SupplyState, cause: DarkCause | None
):
    told = status(relay=relay, control=control, conditions=Condition(conditions))
    supply = supply_of(told, NOW)
    assert (supply.state, supply.cause) == (state, cause)


def test_what_the_meter_may_not_say_is_unknown():
    supply = supply_of(status(relay=9, control=9), NOW)
    assert (supply.contacts, supply.control) == (Contacts.UNKNOWN, None)
    assert supply_of(status(relay=0, control=2), NOW).control is ControlState.READY


@pytest.mark.parametrize(
    ("answer", "error"),
    [(2, Refused), (3, Refused), (4, Refused), (5, Refused), (6, Refused), (7, Misconfigured),
     (0, NoAnswer), (8, NoAnswer)],
)  # fmt: skip
def test_a_supply_order_that_is_not_done(answer: int, error: type[WireError]):
    assert type(refusal_of(answer)) is error


def test_a_token_without_tid_is_never_matched_by_its_low_word():
    assert logged((entry(tid=0),), replace(TOKEN, tid=None), OWN, 0) is None
