"""Sessions over a real broker with a scripted gateway: what each answer means to the core."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest

from adapters.mqtt.driver import MqttDriver
from headend.commands import SetSupply
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Unsupported, WireError
from headend.meters import Capability, KeyType, ProfileName, StsConfiguration
from headend.ports import Driver, Listener, TokenSeen
from headend.readings import Quality, ReadingType
from headend.supply import ControlState, SupplyAction, SupplyReason, SupplyState
from headend.tokens import TokenOutcome, TokenResult
from tests.adapters.mqtt.gateway import (
    NOON_MS,
    Body,
    Gateway,
    body,
    done,
    failed,
    gateway_at,
    received,
    status_topic,
    topic,
)
from tests.adapters.mqtt.headend_side import (
    HeadEnd,
    RealClock,
    a_head_end,
    a_meter,
    a_token,
    impatient,
    running,
)
from tests.servers.mosquitto import Mosquitto


@pytest.fixture(params=["5", "3.1.1"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def gateway(mosquitto: Mosquitto, version: str) -> AsyncIterator[Gateway]:
    async with gateway_at(mosquitto.port, version=version) as gateway:
        yield gateway


@pytest.fixture
async def headend(mosquitto: Mosquitto, version: str, gateway: Gateway) -> AsyncIterator[HeadEnd]:
    url = f"mqtt://127.0.0.1:{mosquitto.port}?version={version}"
    async with running(a_head_end(url, profiles=impatient())) as headend:
        yield headend


ACCEPTED = {
    "code": 1,
    "tid": 17_286,
    "amount": "25.6",
    "credit_before": "1.2",
    "balance": "26.8",
    "at": NOON_MS,
}


def test_it_is_what_the_core_asks_for(mosquitto: Mosquitto):
    headend = a_head_end(f"mqtt://127.0.0.1:{mosquitto.port}")
    driver: Driver = headend.driver
    listener: Listener = headend.driver
    assert isinstance(driver, MqttDriver)
    assert isinstance(listener, MqttDriver)


async def test_a_token_is_entered_and_its_echo_comes_back(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [received(command), done(command, **ACCEPTED)]
    token = a_token()
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.enter_token(token, attempt=0)
    assert outcome.result is TokenResult.ACCEPT
    assert (outcome.tid, outcome.amount) == (17_286, Decimal("25.6"))
    assert (outcome.credit_before, outcome.credit_after) == (Decimal("1.2"), Decimal("26.8"))
    (command,) = gateway.commands
    assert command["id"] == token.id
    assert command["args"] == {"token": token.digits, "request": token.id}
    assert TokenSeen(token_id=token.id, outcome=outcome) in headend.reports[-1].tokens


async def test_a_command_says_where_and_until_when(
    headend: HeadEnd, gateway: Gateway, version: str
):
    gateway.script = lambda command: [done(command, **ACCEPTED)]
    async with headend.driver.open(a_meter()) as session:
        await session.enter_token(a_token(), attempt=0)
    (command,), (packet,) = gateway.commands, gateway.packets
    assert command["reply"] == topic(f"res/{command['id']}")
    assert not packet.retain
    assert packet.qos == 1
    assert command["exp"] - command["ts"] == 122_000  # type: ignore[operator]
    if version == "5":
        assert packet.properties is not None
        properties = packet.properties.json()
        assert properties["ResponseTopic"] == command["reply"]
        assert bytes.fromhex(properties["CorrelationData"]) == str(command["id"]).encode()
        assert 1 <= properties["MessageExpiryInterval"] <= 2


async def test_after_a_lock_out_the_command_has_a_new_id(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [failed(command, code=15, lockout_s=80)]
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.enter_token(a_token(), attempt=2)
    assert (outcome.result, outcome.lockout_s) == (TokenResult.LOCK_OUT, 80)
    assert gateway.commands[0]["id"] == f"{a_token().id}.2"
    assert headend.reports[-1].tokens[0].token_id == a_token().id


@pytest.mark.parametrize("code", [4, 9, 10, 13, 16])
async def test_a_refusal_of_the_meter_is_an_outcome(headend: HeadEnd, gateway: Gateway, code: int):
    gateway.script = lambda command: [received(command), failed(command, code=code)]
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.enter_token(a_token(), attempt=0)
    assert outcome == TokenOutcome(result=TokenResult(code))


@pytest.mark.parametrize(
    "script",
    [
        lambda _: [],
        lambda command: [received(command)],
        lambda command: [received(command), {**received(command), "state": "running"}],
        lambda command: [{**received(command), "state": "unknown"}],
        lambda command: [done(command)],
        lambda command: [done(command, code=77)],
        lambda command: [failed(command, reason="no_answer")],
        lambda command: [failed(command, reason="something new")],
    ],
    ids=["silence", "received", "running", "unknown", "codeless", "strange", "unheard", "new"],
)
async def test_without_the_meters_word_nothing_is_known(headend: HeadEnd, gateway: Gateway, script):
    gateway.script = script
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer):
            await session.enter_token(a_token(), attempt=0)
    assert len(gateway.commands) == 1
    assert all(report.tokens == () for report in headend.reports)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("busy", NotSent),
        ("expired", NotSent),
        ("clock_invalid", NotSent),
        ("retained", NotSent),
        ("no_answer", NoAnswer),
        ("refused", Refused),
        ("unsupported", Unsupported),
        ("unknown_meter", Misconfigured),
        ("malformed", Misconfigured),
    ],
)
async def test_each_reason_says_what_to_do_next(
    headend: HeadEnd, gateway: Gateway, reason: str, error: type[WireError]
):
    gateway.script = lambda command: [failed(command, reason=reason)]
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(error):
            await session.set_clock(RealClock().now())


HELD = {"sgc": "201457", "krn": 1, "ti": 1, "kt": 2, "ea": 11}


async def test_the_key_is_asked_for_every_time(headend: HeadEnd, gateway: Gateway):
    keys = iter((HELD, HELD | {"krn": 2, "ti": 99, "kt": 1, "ea": 7, "sgc": "000001"}))
    gateway.script = lambda command: [received(command), done(command, sts=next(keys))]
    async with headend.driver.open(a_meter()) as session:
        before, after = await session.sts_configuration(), await session.sts_configuration()
    assert before == StsConfiguration("201457", 1, 1, KeyType.UNIQUE, 11)
    assert after == StsConfiguration("000001", 2, 99, KeyType.DEFAULT, 7)
    assert [command["verb"] for command in gateway.commands] == ["config", "config"]
    assert gateway.commands[0]["id"] != gateway.commands[1]["id"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda command: failed(command, reason="unsupported"),
        lambda command: failed(command, reason="malformed"),
        done,
        *(
            lambda command, bad=bad: done(command, sts=bad)
            for bad in (
                "201457",
                HELD | {"sgc": 201457},
                HELD | {"sgc": "20145"},
                HELD | {"krn": 0},
                HELD | {"krn": 10},
                HELD | {"krn": True},
                HELD | {"ti": 100},
                HELD | {"kt": 4},
                HELD | {"ea": 9},
                {"sgc": "201457", "krn": 1},
            )
        ),
    ],
)
async def test_a_gateway_that_does_not_tell_the_key_does_not_know_it(
    headend: HeadEnd, gateway: Gateway, answer
):
    gateway.script = lambda command: [answer(command)]
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(Unsupported):
            await session.sts_configuration()


async def test_a_gateway_that_is_silent_about_the_key_may_answer_later(
    headend: HeadEnd, gateway: Gateway
):
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer):
            await session.sts_configuration()


async def test_each_try_of_a_key_change_has_ids_of_its_own(headend: HeadEnd, gateway: Gateway):
    parts = iter((2, 3, 129, 130, 131, 1))
    gateway.script = lambda command: [done(command, code=next(parts))]
    async with headend.driver.open(a_meter()) as session:
        results = [
            (await session.enter_token(a_token(), attempt=attempt)).result
            for attempt in (1, 1, 1, 1, 2, 3)
        ]
    assert results == [
        TokenResult.FIRST_KCT,
        TokenResult.SECOND_KCT,
        TokenResult.THIRD_KCT,
        TokenResult.FOURTH_KCT,
        TokenResult.KCT_AWAITED,
        TokenResult.ACCEPT,
    ]
    ids = [command["id"] for command in gateway.commands]
    assert ids[3:] == [f"{a_token().id}.{attempt}" for attempt in (1, 2, 3)]


class RememberingGateway:
    """Enters a token once and answers a repeat from memory; loses the first answer."""

    def __init__(self) -> None:
        self.entered = 0
        self._memory: dict[object, Body] = {}

    def __call__(self, command: Body) -> list[Body]:
        if command["id"] in self._memory:
            return [self._memory[command["id"]]]
        self.entered += 1
        self._memory[command["id"]] = done(command, **ACCEPTED)
        return [received(command)]


async def test_after_a_lost_answer_the_same_id_asks_again(headend: HeadEnd, gateway: Gateway):
    gateway.script = memory = RememberingGateway()
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer):
            await session.enter_token(a_token(), attempt=0)
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.enter_token(a_token(), attempt=0)
    assert outcome.result is TokenResult.ACCEPT
    assert memory.entered == 1


async def test_a_late_result_is_still_told(headend: HeadEnd, gateway: Gateway):
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer):
            await session.enter_token(a_token(), attempt=1)
    await gateway.result(done(gateway.commands[0], **ACCEPTED))
    await headend.until(lambda: bool(headend.reports))
    (seen,) = headend.reports[0].tokens
    assert seen.token_id == a_token().id
    assert seen.outcome.result.taken


async def test_a_result_said_twice_counts_once(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [done(command, **ACCEPTED)] * 3
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.enter_token(a_token(), attempt=0)
    await headend.until(lambda: len(headend.reports) == 3)
    assert outcome.result is TokenResult.ACCEPT
    assert len({report.tokens for report in headend.reports}) == 1


async def test_a_result_from_another_gateway_wakes_nobody(headend: HeadEnd, gateway: Gateway):
    async def lie() -> None:
        await headend.until(lambda: bool(gateway.commands))
        where = topic(f"res/{a_token().id}", gateway="gw-2")
        fields = {"cmd": a_token().id, "verb": "token", "state": "done", **ACCEPTED}
        await gateway.say(where, body(**fields))

    lying = asyncio.create_task(lie())
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer):
            await session.enter_token(a_token(), attempt=0)
    await lying
    assert headend.reports[0].address == "gw-2"


async def test_what_the_gateway_remembers_of_a_token(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [done(command, of=a_token().id, **ACCEPTED)]
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.token_outcome(a_token())
    assert outcome is not None
    assert outcome.result is TokenResult.ACCEPT
    args = gateway.commands[0]["args"]
    assert args == {"cmd": a_token().id, "request": a_token().id, "tid": 17_286}
    assert headend.reports[-1].tokens[0].token_id == a_token().id


async def test_a_gateway_may_know_nothing_of_a_token(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [done(command, of=a_token().id, code=None)]
    async with headend.driver.open(a_meter()) as session:
        assert await session.token_outcome(a_token()) is None


async def test_a_remembered_refusal_is_told(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [failed(command, of=a_token().id, code=13)]
    async with headend.driver.open(a_meter()) as session:
        outcome = await session.token_outcome(a_token())
    assert outcome == TokenOutcome(result=TokenResult.CRC_ERROR)


READ = {
    "values": {"1.8.0": [1_234_500, "Wh"], "32.7.0": ["231.4", "V"], "credit": ["26.8", "kWh"]},
    "supply": {"contacts": "open", "control": "ready", "cause": None},
}


async def test_a_read_brings_registers_and_supply_in_one_go(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [received(command), done(command, **READ)]
    async with headend.driver.open(a_meter()) as session:
        readings = await session.read()
        supply = await session.supply()
    assert {reading.type: reading.value for reading in readings} == {
        ReadingType.ENERGY_IMPORT_WH: 1_234_500,
        ReadingType.VOLTAGE_L1_MV: 231_400,
        ReadingType.CREDIT_LEFT_MILLI: 26_800,
    }
    assert all(reading.quality is Quality.GOOD for reading in readings)
    assert (supply.state, supply.control) == (SupplyState.BUTTON, ControlState.READY)
    assert len(gateway.commands) == 1
    assert {reading.value for reading in headend.reports[-1].readings} == {
        reading.value for reading in readings
    }


async def test_supply_after_a_token_is_looked_at_anew(headend: HeadEnd, gateway: Gateway):
    def script(command: Body) -> list[Body]:
        return [done(command, **(ACCEPTED if command["verb"] == "token" else READ))]

    gateway.script = script
    async with headend.driver.open(a_meter()) as session:
        await session.read()
        await session.enter_token(a_token(), attempt=0)
        before = RealClock().now()
        supply = await session.supply()
    assert [command["verb"] for command in gateway.commands] == ["read", "token", "read"]
    assert supply.taken_at >= before - timedelta(milliseconds=1)


async def test_supply_is_ordered_with_reason_and_end(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [done(command)]
    until = RealClock().now() + timedelta(seconds=60)
    order = SetSupply(SupplyAction.OPEN, SupplyReason.SAFETY, until)
    async with headend.driver.open(a_meter()) as session:
        await session.set_supply(order, order_id="order-7")
    (command,) = gateway.commands
    assert (command["id"], command["verb"]) == ("order-7", "relay")
    assert command["args"] == {
        "order": "open",
        "reason": "safety",
        "until": command["exp"],
    }


async def test_an_expired_order_is_not_sent(headend: HeadEnd, gateway: Gateway):
    order = SetSupply(SupplyAction.OPEN, SupplyReason.SAFETY, RealClock().now())
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NotSent):
            await session.set_supply(order, order_id="order-8")
    assert gateway.commands == []


async def test_a_gateway_that_left_is_sent_nothing(headend: HeadEnd, gateway: Gateway):
    await gateway.say(status_topic(), body(state="offline"), retain=True)
    await gateway.say(topic("birth", gateway="gw-2"), body())
    await headend.until(lambda: len(headend.reports) == 1)
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NotSent, match="offline"):
            await session.set_clock(RealClock().now())
        await gateway.say(topic("birth"), body())
        await headend.until(lambda: len(headend.reports) == 2)
        gateway.script = lambda command: [done(command)]
        await session.set_clock(RealClock().now())
    assert len(gateway.commands) == 1


async def test_a_result_wakes_its_session_only_after_the_commit(
    mosquitto: Mosquitto, gateway: Gateway, version: str
):
    gateway.script = lambda command: [done(command, **ACCEPTED)]
    url = f"mqtt://127.0.0.1:{mosquitto.port}?version={version}"
    headend = a_head_end(url, profiles=impatient())
    async with running(headend, taking=False):
        notices = headend.driver.notices()
        async with headend.driver.open(a_meter()) as session:
            entering = asyncio.create_task(session.enter_token(a_token(), attempt=0))
            (notice,) = await anext(notices)
            await asyncio.sleep(0.1)
            assert not entering.done()
            notice.done()
            assert (await entering).result is TokenResult.ACCEPT
        await notices.aclose()  # type: ignore[attr-defined]


async def test_a_profile_without_an_ability_sends_nothing(headend: HeadEnd, gateway: Gateway):
    async with headend.driver.open(a_meter(profile="amr-v1-reader")) as session:
        with pytest.raises(Unsupported):
            await session.enter_token(a_token(), attempt=0)
    assert gateway.commands == []
    reader = headend.driver.capabilities(ProfileName("amr-v1-reader"))
    assert Capability.READ in reader
    assert Capability.ENTER_TOKEN not in reader
    assert headend.driver.capabilities(ProfileName("other")) is Capability.NONE


@pytest.mark.parametrize(
    "meter",
    [a_meter(profile="other"), a_meter(gateway="+"), a_meter(gateway="a/b"), a_meter(gateway="")],
)
async def test_a_route_that_cannot_be_is_misconfigured(headend: HeadEnd, meter):
    with pytest.raises(Misconfigured):
        async with headend.driver.open(meter):
            pass


async def test_the_digits_stay_out_of_every_error(headend: HeadEnd, gateway: Gateway):
    gateway.script = lambda command: [failed(command, reason=json.dumps(command["args"]))]
    async with headend.driver.open(a_meter()) as session:
        with pytest.raises(NoAnswer) as caught:
            await session.enter_token(a_token(), attempt=0)
    assert a_token().digits not in repr(caught.value)
