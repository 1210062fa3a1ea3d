"""A simulated gateway on a real broker, asked by a head-end that is nothing but aiomqtt."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.simulators.faults import Dying
from adapters.simulators.gateway_memory import CommandMemory
from adapters.simulators.gateway_messages import Malformed, NoCommand, parse_command, values
from adapters.simulators.mqtt_meter import Broker, MqttGateway, MqttVersion
from tests.adapters.simulators.benches import Bench, a_key
from tests.servers.mosquitto import Mosquitto

ROOT = "amr/v1/t1/gw-3"
TIMEOUT_S = 5
Body = dict[str, Any]


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Headend:
    """Hears everything of the tenant and remembers it in order."""

    def __init__(self, client: aiomqtt.Client, drn: str) -> None:
        self.client = client
        self.drn = drn
        self.heard: list[tuple[str, Body | None, bool]] = []
        self.news = asyncio.Condition()

    async def listen(self) -> None:
        async for message in self.client.messages:
            try:
                body = json.loads(message.payload)
            except (ValueError, RecursionError):
                body = None
            async with self.news:
                self.heard.append((message.topic.value, body, message.retain))
                self.news.notify_all()

    async def send(self, ident: str, verb: str, *, retain: bool = False, **changed) -> None:
        now = WallClock().now()
        body = {
            "v": 1,
            "id": ident,
            "verb": verb,
            "meter": self.drn,
            "ts": ms(now),
            "exp": ms(now + timedelta(minutes=3)),
            "args": {},
        }
        topic = f"{ROOT}/{changed.pop('to', self.drn)}/cmd/{verb}"
        payload = json.dumps(body | changed).encode()
        await self.client.publish(topic, payload, qos=1, retain=retain)

    async def wait_for(self, wanted: Callable[[str, Body], bool]) -> Body:
        """The first body heard for which `wanted(topic, body)` holds."""

        def found() -> list[Body]:
            return [body for topic, body, _ in self.heard if body and wanted(topic, body)]

        async with asyncio.timeout(TIMEOUT_S), self.news:
            await self.news.wait_for(found)
        return found()[0]

    async def last(self, ident: str) -> Body:
        """The last word on a command."""
        return await self.wait_for(
            lambda _, body: (
                body.get("cmd") == ident and body["state"] not in ("received", "running")
            )
        )

    async def ask(self, ident: str, verb: str, **changed) -> Body:
        """Send, and the last word on it that comes after."""
        self.heard = [entry for entry in self.heard if (entry[1] or {}).get("cmd") != ident]
        await self.send(ident, verb, **changed)
        return await self.last(ident)

    def states(self, ident: str) -> list[str]:
        return [body["state"] for _, body, _ in self.heard if body and body.get("cmd") == ident]


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.fixture
def bench() -> Bench:
    return Bench(now=WallClock().now(), credit_milli=50_000, processing_s=0.05)


@pytest.fixture(params=[MqttVersion.V5, MqttVersion.V311])
def gateway(request, bench: Bench, mosquitto: Mosquitto) -> MqttGateway:
    return MqttGateway(
        "gw-3",
        {bench.meter.drn: bench.meter},
        tenant="t1",
        broker=Broker(host=mosquitto.host, port=mosquitto.port, version=request.param),
        clock=WallClock(),
        look_s=0.05,
    )


@pytest.fixture
async def headend(gateway: MqttGateway, bench: Bench, mosquitto: Mosquitto):
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:
        await client.subscribe("amr/v1/#", qos=1)
        headend = Headend(client, bench.meter.drn)
        tasks = [asyncio.create_task(gateway.run()), asyncio.create_task(headend.listen())]
        connected = asyncio.create_task(gateway.connected.wait())
        await asyncio.wait([connected, *tasks], return_when=asyncio.FIRST_COMPLETED)
        assert connected.done(), [task.exception() for task in tasks if task.done()]
        yield headend
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=TIMEOUT_S)
        assert all(task.cancelled() for task in tasks)


def a_token(digits: str, request: str = "R1") -> Body:
    return {"token": digits, "request": request}


async def test_it_says_who_is_there_and_what_they_measure(headend, bench):
    await headend.wait_for(lambda topic, body: topic == f"{ROOT}/status")
    birth = await headend.wait_for(lambda topic, body: topic.endswith("/birth"))
    assert birth["can"] == ["token", "outcome", "read", "relay", "clock", "config"]
    state = await headend.wait_for(lambda topic, body: topic.endswith("/state"))
    assert state["supply"] == {
        "contacts": "closed",
        "control": "connected",
        "cause": None,
        "reconnect_at": ["0.000", "kWh"],
        "grid_voltage": [230_000, "mV"],
        "load_voltage": [230_000, "mV"],
        "load_current": [0, "mA"],
        "keypad_unit": "seen",
    }
    reading = await headend.wait_for(lambda topic, body: topic.endswith("/reading/basic"))
    assert reading["values"]["credit"] == ["50.000", "kWh"]
    assert reading["values"]["1.8.0"] == [0, "Wh"]


async def test_a_token_is_received_then_done_and_told_as_an_event(headend, bench):
    result = await headend.ask("C1", "token", args=a_token(bench.credit(256)))
    assert headend.states("C1") == ["received", "done"]
    assert (result["code"], result["amount"], result["balance"]) == (1, "25.600", "75.600")
    assert result["credit_before"] == "50.000"
    event = await headend.wait_for(lambda topic, body: topic.endswith("/event/0601"))
    assert (event["token"]["tid"], event["token"]["code"]) == (result["tid"], 1)


async def test_the_key_is_told_as_it_is_now(headend, bench):
    before = await headend.ask("C1", "config")
    for digits in bench.key_change(a_key(krn=3, sgc=123456)):
        bench.types(digits)
    after = await headend.ask("C2", "config")
    assert before["sts"] == {"sgc": "201457", "krn": 1, "ti": 1, "kt": 2, "ea": 11}
    assert after["sts"] == {"sgc": "123456", "krn": 3, "ti": 2, "kt": 2, "ea": 11}
    bench.meter.faults.busy = True
    assert (await headend.ask("C3", "config"))["reason"] == "busy"


def test_credit_in_money_is_told_in_its_currency():
    meter = Bench(currency="ZAR", credit_milli=12_345).meter
    assert values(meter)["credit"] == ["12.345", "ZAR"]


async def test_a_repeated_command_is_answered_again_and_not_acted_upon(headend, bench, gateway):
    token = bench.credit(10)
    first = await headend.ask("C1", "token", args=a_token(token))
    again = await headend.ask("C1", "token", args=a_token(token))
    assert headend.states("C1") == ["done"]
    assert {**again, "ts": 0} == {**first, "ts": 0}
    other = await headend.ask("C2", "token", args=a_token(token))
    assert (other["state"], other["code"]) == ("failed", 10)
    assert bench.meter.credit_milli == 51_000


def test_the_memory_is_of_one_meter_and_of_a_thousand_commands():
    memory = CommandMemory()
    for number in range(1001):
        memory.keep("1", f"C{number}", {"state": "done", "code": 1}, request="R")
    assert memory.find("1", "C0") is None
    assert memory.find("1", "C1000") == {"state": "done", "code": 1}
    assert memory.find("2", "C1000") is None
    assert memory.of_token("2", "C1000", "R") is None
    memory.keep("2", "C1", {"state": "failed", "reason": "busy"}, request="R")
    assert memory.find("2", "C1") is None


async def test_a_command_still_running_says_so(headend, bench):
    bench.meter.faults.slow_s = 0.5
    args = a_token(bench.credit(10))
    await headend.send("C1", "token", args=args)
    await headend.send("C1", "token", args=args)
    await headend.last("C1")
    assert headend.states("C1") == ["received", "running", "done"]


async def test_a_retained_command_is_refused(headend, bench, mosquitto, gateway):
    gateway.set_online(False)
    offline = await headend.wait_for(lambda topic, body: body.get("state") == "offline")
    assert offline["ts"] is None  # the last will
    await headend.send("C1", "token", retain=True, args=a_token(bench.credit(10)))
    gateway.set_online(True)
    refused = await headend.wait_for(lambda _, body: body.get("reason") == "retained")
    assert refused["cmd"] == "C1"


async def test_commands_wait_for_a_gateway_that_is_away(headend, bench, gateway):
    gateway.set_online(False)
    await headend.wait_for(lambda topic, body: body.get("state") == "offline")
    await headend.send("C1", "token", args=a_token(bench.credit(10)))
    gateway.set_online(True)
    assert (await headend.last("C1"))["code"] == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": 1}, "expired"),
        ({"args": {}}, "malformed"),
        ({"args": {"token": 12345678901234567890, "request": "R"}}, "malformed"),
        ({"meter": "00000000001"}, "malformed"),
        ({"v": 2}, "malformed"),
        ({"to": "99999999999", "meter": "99999999999"}, "unknown_meter"),
    ],
)
async def test_what_cannot_be_done_has_its_reason(headend, bench, changed, reason):
    args = {"args": a_token(bench.credit(10))}
    result = await headend.ask("C1", "token", **(args | changed))
    assert (result["state"], result["reason"]) == ("failed", reason)
    assert bench.meter.credit_milli == 50_000
    good = await headend.ask("C1", "token", **args)
    assert good["code"] == 1


async def test_an_unknown_verb_is_unsupported(headend):
    assert (await headend.ask("C1", "tariff"))["reason"] == "unsupported"


async def test_rubbish_ends_nothing(headend, bench, gateway):
    for payload in (
        b"",
        b"\xff\xfe",
        b"[1",
        b"null",
        b'{"id": "a/b"}',
        b"[" * 5000,
        b'{"id": "\xff"}',
        b"{}" * 20_000,
    ):
        await headend.client.publish(f"{ROOT}/{headend.drn}/cmd/token", payload, qos=1)
    assert (await headend.ask("C1", "read"))["state"] == "done"
    assert gateway.dropped == 8


async def test_a_lost_result_is_given_again_from_memory(headend, bench):
    bench.meter.faults.lose(1)
    args = a_token(bench.credit(10))
    await headend.send("C1", "token", args=args)
    await headend.wait_for(lambda topic, body: topic.endswith("/event/0601"))
    await asyncio.sleep(0.2)
    assert headend.states("C1") == ["received"]
    assert (await headend.ask("C1", "token", args=args))["code"] == 1
    assert bench.meter.credit_milli == 51_000


async def test_only_the_results_of_commands_can_be_lost(headend, bench):
    bench.meter.faults.lose_commands(1)
    assert (await headend.ask("C1", "read"))["state"] == "done"
    args = a_token(bench.credit(10))
    await headend.send("C2", "token", args=args)
    await headend.wait_for(lambda topic, body: topic.endswith("/event/0601"))
    await asyncio.sleep(0.2)
    assert headend.states("C2") == ["received"]
    assert (await headend.ask("C2", "token", args=args))["code"] == 1


async def test_a_garbled_result_makes_no_sense_and_the_next_does(headend, bench):
    bench.meter.faults.garble(1)
    await headend.send("C1", "read")
    async with asyncio.timeout(TIMEOUT_S), headend.news:
        await headend.news.wait_for(lambda: any(body is None for _, body, _ in headend.heard))
    assert (await headend.ask("C1", "read"))["state"] == "done"


async def test_a_silent_meter_is_no_answer_and_comes_back_with_a_birth(headend, bench):
    bench.meter.faults.silent = True
    result = await headend.ask("C1", "token", args=a_token(token := bench.credit(10)))
    assert (result["state"], result["reason"]) == ("failed", "no_answer")
    await asyncio.sleep(0.2)
    headend.heard.clear()
    bench.meter.faults.silent = False
    await headend.wait_for(lambda topic, body: topic.endswith("/birth"))
    assert (await headend.ask("C1", "token", args=a_token(token)))["code"] == 1


@pytest.mark.parametrize("dying", list(Dying))
async def test_a_meter_that_dies_midway_takes_the_token_once(headend, bench, dying):
    bench.meter.faults.dying = dying
    bench.meter.faults.down_s = 0.5
    args = a_token(bench.credit(10))
    assert (await headend.ask("C1", "token", args=args))["reason"] == "no_answer"
    await asyncio.sleep(0.6)
    outcome = await headend.ask("C2", "outcome", args={"cmd": "C1", "request": "R1", "tid": None})
    assert outcome["code"] == (None if dying is Dying.BEFORE else 1)
    assert (await headend.ask("C1", "token", args=args))["code"] == 1
    assert bench.meter.credit_milli == 51_000


async def test_a_lock_out_tells_its_seconds_and_a_new_id_tries_again(headend, bench):
    for _ in range(3):
        bench.meter.customer_types("00000000000000000001", WallClock().now())
    args = a_token(bench.credit(10))
    result = await headend.ask("C1", "token", args=args)
    assert (result["state"], result["code"]) == ("failed", 15)
    assert 1 <= result["lockout_s"] <= 10
    bench.meter.decoder.unlock()
    assert (await headend.ask("C1", "token", args=args))["code"] == 15  # remembered
    assert (await headend.ask("C1.1", "token", args=args))["code"] == 1
    told = await headend.ask("C2", "outcome", args={"cmd": "C1", "request": "R1", "tid": None})
    assert (told["code"], told["of"]) == (1, "C1")


async def test_the_outcome_of_a_typed_token_is_found_by_its_tid(headend, bench):
    entry = bench.meter.customer_types(bench.credit(10), WallClock().now())
    asked = {"cmd": "C9", "request": "R9", "tid": entry.tid}
    told = await headend.ask("C2", "outcome", args=asked)
    assert (told["state"], told["code"], told["tid"]) == ("done", 1, entry.tid)
    unknown = await headend.ask("C3", "outcome", args=asked | {"tid": 1})
    assert (unknown["state"], unknown["code"]) == ("done", None)


async def test_relay_and_clock_are_set(headend, bench):
    until = ms(WallClock().now() + timedelta(minutes=1))
    order = {"order": "open", "until": until, "reason": "maintenance"}
    opened = await headend.ask("C1", "relay", args=order)
    assert (opened["state"], opened["supply"]["contacts"]) == ("done", "open")
    permitted = await headend.ask("C2", "relay", args=order | {"order": "permit_close"})
    told = {name: permitted["supply"][name] for name in ("contacts", "control", "cause")}
    assert told == {"contacts": "open", "control": "ready", "cause": None}
    assert permitted["supply"]["load_voltage"] == [0, "mV"]
    late = await headend.ask("C3", "relay", args=order | {"until": 1})
    assert late["reason"] == "expired"
    bench.meter.clock.set(datetime(2020, 1, 1, tzinfo=UTC), WallClock().now())
    now = WallClock().now()
    assert (await headend.ask("C4", "clock", args={"now": ms(now)}))["state"] == "done"
    assert abs(bench.meter.clock.at(now) - now) < timedelta(seconds=1)


async def test_a_gateway_that_was_away_remembers(headend, bench, gateway):
    args = a_token(bench.credit(10))
    await headend.ask("C1", "token", args=args)
    gateway.set_online(False)
    await headend.wait_for(lambda topic, body: body.get("state") == "offline")
    gateway.set_online(True)
    assert (await headend.ask("C1", "token", args=args))["code"] == 1
    assert len(gateway.memory) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200)
    | st.from_regex(r'\{"v":1,"id":".{0,9}","verb":"token".{0,40}\}').map(str.encode)
)
def test_any_payload_is_a_command_or_a_named_refusal(payload):
    with suppress(NoCommand, Malformed):
        assert parse_command(payload, meter="1", verb="token").verb == "token"
