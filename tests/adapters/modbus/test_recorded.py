"""Sessions with meters, against recorded exchanges: what is sent to the byte, and what it means."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from headend.commands import SetSupply
from headend.errors import (
    Misconfigured,
    NoAnswer,
    NotSent,
    Refused,
    Unsupported,
    WireError,
)
from headend.meters import BusName, Drn, KeyType, Meter, ProfileName, Route, StsConfiguration
from headend.ports import Session
from headend.readings import ReadingType
from headend.supply import Contacts, ControlState, SupplyAction, SupplyReason, SupplyState
from headend.tokens import Token, TokenPurpose, TokenResult
from tests.adapters.frames.replay import FRAMES, Replay
from tests.builders import TENANT, a_meter

pytestmark = pytest.mark.virtual_time

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DRN = Drn("12345678903")
TID = 17443644
PROFILES = load_profiles()


class StillClock:
    def now(self) -> datetime:
        return NOW


def the_meter(profile: str, *, currency: str | None = None) -> Meter:
    route = Route(BusName("line"), "17")
    return a_meter(drn=DRN, profile=ProfileName(profile), route=route, currency=currency)


def the_token(**fields: object) -> Token:
    values = {
        "id": "token-1",
        "tenant": TENANT,
        "drn": DRN,
        "delivery_id": "delivery-1",
        "sequence": 1,
        "purpose": TokenPurpose.CREDIT,
        "digits": "55556666777788889999",
        "tid": TID,
    }
    return Token(**(values | fields))  # type: ignore[arg-type]  # fields of many types by name


class Player:
    """A driver on a line that plays one file."""

    def __init__(self, name: str) -> None:
        self.profile = name.split("/", maxsplit=1)[0]
        self.replay = Replay(name)
        line = ModbusLine("tcp://replay:1", opener=self.replay.open)
        self.driver = ModbusDriver(line, PROFILES, StillClock())

    @asynccontextmanager
    async def session(self, *, currency: str | None = None) -> AsyncIterator[Session]:
        async with self.driver.open(the_meter(self.profile, currency=currency)) as session:
            yield session


@pytest.fixture
def play() -> Iterator[type[Player]]:
    """Players whose files must have been played to the end."""
    players: list[Player] = []

    class Watched(Player):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            players.append(self)

    yield Watched
    assert players
    assert all(player.replay.finished for player in players)


# --- STSM: tokens -------------------------------------------------------------------------------


async def test_a_token_is_entered_and_its_echo_told(play: type[Player]):
    async with play("stsm/recharge").session() as session:
        outcome = await session.enter_token(the_token(), attempt=0)
    assert outcome.result is TokenResult.ACCEPT
    assert outcome.tid == TID
    assert outcome.amount == Decimal("25.00")
    assert (outcome.credit_before, outcome.credit_after) == (Decimal("31.41"), Decimal("56.41"))
    assert outcome.at == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_lock_out_tells_its_seconds(play: type[Player]):
    async with play("stsm/lock-out").session() as session:
        outcome = await session.enter_token(the_token(), attempt=0)
    assert (outcome.result, outcome.lockout_s) == (TokenResult.LOCK_OUT, 80)
    assert outcome.amount is None


async def test_used_is_told_as_used(play: type[Player]):
    async with play("stsm/used").session() as session:
        outcome = await session.enter_token(the_token(), attempt=0)
    assert (outcome.result, outcome.tid, outcome.amount) == (TokenResult.USED_ERROR, TID, None)


async def test_after_a_lost_reply_the_result_is_read(play: type[Player]):
    player = play("stsm/lost-reply")
    with pytest.raises(NoAnswer):
        async with player.session() as session:
            await session.enter_token(the_token(), attempt=0)
    async with player.session() as session:
        outcome = await session.token_outcome(the_token())
    assert outcome is not None
    assert (outcome.result, outcome.amount) == (TokenResult.ACCEPT, Decimal("25.00"))


async def test_a_lost_or_busy_answer_about_the_result_is_only_asked_for_again(play: type[Player]):
    async with play("stsm/lost-result").session() as session:
        outcome = await session.enter_token(the_token(), attempt=0)
    assert outcome.result is TokenResult.ACCEPT


@pytest.mark.parametrize(
    ("name", "error"),
    [("busy", NotSent), ("commit-refused", Misconfigured), ("failed-inside", NoAnswer)],
)
async def test_a_token_that_the_channel_refuses(
    play: type[Player], name: str, error: type[WireError]
):
    with pytest.raises(error) as caught:
        async with play(f"stsm/{name}").session() as session:
            await session.enter_token(the_token(), attempt=0)
    assert type(caught.value) is error
    assert "5555" not in str(caught.value)


async def test_the_token_log_remembers_what_the_last_result_does_not(play: type[Player]):
    async with play("stsm/in-the-log").session() as session:
        outcome = await session.token_outcome(the_token())
    assert outcome is not None
    assert (outcome.result, outcome.amount) == (TokenResult.ACCEPT, Decimal("25.00"))


async def test_a_token_typed_by_hand_is_found_behind_our_used(play: type[Player]):
    async with play("stsm/typed-by-hand").session() as session:
        outcome = await session.token_outcome(the_token())
    assert outcome is not None
    assert (outcome.result, outcome.amount) == (TokenResult.ACCEPT, Decimal("25.00"))


async def test_a_meter_that_never_saw_the_token_says_nothing(play: type[Player]):
    async with play("stsm/unknown-token").session() as session:
        assert await session.token_outcome(the_token()) is None


async def test_a_meter_that_never_had_a_token_says_nothing(play: type[Player]):
    async with play("stsm/never-used").session() as session:
        assert await session.token_outcome(the_token()) is None


async def test_a_token_in_process_is_waited_for(play: type[Player]):
    async with play("stsm/in-process").session() as session:
        outcome = await session.token_outcome(the_token())
    assert outcome is not None
    assert outcome.result is TokenResult.ACCEPT


async def test_a_result_that_does_not_come_is_no_answer(play: type[Player]):
    with pytest.raises(NoAnswer, match="no result within"):
        async with play("stsm/no-result").session() as session:
            await session.enter_token(the_token(), attempt=0)


# --- STSM: readings, supply, clock ---------------------------------------------------------------


async def test_the_readings_of_an_stsm_meter(play: type[Player]):
    async with play("stsm/readings").session() as session:
        readings = await session.read()
    assert {reading.type: reading.value for reading in readings} == {
        ReadingType.CREDIT_LEFT_MILLI: 314_150,
        ReadingType.ENERGY_IMPORT_WH: 123_456_789,
        ReadingType.POWER_W: 1417,
    }


async def test_supply_is_told(play: type[Player]):
    async with play("stsm/supply").session() as session:
        supply = await session.supply()
    assert (supply.contacts, supply.control) == (Contacts.CLOSED, ControlState.CONNECTED)
    assert supply.state is SupplyState.ON


def an_opening(*, expires_in_s: int = 60) -> SetSupply:
    return SetSupply(
        action=SupplyAction.OPEN,
        reason=SupplyReason.NON_PAYMENT,
        expires_at=NOW + timedelta(seconds=expires_in_s),
    )


async def test_supply_is_opened(play: type[Player]):
    async with play("stsm/supply-order").session() as session:
        await session.set_supply(an_opening(), order_id="order-1")


async def test_contacts_that_do_not_follow_are_a_refusal(play: type[Player]):
    async with play("stsm/supply-refused").session() as session:
        with pytest.raises(Refused, match="did not follow"):
            await session.set_supply(an_opening(), order_id="order-1")


async def test_an_expired_order_does_not_leave_us(play: type[Player]):
    async with play("stsm/supply").session() as session:
        with pytest.raises(Refused, match="expired"):
            await session.set_supply(an_opening(expires_in_s=0), order_id="order-1")
        await session.supply()


async def test_the_clock_is_set_and_read_back(play: type[Player]):
    async with play("stsm/clock").session() as session:
        await session.set_clock(NOW)


async def test_a_meter_that_keeps_its_own_time_is_a_refusal(play: type[Player]):
    async with play("stsm/clock-kept").session() as session:
        with pytest.raises(Refused, match="600 s off"):
            await session.set_clock(NOW)


async def test_a_meter_without_relay_takes_no_supply_order(play: type[Player]):
    async with play("stsm/no-relay").session() as session:
        with pytest.raises(Unsupported):
            await session.set_supply(an_opening(), order_id="order-1")


# --- STSM: the key --------------------------------------------------------------------------------


async def test_the_key_is_read_anew_every_time(play: type[Player]):
    async with play("stsm/key").session() as session:
        before = await session.sts_configuration()
        after = await session.sts_configuration()
    assert before == StsConfiguration("600675", 1, 1, KeyType.UNIQUE, 7)
    assert after == StsConfiguration("123456", 9, 99, KeyType.DEFAULT, 11)


async def test_numbers_that_no_key_has_tell_nothing(play: type[Player]):
    async with play("stsm/key-untold").session() as session:
        for _ in range(7):
            with pytest.raises(Unsupported, match="does not tell its key"):
                await session.sts_configuration()


async def test_the_key_of_another_meter_is_not_taken_for_that_of_ours(play: type[Player]):
    async with play("stsm/key-of-another").session() as session:
        with pytest.raises(Misconfigured, match="12345678911"):
            await session.sts_configuration()


# --- who is there --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("another-meter", "12345678911"),
        ("another-model", "STSM 0100"),
        ("water-meter", "does not sell electricity"),
        ("currency-meter", "currency"),
    ],
)
async def test_a_stranger_is_not_believed(play: type[Player], name: str, reason: str):
    with pytest.raises(Misconfigured, match=reason):
        async with play(f"stsm/{name}").session():
            pass


async def test_a_meter_that_counts_the_money_it_is_sold_in(play: type[Player]):
    async with play("stsm/money-meter").session(currency="ZAR") as session:
        outcome = await session.token_outcome(the_token())
    assert outcome is not None
    assert (outcome.amount, outcome.credit_after) == (Decimal("100.01"), Decimal("131.46"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other-money", "currency 978, and is sold ZAR 710"),
        ("unnamed-money", "does not tell"),
        ("units-not-money", "keeps its credit in units, and is sold ZAR"),
    ],
)
async def test_other_money_than_it_is_sold_in(play: type[Player], name: str, reason: str):
    with pytest.raises(Misconfigured, match=reason):
        async with play(f"stsm/{name}").session(currency="ZAR"):
            pass


async def test_nobody_at_the_address_leaves_nothing_in_doubt(play: type[Player]):
    with pytest.raises(NotSent):
        async with play("stsm/silence").session():
            pass


def test_every_recorded_exchange_has_a_test():
    names = ("test_recorded.py", "test_stsm_log.py", "test_stsm_parameters.py")
    tests = "".join((Path(__file__).parent / name).read_text() for name in names)
    files = sorted((FRAMES / "stsm").glob("*.frames"))
    assert files
    assert [path for path in files if f'{path.stem}"' not in tests] == []
