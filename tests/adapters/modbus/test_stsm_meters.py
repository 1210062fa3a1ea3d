"""The driver and simulated STSM meters, which were written apart: on every kind of line."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.simulators.faults import Dying, Fate, Faults
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stsm_registers import StsmRegisters
from headend.agenda import Urgency
from headend.commands import SetSupply
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Resting
from headend.events import EventType
from headend.meters import BusName, Drn, KeyType, Meter, ProfileName, Route, StsConfiguration
from headend.quantities import Currency, fits
from headend.readings import ReadingType
from headend.supply import (
    Contacts,
    ControlState,
    DarkCause,
    SupplyAction,
    SupplyReason,
    SupplyState,
)
from headend.tokens import Token, TokenPurpose, TokenResult
from protocols.sts.credit import CreditCurrency
from protocols.sts.tables import CreditSubclass
from tests.adapters.simulators.benches import DRN, Bench, a_key
from tests.builders import TENANT, a_meter

PROFILES = load_profiles()
WAYS = ("tcp", "rtu over tcp", "serial")
UNIT = 17


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class BadWire(Faults):
    """Faults by a script, or by chance: every fourth answer lost, garbled or late."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: list[Fate] = []
        self.chance: random.Random | None = None

    def next_fate(self) -> Fate:
        if self.fates:
            return self.fates.pop(0)
        if self.chance is None or self.chance.random() > 0.25:
            return super().next_fate()
        return self.chance.choice((Fate(lost=True), Fate(garbled=True), Fate(delay_s=0.15)))


class Site:
    """A simulated meter on a line, and our driver at the other end."""

    def __init__(
        self, bench: Bench, wire: BadWire, simulated: SimulatedLine, line: ModbusLine
    ) -> None:
        self.bench = bench
        self.meter = bench.meter
        self.wire = wire
        self.simulated = simulated
        self.line = line
        self.driver = ModbusDriver(line, PROFILES, WallClock())
        self._sequence = 0

    def open(self, meter: Meter | None = None):
        return self.driver.open(meter or the_meter())

    def token(self, tenths: int) -> Token:
        self._sequence += 1
        tid = self.bench.tid()
        return Token(
            id=f"token-{self._sequence}",
            tenant=TENANT,
            drn=Drn(DRN),
            delivery_id="delivery",
            sequence=1,
            purpose=TokenPurpose.CREDIT,
            digits=self.bench.credit(tenths, tid=tid),
            tid=tid,
        )


def the_meter(
    unit: int = UNIT, profile: str = "stsm", drn: str = DRN, currency: str | None = None
) -> Meter:
    route = Route(BusName("line"), str(unit))
    return a_meter(drn=Drn(drn), profile=ProfileName(profile), route=route, currency=currency)


@asynccontextmanager
async def a_site(
    way: str = "rtu over tcp", *, timeout_s: float = 0.4, quiet_s: float = 0.3, **settings
) -> AsyncIterator[Site]:
    now = settings.pop("now", None) or WallClock().now()
    bench = Bench(now=now, processing_s=0.1, **settings)
    wire = BadWire()
    bench.meter.faults = wire
    unit = ModbusUnit(StsmRegisters(bench.meter, exponent=-2), bench.meter, wire)
    async with SimulatedLine({UNIT: unit}, clock=WallClock()) as simulated:
        match way:
            case "tcp":
                url, framing = f"tcp://127.0.0.1:{await simulated.serve_tcp()}", "tcp"
            case "rtu over tcp":
                url, framing = f"tcp://127.0.0.1:{await simulated.serve_rtu_over_tcp()}", "rtu"
            case _:
                url, framing = f"serial://{simulated.serve_terminal()}?baud=19200", "rtu"
        line = ModbusLine(url, framing=framing, timeout_s=timeout_s, quiet_s=quiet_s)
        yield Site(bench, wire, simulated, line)
        await line.aclose()


