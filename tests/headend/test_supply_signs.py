"""What a meter shows of its supply, judged: on, waiting for the button, or dark with its cause."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.supply import Contacts, ControlState, DarkCause, SupplyProof, SupplyState
from headend.supply_signs import SupplySigns, judge_supply

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
OPEN = SupplySigns(contacts=Contacts.OPEN, control=ControlState.DISCONNECTED)
CLOSED = SupplySigns(contacts=Contacts.CLOSED, control=ControlState.CONNECTED)
READY = SupplySigns(contacts=Contacts.OPEN, control=ControlState.READY)
V230, DEAD = 230_000, 3_000


def told(*causes: DarkCause) -> frozenset[DarkCause]:
    return frozenset(causes)


@pytest.mark.parametrize(
    ("signs", "state", "cause", "missing"),
    [
        (CLOSED, SupplyState.ON, None, None),
        (READY, SupplyState.BUTTON, None, None),
        (replace(READY, told=told(DarkCause.OUT_OF_CREDIT)), SupplyState.BUTTON, None, None),
        (
            replace(READY, told=told(DarkCause.KEYPAD_UNIT_LOST)),
            SupplyState.DARK, DarkCause.KEYPAD_UNIT_LOST, None,
        ),
        (
            replace(OPEN, control=ControlState.CONNECTED),
            SupplyState.DARK, DarkCause.RELAY_FAULT, None,
        ),
        (
            replace(CLOSED, told=told(DarkCause.RELAY_FAULT)),
            SupplyState.DARK, DarkCause.RELAY_FAULT, None,
        ),
        (
            replace(CLOSED, grid_mv=V230, load_mv=DEAD),
            SupplyState.DARK, DarkCause.RELAY_FAULT, None,
        ),
        (replace(CLOSED, load_mv=DEAD), SupplyState.DARK, DarkCause.NO_VOLTAGE, None),
        (replace(CLOSED, grid_mv=DEAD), SupplyState.DARK, DarkCause.NO_VOLTAGE, None),
        (replace(CLOSED, load_mv=DEAD, load_ma=400), SupplyState.ON, None, None),
        (
            replace(OPEN, told=told(DarkCause.TAMPER_LOCK, DarkCause.OUT_OF_CREDIT)),
            SupplyState.DARK, DarkCause.TAMPER_LOCK, None,
        ),
        (
            replace(OPEN, told=told(DarkCause.OVERLOAD), credit_milli=-5, reconnect_milli=0),
            SupplyState.DARK, DarkCause.OVERLOAD, None,
        ),
        (
            replace(OPEN, credit_milli=1_500, reconnect_milli=4_000),
            SupplyState.DARK, DarkCause.BELOW_THRESHOLD, 2_500,
        ),
        (
            replace(OPEN, credit_milli=-200, reconnect_milli=0),
            SupplyState.DARK, DarkCause.OUT_OF_CREDIT, 201,
        ),
        (
            replace(OPEN, told=told(DarkCause.OUT_OF_CREDIT), credit_milli=-200),
            SupplyState.DARK, DarkCause.OUT_OF_CREDIT, None,
        ),
        (
            replace(OPEN, told=told(DarkCause.DEBT), debt_milli=7_000),
            SupplyState.DARK, DarkCause.DEBT, 7_000,
        ),
        (
            replace(OPEN, credit_milli=9_000, reconnect_milli=4_000, debt_milli=7_000),
            SupplyState.DARK, DarkCause.DISCONNECTED, None,
        ),
        (OPEN, SupplyState.DARK, DarkCause.DISCONNECTED, None),
        (
            replace(OPEN, told=told(DarkCause.KEYPAD_UNIT_LOST)),
            SupplyState.DARK, DarkCause.KEYPAD_UNIT_LOST, None,
        ),
        (
            replace(OPEN, grid_mv=0, credit_milli=0, reconnect_milli=0),
            SupplyState.DARK, DarkCause.NO_VOLTAGE, None,
        ),
        (SupplySigns(contacts=Contacts.UNKNOWN), SupplyState.UNKNOWN, None, None),
    ],
)  # fmt: skip
def test_the_signs_and_what_they_mean(signs, state, cause, missing):
    supply = judge_supply(signs, NOW)
    assert (supply.state, supply.cause, supply.missing_milli) == (state, cause, missing)


def test_voltage_or_current_behind_the_contacts_proves_light_and_contacts_only_suggest_it():
    assert judge_supply(CLOSED, NOW).proof is SupplyProof.CONTACTS
    assert judge_supply(replace(CLOSED, load_mv=V230), NOW).proof is SupplyProof.LOAD
    assert judge_supply(replace(CLOSED, load_ma=20), NOW).proof is SupplyProof.LOAD
    assert judge_supply(replace(CLOSED, load_ma=19), NOW).proof is SupplyProof.CONTACTS
    assert judge_supply(replace(OPEN, load_mv=V230), NOW).proof is None


def test_a_meter_that_is_out_of_credit_with_credit_enough_lacks_nothing_that_can_be_told():
    told = frozenset({DarkCause.OUT_OF_CREDIT})
    signs = replace(OPEN, told=told, credit_milli=10_000, reconnect_milli=5_000)
    assert judge_supply(signs, NOW).cause is DarkCause.OUT_OF_CREDIT
    assert judge_supply(signs, NOW).missing_milli is None


maybe = st.none() | st.integers(-(10**9), 10**9)
volts = st.none() | st.integers(0, 400_000)
any_signs = st.builds(
    SupplySigns,
    contacts=st.sampled_from(Contacts),
    control=st.none() | st.sampled_from(ControlState),
    told=st.frozensets(st.sampled_from(DarkCause)),
    credit_milli=maybe,
    reconnect_milli=st.none() | st.integers(0, 10**9),
    debt_milli=st.none() | st.integers(0, 10**9),
    grid_mv=volts,
    load_mv=volts,
    load_ma=st.none() | st.integers(0, 100_000),
)


@given(any_signs)
def test_whatever_a_meter_says_the_judgement_holds_together(signs):
    supply = judge_supply(signs, NOW)
    if supply.state is SupplyState.ON:
        assert supply.contacts is Contacts.CLOSED
        assert supply.cause is None
        assert supply.proof is not None
    if signs.contacts is Contacts.OPEN:
        assert supply.state is not SupplyState.ON
    if supply.state is SupplyState.DARK:
        assert supply.cause is not None or signs.control is None
    if supply.missing_milli is not None:
        assert supply.missing_milli >= 0
        assert supply.cause in (
            DarkCause.DEBT,
            DarkCause.OUT_OF_CREDIT,
            DarkCause.BELOW_THRESHOLD,
        )
