"""The simulated meter takes tokens as IEC 62055-41 says; by published vectors where there are."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulators.display import ShownControl, ShownFlag
from adapters.simulators.faults import Dying
from adapters.simulators.meter import MeterDown
from adapters.simulators.supply_port import SupplyCommand, SupplyOrder, SupplyResult
from adapters.simulators.token_port import Busy
from headend.events import EventType
from headend.meters import Service
from headend.supply import ControlState, DarkCause
from headend.tokens import TokenResult
from protocols.sts.amount import decode_units, encode_units
from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditCurrency, CreditUnits
from protocols.sts.drn import Drn, MeterPan
from protocols.sts.keys import derive
from protocols.sts.management import (
    ClearCredit,
    ClearTamper,
    PowerLimit,
    SetControl,
    SetFlag,
    TariffRate,
    WaterFactor,
)
from protocols.sts.metertest import ExtendedRead, MeterTest, generic_tests
from protocols.sts.tables import (
    BaseDate,
    CreditSubclass,
    EncryptionAlgorithm,
    KeyType,
    MeterTestNumber,
    MeterTestSubclass,
)
from protocols.sts.tid import tid_at
from protocols.sts.token import encode
from tests.adapters.simulators.benches import (
    START,
    TEST_KEY,
    VECTORS,
    Bench,
    a_key,
    a_meter,
)

ACCEPT = TokenResult.ACCEPT
USED = TokenResult.USED_ERROR
CRC = TokenResult.CRC_ERROR
LOCKED = TokenResult.LOCK_OUT


def of_test_key(kind: str) -> list[object]:
    return [
        pytest.param(vector, id=vector["id"])
        for vector in VECTORS
        if vector["kind"] == kind
        and vector["inputs"].get("ea") == 11
        and vector["inputs"].get("vending_key") == TEST_KEY.hex()
    ]


def meter_of(vector, **attributes):
    given = vector["inputs"]
    base = BaseDate(given["base_date"])
    key = a_key(sgc=int(given["sgc"]), krn=given["krn"], base_date=base, ken=given.get("ken", 255))
    service = list(Service)[given["subclass"] % 4] if given["token_class"] == 0 else None
    return a_meter(
        drn=MeterPan(given["meter_pan"]).drn.digits,
        key=key,
        made_at=base.epoch,
        credit_milli=0,
        service=service or Service.ELECTRICITY,
        currency="ZAR" if given["token_class"] == 0 and given["subclass"] >= 4 else None,
        maximum_credit_milli=10**40,
        tariff_index=given["ti"],
        **attributes,
    )


# --- published tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize("vector", of_test_key("token.credit.units"))
def test_every_published_credit_token_is_taken_once(vector):
    meter, token = meter_of(vector), vector["expected"]["token"]
    entry = meter.customer_types(token, START)
    assert (entry.result, entry.tid) == (ACCEPT, vector["inputs"]["tid"])
    credited = meter.credit_milli
    assert credited >= vector["inputs"]["amount_tenths"] * 100
    assert credited == entry.amount_milli == entry.credit_after_milli
    assert meter.customer_types(token, START).result is USED
    assert meter.credit_milli == credited


@pytest.mark.parametrize("vector", of_test_key("token.credit.currency"))
def test_every_published_currency_token_is_taken_once(vector):
    meter, token = meter_of(vector), vector["expected"]["token"]
    amount_1e5 = int(vector["inputs"]["amount_1e5"])
    assert meter.customer_types(token, START).result is ACCEPT
    assert meter.credit_milli * 100 >= amount_1e5
    assert meter.customer_types(token, START).result is USED


@pytest.mark.parametrize("vector", of_test_key("token.credit.units")[:5])
def test_under_another_key_no_published_token_authenticates(vector):
    meter = meter_of(vector)
    meter.set_wrong_key(True)
    assert meter.customer_types(vector["expected"]["token"], START).result is CRC
    assert meter.credit_milli == 0
    meter.set_wrong_key(False)
    assert meter.customer_types(vector["expected"]["token"], START).result is ACCEPT


@pytest.mark.parametrize("vector", of_test_key("token.management"))
def test_every_published_management_token_has_its_effect_or_a_named_refusal(vector):
    meter, given = meter_of(vector), vector["inputs"]
    meter.circuit.account.credit_milli = 7_000
    result = meter.customer_types(vector["expected"]["token"], START).result
    rounded = decode_units(encode_units(given["value"])) if given["subclass"] in (0, 6) else 0
    match given["subclass"]:
        case 0:
            assert (result, meter.circuit.power_limit_w) == (ACCEPT, rounded)
        case 1 if given["value"] in (0, 0xFFFF):
            assert (result, meter.credit_milli) == (ACCEPT, 0)
        case 1:
            assert (result, meter.credit_milli) == (TokenResult.RANGE_ERROR, 7_000)
        case 5:
            assert result is ACCEPT
        case 6:
            assert (result, meter.circuit.unbalance_limit_w) == (ACCEPT, rounded)
        case _:
            pytest.fail("a published token without an expectation here")


def test_every_published_test_token_is_understood():
    tokens = [v for v in VECTORS if v["kind"] == "token.test_display"]
    assert tokens
    meter = a_meter()
    for vector in tokens:
        result = meter.customer_types(vector["expected"]["token"], START).result
        assert result is ACCEPT, vector["id"]
        if vector["inputs"]["subclass"] == 2:
            assert meter.displayed == {ShownControl(0): "0"}


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(v, id=v["id"])
        for v in VECTORS
        if v["kind"] == "token_set.key_change" and v["inputs"]["ea"] == 11
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_every_published_key_change_is_taken_in_any_order(vector, backwards):
    old, new = vector["inputs"]["old"], vector["inputs"]["new"]
    key = a_key(
        value=bytes.fromhex(old["vending_key"]),
        sgc=int(old["sgc"]),
        krn=old["krn"],
        base_date=BaseDate(old["base_date"]),
        ken=old.get("ken", 255),
    )
    drn = MeterPan(vector["inputs"]["meter_pan"]).drn.digits
    meter = a_meter(drn=drn, key=key, made_at=key.base_date.epoch, tariff_index=old["ti"])
    tokens = vector["computed"]["tokens"]  # some sources publish the first two of four
    assert tokens[: len(vector["expected"]["tokens"])] == vector["expected"]["tokens"]
    results = [
        meter.customer_types(token, START).result
        for token in (reversed(tokens) if backwards else tokens)
    ]
    assert results[-1] is ACCEPT
    assert all(result.taken and result is not ACCEPT for result in results[:-1])
    expected = bytes.fromhex(vector["computed"]["new_decoder_key"])
    assert meter.decoder.holds_key(expected)
    assert (meter.decoder.sgc, meter.decoder.krn) == (int(new["sgc"]), new["krn"])
    assert (meter.decoder.tariff_index, meter.decoder.ken) == (new["ti"], new.get("ken", 255))


# --- the order of checks --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "1234", "1" * 21, "1234567890123456789x", "9" * 20])
def test_what_is_no_token_is_a_format_error(text):
    assert Bench().types(text) is TokenResult.FORMAT_ERROR


def test_a_token_from_before_the_meter_was_made_is_old():
    bench = Bench(made_at=START)
    made = tid_at(BaseDate.Y2014, START)
    assert bench.types(bench.credit(10, tid=made - 1)) is TokenResult.OLD_ERROR
    assert bench.types(bench.credit(10, tid=made)) is USED
    assert bench.types(bench.credit(10, tid=made + 1)) is ACCEPT


def test_tokens_may_come_out_of_order_but_not_beyond_the_store():
    bench = Bench(tid_store=3)
    late, first = bench.credit(10), bench.credit(10)
    assert bench.types(first) is ACCEPT
    assert bench.types(late) is ACCEPT
    forgotten = bench.credit(10)
    newer = [bench.credit(10) for _ in range(3)]
    assert [bench.types(token) for token in newer] == [ACCEPT] * 3
    assert bench.types(forgotten) is TokenResult.OLD_ERROR
    assert bench.types(first) is TokenResult.OLD_ERROR


def test_old_is_told_before_expired_and_used_before_expired():
    bench = Bench(key=a_key(ken=95))
    tid = (96 << 16) + 7
    assert bench.types(bench.credit(10, tid=tid)) is TokenResult.KEY_EXPIRED_ERROR
    bench.meter.decoder.cancel(tid)
    assert bench.types(bench.credit(10, tid=tid)) is USED


def test_a_default_key_takes_management_but_no_credit():
    bench = Bench(key=a_key(key_type=KeyType.DEFAULT))
    assert bench.types(bench.credit(10)) is TokenResult.DDTK_ERROR
    assert bench.types(bench.token(PowerLimit(5, bench.tid(), 3000))) is ACCEPT


def test_a_token_of_another_manufacturer_is_told():
    bench = Bench(drn=Drn.build(mfr_code="07", serial="00000001").digits)
    subclass = MeterTestSubclass.SHORT_MFR_CODE
    foreign, own = MeterTest(subclass, 1, mfr_code=9), MeterTest(subclass, 1, mfr_code=7)
    assert bench.types(bench.token(foreign)) is TokenResult.MFR_CODE_ERROR
    assert bench.types(bench.token(own)) is ACCEPT


def test_an_overflow_leaves_the_token_good_for_later():
    bench = Bench(maximum_credit_milli=101_000)
    token = bench.credit(20)
    assert bench.types(token) is TokenResult.OVERFLOW_ERROR
    assert bench.meter.credit_milli == 100_000
    bench.meter.circuit.account.credit_milli = 0
    assert bench.types(token) is ACCEPT


def test_credit_of_another_service_is_not_built_in():
    bench = Bench()
    water = bench.token(CreditUnits(CreditSubclass.WATER, 5, bench.tid(), 10))
    money = bench.token(CreditCurrency(CreditSubclass.ELECTRICITY_CURRENCY, bench.tid(), 100_000))
    assert bench.types(water) is TokenResult.FUNCTION_ERROR
    assert bench.types(money) is TokenResult.FUNCTION_ERROR
    assert bench.types(bench.token(WaterFactor(5, bench.tid(), 7))) is TokenResult.FUNCTION_ERROR


def test_an_unknown_register_is_out_of_range():
    bench = Bench()
    assert bench.types(bench.token(ClearCredit(5, bench.tid(), 9))) is TokenResult.RANGE_ERROR


def test_a_test_token_shows_what_it_asks_for():
    bench = Bench()
    for token in generic_tests(MeterTestNumber.SGC):
        assert bench.types(bench.token(token)) is ACCEPT
    assert bench.meter.displayed == {MeterTestNumber.SGC: "201457"}


def test_all_tests_show_all_that_is_built_in():
    bench = Bench()
    bench.types(bench.token(generic_tests(MeterTestNumber.ALL)[0]))
    built_in = set(MeterTestNumber) - {MeterTestNumber.ALL, MeterTestNumber.WATER_FACTOR}
    assert bench.meter.displayed.keys() == built_in
    assert bench.meter.displayed[MeterTestNumber.LOAD_SWITCH] == "ok"
    bench.meter.set_relay_fault(True, bench.now)
    bench.meter.tamper(bench.now)
    bench.types(bench.token(generic_tests(MeterTestNumber.LOAD_SWITCH)[1]))
    assert bench.meter.displayed == {MeterTestNumber.LOAD_SWITCH: "fault"}


def test_tests_that_are_not_built_in_are_told():
    bench = Bench()
    for token in (
        generic_tests(MeterTestNumber.WATER_FACTOR)[0],
        MeterTest(MeterTestSubclass.SHORT_MFR_CODE, 1 << 35),
        MeterTest(MeterTestSubclass.MANUFACTURER_6, 1),
        ExtendedRead(0, selector=1),
        ExtendedRead(63, selector=1),
    ):
        assert bench.types(bench.token(token)) is TokenResult.FUNCTION_ERROR
    assert bench.meter.displayed == {}


# --- kept values ----------------------------------------------------------------------------------


def test_a_tariff_rate_is_kept_and_shown():
    bench = Bench()
    assert bench.types(bench.token(TariffRate(5, bench.tid(), 65_535))) is ACCEPT
    bench.types(bench.token(generic_tests(MeterTestNumber.TARIFF_RATE)[0]))
    assert bench.meter.displayed == {MeterTestNumber.TARIFF_RATE: "65535"}


def test_only_a_water_meter_has_a_water_factor():
    bench = Bench(service=Service.WATER)
    assert bench.types(bench.token(WaterFactor(5, bench.tid(), 7))) is ACCEPT
    bench.types(bench.token(generic_tests(MeterTestNumber.WATER_FACTOR)[0]))
    assert bench.meter.displayed == {MeterTestNumber.WATER_FACTOR: "7"}


def test_controls_are_set_and_read_back():
    bench = Bench()
    assert bench.types(bench.token(SetControl(5, bench.tid(), 62, 1023))) is ACCEPT
    assert bench.types(bench.token(ExtendedRead(62))) is ACCEPT
    assert bench.meter.displayed == {ShownControl(62): "1023"}
    bench.types(bench.token(ExtendedRead(0)))
    assert bench.meter.displayed == {ShownControl(0): "0"}


@pytest.mark.parametrize("flag", [0, 1, 11, 511])
def test_flags_are_set_and_read_back(flag):
    bench = Bench()
    told = []
    for on in (True, False):
        assert bench.types(bench.token(SetFlag(5, bench.tid(), flag, on))) is ACCEPT
        assert bench.types(bench.token(ExtendedRead(63, selector=flag << 21))) is ACCEPT
        told.append(bench.meter.displayed)
    assert told == [{ShownFlag(flag): "on"}, {ShownFlag(flag): "off"}]


def test_a_power_cut_keeps_what_was_set():
    bench = Bench()
    bench.types(bench.token(SetControl(5, bench.tid(), 1, 5)))
    bench.meter.power_cut(bench.now)
    bench.meter.power_on(bench.now)
    bench.types(bench.token(ExtendedRead(1)))
    assert bench.meter.displayed == {ShownControl(1): "5"}


# --- lock-out -------------------------------------------------------------------------------------


def test_the_lock_out_doubles_up_to_its_longest():
    bench = Bench()
    locks = []
    for _ in range(12):
        assert bench.types("00000000000000000001") is CRC
        locks.append(bench.meter.decoder.locked_s(bench.now))
        bench.wait(locks[-1])
    assert locks == [0, 0, 10, 20, 40, 80, 160, 320, 640, 1280, 1280, 1280]


def test_in_a_lock_out_tokens_are_not_looked_at_but_class_1_works():
    bench = Bench()
    good, wrong = bench.credit(10), "00000000000000000001"
    for _ in range(3):
        bench.types(wrong)
    entry = bench.meter.customer_types(good, bench.now)
    assert (entry.result, entry.lockout_s, entry.tid) == (LOCKED, 10, None)
    assert bench.types(bench.token(generic_tests(MeterTestNumber.KRN)[0])) is ACCEPT
    assert bench.types(good) is LOCKED
    bench.wait(9.5)
    assert bench.types(good) is LOCKED
    bench.wait(0.5)
    assert bench.types(good) is ACCEPT
    assert [bench.types(wrong) for _ in range(3)] == [CRC] * 3


def test_a_power_cycle_ends_the_lock_out():
    bench = Bench()
    for _ in range(3):
        bench.types("00000000000000000001")
    bench.meter.power_cut(bench.now)
    bench.meter.power_on(bench.now)
    assert bench.types(bench.credit(10)) is ACCEPT


def test_used_tokens_arm_no_lock_out():
    bench = Bench()
    token = bench.credit(10)
    assert [bench.types(token) for _ in range(6)] == [ACCEPT] + [USED] * 5


# --- key change -----------------------------------------------------------------------------------


def test_a_half_key_change_is_forgotten_in_time():
    bench = Bench(key_change_timeout_s=120)
    first, *rest = bench.key_change(a_key(krn=2))
    assert bench.types(first) is TokenResult.FIRST_KCT
    assert bench.types(first) is TokenResult.KCT_AWAITED
    assert bench.meter.decoder.sections_pending == 3
    bench.wait(120)
    assert bench.meter.decoder.sections_pending == 0
    assert bench.meter.events.since(0)[-1].type is EventType.KEY_CHANGE_HALF_DONE
    assert [bench.types(token) for token in rest] == [
        TokenResult.SECOND_KCT,
        TokenResult.THIRD_KCT,
        TokenResult.FOURTH_KCT,
    ]
    assert bench.meter.decoder.krn == 1
    assert bench.types(first) is ACCEPT
    assert bench.meter.decoder.krn == 2


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_parts_of_a_key_change_come_in_any_order(order):
    bench = Bench()
    tokens = bench.key_change(a_key(krn=2, ken=85))
    part_of = [
        TokenResult.FIRST_KCT,
        TokenResult.SECOND_KCT,
        TokenResult.THIRD_KCT,
        TokenResult.FOURTH_KCT,
    ]
    *early, last = order
    assert [bench.types(tokens[place]) for place in early] == [part_of[place] for place in early]
    assert (bench.meter.decoder.krn, bench.meter.decoder.ken) == (1, 255)
    assert bench.types(tokens[last]) is ACCEPT
    assert (bench.meter.decoder.krn, bench.meter.decoder.ken) == (2, 85)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_three_parts_of_an_ea07_change_come_in_any_order(order):
    bench = Bench(algorithm=EncryptionAlgorithm.STA)
    tokens = bench.key_change(a_key(krn=2, sgc=123456), three_kct=True)
    results = [bench.types(tokens[place]) for place in order]
    assert results[-1] is ACCEPT
    assert ACCEPT not in results[:-1]
    assert (bench.meter.decoder.krn, bench.meter.decoder.sgc) == (2, 123456)


def test_without_a_rollover_the_tids_stay_used():
    bench = Bench()
    tid = bench.tid()
    bench.types(bench.credit(10, tid=tid))
    change = bench.key_change(a_key(krn=2))
    assert [bench.types(token) for token in change][-1] is ACCEPT
    under_new = cipher_for(
        derive(
            a_key(krn=2),
            MeterPan.of(bench.meter.plate.drn),
            tariff_index=2,
            algorithm=EncryptionAlgorithm.MISTY1,
        ),
        bench.meter.plate.tables,
    )
    again = encode(CreditUnits(CreditSubclass.ELECTRICITY, 5, tid, 10), under_new)
    assert bench.types(again) is USED


def test_credit_between_the_parts_of_a_key_change_is_taken_under_the_old_key():
    bench = Bench()
    first, *rest = bench.key_change(a_key(krn=2))
    old_credit, dead_credit = bench.credit(10), bench.credit(10)
    assert bench.types(first) is TokenResult.FIRST_KCT
    assert bench.types(old_credit) is ACCEPT
    for token in rest:
        bench.types(token)
    assert bench.types(dead_credit) is CRC


def test_a_rollover_empties_the_store_and_keeps_the_credit():
    old = a_key(base_date=BaseDate.Y1993)
    bench = Bench(key=old, made_at=BaseDate.Y1993.epoch, now=datetime(2024, 6, 1, tzinfo=UTC))
    new_key = a_key(krn=2)
    for token in bench.key_change(new_key):
        result = bench.types(token)
    assert result is ACCEPT
    assert bench.meter.decoder.base_date is BaseDate.Y2014
    assert bench.meter.credit_milli == 100_000
    fresh = Bench(key=new_key, now=bench.now)
    moved = bench.meter.decoder
    assert moved.judge(fresh.token(PowerLimit(0, 5, 1)), bench.now).result is CRC  # TI differs


@pytest.mark.parametrize("three_kct", [False, True])
def test_ea07_meters_take_two_or_three_sections(three_kct):
    bench = Bench(algorithm=EncryptionAlgorithm.STA)
    new = a_key(krn=2, sgc=123456 if three_kct else 201457)
    tokens = bench.key_change(new, three_kct=three_kct)
    results = [bench.types(token) for token in tokens]
    assert results[-1] is ACCEPT
    assert len(results) == (3 if three_kct else 2)
    assert (bench.meter.decoder.krn, bench.meter.decoder.sgc) == (2, new.sgc)


def test_a_forbidden_key_type_is_told():
    common = Bench(key=a_key(key_type=KeyType.UNIQUE))
    forged = common.key_change(a_key(krn=3))[0]
    common.meter.decoder.key_type = KeyType.COMMON
    assert common.types(forged) is TokenResult.KEY_TYPE_ERROR


# --- credit, supply, clock ------------------------------------------------------------------------


def test_supply_goes_off_to_the_second_when_credit_is_out_and_comes_back_with_credit():
    bench = Bench(credit_milli=1_000, load=2_000)
    bench.wait(3600)
    meter = bench.meter
    assert (meter.credit_milli, meter.import_milli) == (0, 1_000)
    assert not meter.lit
    assert meter.circuit.cause is DarkCause.OUT_OF_CREDIT
    off = next(e for e in meter.events.since(0) if e.type is EventType.CREDIT_OUT)
    assert off.at == START + timedelta(minutes=30)
    assert bench.types(bench.credit(20)) is ACCEPT
    assert meter.lit


def test_a_meter_with_a_button_waits_for_it():
    bench = Bench(credit_milli=0, needs_button=True)
    bench.types(bench.credit(20))
    assert bench.meter.relay.control is ControlState.READY
    assert bench.meter.circuit.cause is None
    bench.meter.press_button(bench.now)
    assert bench.meter.lit


def test_the_button_does_nothing_without_credit():
    bench = Bench(credit_milli=0, needs_button=True)
    bench.meter.press_button(bench.now)
    assert not bench.meter.lit


def test_contacts_that_do_not_follow_are_paid_but_dark():
    bench = Bench(credit_milli=0)
    bench.meter.set_relay_fault(True, bench.now)
    assert bench.types(bench.credit(20)) is ACCEPT
    assert bench.meter.relay.control is ControlState.CONNECTED
    assert not bench.meter.lit
    assert bench.meter.circuit.cause is DarkCause.RELAY_FAULT
    bench.meter.set_relay_fault(False, bench.now)
    assert bench.meter.lit


def test_welded_contacts_go_on_letting_current_through():
    bench = Bench(credit_milli=500, load=1_000)
    bench.meter.set_relay_fault(True, bench.now)
    bench.wait(3600)
    assert (bench.meter.import_milli, bench.meter.credit_milli) == (1_000, -500)
    types = [event.type for event in bench.meter.events.since(0)]
    assert EventType.CURRENT_WHILE_OPEN in types


def test_a_tamper_lock_needs_its_token():
    bench = Bench()
    bench.meter.tamper(bench.now)
    assert bench.meter.circuit.cause is DarkCause.TAMPER_LOCK
    assert bench.types(bench.credit(10)) is ACCEPT
    assert not bench.meter.lit
    assert bench.types(bench.token(ClearTamper(5, bench.tid()))) is ACCEPT
    assert bench.meter.lit


def test_too_much_load_trips_and_the_button_brings_it_back():
    bench = Bench()
    bench.types(bench.token(PowerLimit(5, bench.tid(), 2_000)))
    bench.meter.set_load(3_000, bench.now)
    assert bench.meter.circuit.cause is DarkCause.OVERLOAD
    bench.meter.press_button(bench.now)
    assert not bench.meter.lit
    bench.meter.set_load(1_000, bench.now)
    bench.meter.press_button(bench.now)
    assert bench.meter.lit


def order(bench, ident, command, **more):
    bench.meter.order_supply(
        SupplyOrder(id=ident, command=command, due_at=bench.now, **more), bench.now
    )
    answer = bench.meter.circuit.port.answer
    assert answer is not None
    return answer.result


def test_supply_orders_set_and_permission_waits_for_the_button():
    bench = Bench()
    assert order(bench, 1, SupplyCommand.OPEN) is SupplyResult.DONE
    assert bench.meter.circuit.cause is DarkCause.DISCONNECTED
    assert order(bench, 2, SupplyCommand.CLOSE_NOW) is SupplyResult.NOT_AUTHORISED
    assert order(bench, 3, SupplyCommand.PERMIT_CLOSE) is SupplyResult.DONE
    assert bench.meter.relay.control is ControlState.READY
    bench.meter.press_button(bench.now)
    assert order(bench, 3, SupplyCommand.OPEN) is SupplyResult.DONE  # a repeat, not done again
    assert bench.meter.lit


def test_an_order_past_its_time_is_refused():
    bench = Bench()
    late = {"until": bench.now - timedelta(seconds=1)}
    assert order(bench, 1, SupplyCommand.OPEN, **late) is SupplyResult.EXPIRED
    assert bench.meter.lit


def test_a_permission_without_credit_says_so_and_works_with_the_next_token():
    bench = Bench(credit_milli=0)
    order(bench, 1, SupplyCommand.OPEN)
    assert order(bench, 2, SupplyCommand.PERMIT_CLOSE) is SupplyResult.NO_CREDIT
    bench.types(bench.credit(10))
    assert bench.meter.lit


def test_the_clock_drifts_and_can_be_set():
    bench = Bench(drift_ppm=100)
    bench.wait(1_000_000)
    assert bench.meter.clock.at(bench.now) - bench.now == timedelta(seconds=100)
    bench.meter.set_clock(bench.now, bench.now)
    assert bench.meter.clock.at(bench.now) == bench.now


# --- remote entry ---------------------------------------------------------------------------------


def test_a_request_is_answered_when_judged_and_repeated_without_acting():
    bench = Bench(processing_s=0.5)
    meter, token = bench.meter, bench.credit(10)
    meter.submit(7, token, bench.now)
    assert meter.token_port.known(7) is None
    with pytest.raises(Busy):
        meter.submit(8, bench.credit(10), bench.now)
    bench.wait(0.5)
    assert bench.remembered(7) is ACCEPT
    meter.submit(7, token, bench.now)
    assert meter.token_port.pending is None
    assert bench.told() is ACCEPT
    meter.submit(7, bench.credit(10), bench.now)
    assert bench.told() is TokenResult.REQUEST_ID_USED
    meter.submit(9, token, bench.now)
    bench.wait(1)
    assert bench.told() is USED


def test_a_locked_out_request_may_come_again_under_its_id():
    bench = Bench()
    for _ in range(3):
        bench.types("00000000000000000001")
    token = bench.credit(10)
    bench.meter.submit(7, token, bench.now)
    bench.wait(1)
    assert bench.told() is LOCKED
    bench.wait(10)
    bench.meter.submit(7, token, bench.now)
    bench.wait(1)
    assert bench.told() is ACCEPT


@pytest.mark.parametrize(("dying", "credited"), [(Dying.BEFORE, 0), (Dying.AFTER, 1_000)])
def test_dying_in_the_middle_loses_the_answer_and_never_the_state(dying, credited):
    bench = Bench(credit_milli=5_000)
    token = bench.credit(10)
    bench.meter.faults.dying = dying
    bench.meter.faults.down_s = 4
    bench.meter.submit(7, token, bench.now)
    bench.wait(1)
    assert not bench.meter.powered
    with pytest.raises(MeterDown):
        bench.meter.submit(7, token, bench.now)
    bench.wait(4)
    assert bench.meter.credit_milli == 5_000 + credited
    bench.meter.submit(7, token, bench.now)
    bench.wait(1)
    assert bench.told() is ACCEPT
    assert bench.meter.credit_milli == 6_000


def test_ten_answers_are_remembered():
    bench = Bench()
    tokens = [bench.credit(10) for _ in range(11)]
    for request, token in enumerate(tokens):
        bench.meter.submit(request, token, bench.now)
        bench.wait(1)
    assert bench.meter.token_port.known(0) is None
    assert all(bench.meter.token_port.known(request) for request in range(1, 11))
    assert len(bench.meter.tokens.newest_first()) == 10
    assert bench.meter.tokens.accepted == 11


# --- properties -----------------------------------------------------------------------------------

ways = st.sampled_from(["keypad", "wire", "same id", "power cut", "die before", "die after"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), ways), max_size=25))
def test_a_token_credits_at_most_once_whatever_happens(entries):
    bench = Bench(credit_milli=1_000)
    tokens = [bench.credit(1 << place) for place in range(3)]
    for turn, (place, way) in enumerate(entries):
        enter(bench, tokens[place], way, request=place if way == "same id" else 100 + turn)
        bench.wait(10)
    credited = (bench.meter.credit_milli - 1_000) // 100
    assert 0 <= credited <= 0b111
    taken = {entry.tid for entry in bench.meter.tokens.newest_first() if entry.result is ACCEPT}
    assert credited.bit_count() >= len(taken)


def enter(bench: Bench, token: str, way: str, *, request: int) -> None:
    if way == "keypad":
        bench.types(token)
        return
    if way == "power cut":
        bench.meter.submit(request, token, bench.now)
        bench.meter.power_cut(bench.now, back_in_s=1)
        return
    if way.startswith("die"):
        bench.meter.faults.dying = Dying(way.removeprefix("die "))
    bench.meter.submit(request, token, bench.now)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="0123456789", min_size=18, max_size=21), max_size=20))
def test_no_text_ever_credits_or_crashes(texts):
    bench = Bench(credit_milli=1_000)
    for text in texts:
        assert bench.types(text) is not None
    assert bench.meter.credit_milli == 1_000


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 50_000),
    st.integers(0, 30_000),
    st.lists(st.integers(0, 400_000), min_size=1, max_size=12),
)
def test_energy_and_credit_are_conserved_to_the_last_thousandth(credit, load, waits):
    bench = Bench(credit_milli=credit, load=load)
    for seconds in waits:
        bench.wait(seconds / 100)
    meter = bench.meter
    assert meter.credit_milli >= 0
    assert meter.import_milli + meter.credit_milli in (credit, credit + 1, credit - 1)