@pytest.mark.parametrize("way", WAYS)
async def test_a_recharge_lights_a_meter(way: str):
    async with a_site(way, credit_milli=0, load=1000) as site:
        token = site.token(256)
        async with site.open() as session:
            dark = await session.supply()
            outcome = await session.enter_token(token, attempt=0)
            lit = await session.supply()
            readings = {reading.type: reading.value for reading in await session.read()}
    assert (dark.state, dark.cause) == (SupplyState.DARK, DarkCause.OUT_OF_CREDIT)
    assert outcome.result is TokenResult.ACCEPT
    assert (outcome.tid, outcome.amount) == (token.tid, Decimal("25.6"))
    assert outcome.credit_before == 0
    assert Decimal("25.5") < (outcome.credit_after or 0) <= Decimal("25.6")
    assert lit.state is SupplyState.ON
    assert readings.keys() == {
        ReadingType.CREDIT_LEFT_MILLI,
        ReadingType.ENERGY_IMPORT_WH,
        ReadingType.POWER_W,
    }
    assert 25_500 < readings[ReadingType.CREDIT_LEFT_MILLI] <= 25_600
    assert readings[ReadingType.POWER_W] == 1000


@pytest.mark.parametrize("way", WAYS)
async def test_the_events_of_a_meter_are_read_once_each(way: str):
    async with a_site(way) as site, site.open() as session:
        for _ in range(20):
            site.meter.tamper(WallClock().now())
        first = await session.events(after=0)
        assert [event.number for event in first] == list(range(1, len(first) + 1))
        assert {event.type for event in first} >= {EventType.METER_COVER_OPENED}
        assert await session.events(after=first[-1].number) == []
        site.meter.customer_types("1" * 20, WallClock().now())
        (rejected,) = await session.events(after=first[-1].number)
        assert rejected.type is EventType.TOKEN_REJECTED


async def test_past_days_are_told_as_the_meter_lived_them():
    now = WallClock().now()
    long_ago = now - timedelta(days=40)
    async with (
        a_site(load=1000, credit_milli=10**9, now=long_ago) as site,
        site.open() as session,
    ):
        history = await session.history(since=None)
    days = [each for each in history if each.type is ReadingType.ENERGY_IMPORT_DAY_WH]
    months = [each for each in history if each.type is ReadingType.ENERGY_IMPORT_WH]
    assert {each.value for each in days} == {24_000}
    assert len(days) == 31
    assert days[0].taken_at == now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert months
    assert {each.taken_at.day for each in months} == {1}


async def test_what_was_bought_in_a_month_is_told_at_its_end():
    long_ago = WallClock().now() - timedelta(days=70)
    async with a_site(credit_milli=0, now=long_ago) as site:
        for tenths in (256, 44):
            site.meter.customer_types(site.bench.credit(tenths), long_ago)
        async with site.open() as session:
            history = await session.history(since=None)
    kind = ReadingType.CREDIT_BOUGHT_MONTH_MILLI
    bought = sorted((each.taken_at, each.value) for each in history if each.type is kind)
    assert [value for _, value in bought] == [30_000, *[0] * (len(bought) - 1)]
    assert len(bought) >= 2


async def test_a_currency_meter_is_sold_its_money_and_no_other():
    async with a_site(credit_milli=0, currency="ZAR") as site:
        tid = site.bench.tid()
        credit = CreditCurrency(CreditSubclass.ELECTRICITY_CURRENCY, tid, 10_000_000)
        token = replace(site.token(1), digits=site.bench.token(credit), tid=tid)
        async with site.open(the_meter(currency="ZAR")) as session:
            outcome = await session.enter_token(token, attempt=0)
        encoded = Currency(Decimal(credit.encoded_1e5) / 100_000, "ZAR")
        assert outcome.result is TokenResult.ACCEPT
        assert outcome.amount is not None
        assert fits(encoded, outcome.amount)
        for currency in ("EUR", None):
            with pytest.raises(Misconfigured, match="currency"):
                async with site.open(the_meter(currency=currency)):
                    pass


async def test_the_key_is_told_as_the_meter_holds_it_after_a_change():
    async with a_site() as site, site.open() as session:
        before = await session.sts_configuration()
        for digits in site.bench.key_change(a_key(krn=3, sgc=123456)):
            site.bench.types(digits)
        after = await session.sts_configuration()
    assert before == StsConfiguration("201457", 1, 1, KeyType.UNIQUE, 11)
    assert after == StsConfiguration("123456", 3, 2, KeyType.UNIQUE, 11)


@pytest.mark.parametrize("way", WAYS)
async def test_a_repeat_after_a_lost_answer_credits_once(way: str):
    async with a_site(way) as site:
        token = site.token(100)
        async with site.open() as session:
            assert await session.token_outcome(token) is None
            site.wire.fates = [Fate(), Fate(lost=True)]  # credit is read, the write is not answered
            with pytest.raises(NoAnswer):
                await session.enter_token(token, attempt=0)
        async with site.open() as session:
            remembered = await session.token_outcome(token)
            again = await session.enter_token(token, attempt=0)
    assert remembered is not None
    assert remembered.result is TokenResult.ACCEPT
    assert again.result is TokenResult.ACCEPT
    assert site.meter.credit_milli == 110_000


async def test_the_same_token_under_another_id_is_used_and_the_log_tells_whose():
    async with a_site() as site:
        token = site.token(100)
        async with site.open() as session:
            await session.enter_token(token, attempt=0)
            used = await session.enter_token(token, attempt=1)
            evidence = await session.token_outcome(token)
    assert used.result is TokenResult.USED_ERROR
    assert evidence is not None
    assert (evidence.result, evidence.amount) == (TokenResult.ACCEPT, Decimal(10))


async def test_a_token_typed_by_the_customer_is_seen():
    async with a_site() as site:
        token = site.token(100)
        site.meter.customer_types(token.digits, WallClock().now())
        async with site.open() as session:
            seen = await session.token_outcome(token)
    assert seen is not None
    assert (seen.result, seen.amount) == (TokenResult.ACCEPT, Decimal(10))


async def test_a_wrong_key_refuses_and_then_locks_out():
    async with a_site(wrong_until_lock=2) as site:
        site.meter.set_wrong_key(True)
        async with site.open() as session:
            results = [await session.enter_token(site.token(100), attempt=0) for _ in range(4)]
            assert await session.token_outcome(site.token(1)) is None
    assert results[0].result.refused
    assert results[-1].result is TokenResult.LOCK_OUT
    assert results[-1].lockout_s > 0


async def test_power_lost_just_after_a_token_was_judged_does_not_hide_the_judgement():
    async with a_site() as site:
        site.meter.faults.dying = Dying.AFTER
        site.meter.faults.down_s = 1.0
        token = site.token(100)
        async with site.open() as session:
            outcome = await session.enter_token(token, attempt=0)
        assert outcome.result is TokenResult.ACCEPT
        assert site.meter.credit_milli == 110_000


async def test_a_busy_meter_is_not_sent():
    async with a_site() as site:
        async with site.open() as session:
            await session.read()
            site.meter.faults.busy = True
            with pytest.raises(NotSent):
                await session.enter_token(site.token(100), attempt=0)
        assert site.meter.credit_milli == 100_000


async def test_a_silent_meter_leaves_nothing_in_doubt_before_the_token_is_sent():
    async with a_site() as site, site.open() as session:
        site.meter.faults.silent = True
        with pytest.raises(NotSent):
            await session.enter_token(site.token(100), attempt=0)


def an_order(action: SupplyAction) -> SetSupply:
    until = WallClock().now() + timedelta(minutes=5)
    return SetSupply(action=action, reason=SupplyReason.CUSTOMER_REQUEST, expires_at=until)


async def test_supply_is_opened_and_permitted_again():
    async with a_site(needs_button=True) as site, site.open() as session:
        await session.set_supply(an_order(SupplyAction.OPEN), order_id="order-1")
        opened = await session.supply()
        await session.set_supply(an_order(SupplyAction.OPEN), order_id="order-1")
        await session.set_supply(an_order(SupplyAction.PERMIT_CLOSE), order_id="order-2")
        waiting = await session.supply()
        site.meter.press_button(WallClock().now())
        lit = await session.supply()
    assert (opened.contacts, opened.cause) == (Contacts.OPEN, DarkCause.DISCONNECTED)
    assert (waiting.control, waiting.state) == (ControlState.READY, SupplyState.BUTTON)
    assert lit.state is SupplyState.ON


async def test_supply_orders_that_the_meter_refuses():
    async with a_site() as site:
        site.meter.tamper(WallClock().now())
        async with site.open() as session:
            with pytest.raises(Refused, match="tamper"):
                await session.set_supply(an_order(SupplyAction.PERMIT_CLOSE), order_id="order-1")
            locked = await session.supply()
    assert (locked.state, locked.cause) == (SupplyState.DARK, DarkCause.TAMPER_LOCK)


async def test_a_broken_relay_is_a_fault_and_no_success():
    async with a_site(credit_milli=0) as site:
        site.meter.set_relay_fault(True, WallClock().now())
        async with site.open() as session:
            outcome = await session.enter_token(site.token(100), attempt=0)
            supply = await session.supply()
    assert outcome.result is TokenResult.ACCEPT
    assert (supply.state, supply.cause) == (SupplyState.DARK, DarkCause.RELAY_FAULT)


async def test_the_clock_is_set():
    async with a_site() as site:
        now = WallClock().now()
        site.meter.set_clock(now - timedelta(days=3), now)
        async with site.open() as session:
            await session.set_clock(WallClock().now())
        assert abs(site.meter.clock.at(WallClock().now()) - WallClock().now()) < timedelta(
            seconds=5
        )


async def test_another_meter_at_the_address_is_not_sent_a_token():
    async with a_site() as site:
        with pytest.raises(Misconfigured, match=DRN):
            async with site.open(the_meter(drn="12345678903")):
                pass
        with pytest.raises(Misconfigured):
            async with site.open(the_meter(profile="eastron-sdm630")):
                pass


async def test_meters_of_two_models_share_a_line():
    async with a_site() as site:
        energy = EnergyMeter(WallClock().now(), load=2300)
        site.simulated.units = dict(site.simulated.units) | {
            5: ModbusUnit(SdmRegisters(energy), energy, site.meter.faults)
        }

        async def stsm() -> int:
            async with site.open() as session:
                return len(await session.read())

        async def sdm() -> dict[ReadingType, int]:
            async with site.open(the_meter(unit=5, profile="eastron-sdm630")) as session:
                return {reading.type: reading.value for reading in await session.read()}

        answers = await asyncio.gather(stsm(), sdm(), stsm(), sdm())
    assert (answers[0], answers[2]) == (3, 3)
    assert answers[3][ReadingType.POWER_W] == 2300
    assert answers[3][ReadingType.VOLTAGE_L2_MV] == 230_000
    assert answers[3][ReadingType.FREQUENCY_MHZ] == 50_000


@pytest.mark.parametrize("way", WAYS)
async def test_a_bad_line_loses_answers_but_no_money(way: str):
    async with a_site(way, timeout_s=0.1, quiet_s=0.1) as site:
        site.wire.chance = random.Random(5)
        for _ in range(10):
            await entered_in_the_end(site, site.token(10))
        site.wire.chance = None
        assert site.meter.credit_milli == 110_000
        (unit,) = site.line.way.status().stations
        assert unit.requests > unit.replies + 10


async def entered_in_the_end(site: Site, token: Token) -> None:
    """What the head-end does with one token: look first where it may be in, then enter it."""
    doubt = False
    for _ in range(50):
        try:
            async with site.driver.open(the_meter(), urgency=Urgency.TOKEN) as session:
                outcome = await session.token_outcome(token) if doubt else None
                if outcome is None:
                    outcome = await session.enter_token(token, attempt=0)
        except NoAnswer:
            doubt = True
        except Resting as resting:
            await asyncio.sleep(resting.again_s)
        except NotSent:
            pass
        else:
            assert outcome.result is TokenResult.ACCEPT
            return
    raise AssertionError("never entered")
