"""A fleet runs as described, is listed for import, obeys the switchboard, and ends cleanly."""

import asyncio
import csv
import json
import os
import tomllib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.framer import FramerType

from adapters.clock import WallClock
from adapters.simulators.control import Answer, Control, lines_of
from adapters.simulators.faults import Dying
from adapters.simulators.fleet import COLUMNS, Fleet
from adapters.simulators.fleet_description import (
    TEST_KEY,
    DescriptionRefused,
    FleetDescription,
    parse_description,
    read_description,
)
from api.line_wiring import load_line_profiles, open_line
from api.settings import ModbusBus
from headend.meters import BusName, ProfileName, Route, parse_drn
from headend.readings import ReadingType
from protocols.sts.cipher import cipher_for
from protocols.sts.credit import CreditUnits
from protocols.sts.tables import BaseDate, CreditSubclass
from protocols.sts.tid import tid_at
from protocols.sts.token import encode
from tests.builders import a_meter
from tests.fakes import SeededChance

TOML = """
tenant = "t1"
contact_email = "customer-{serial}@example.org"

[[lines]]
name = "feeder-1"
meters = 3
energy_meters = 1

[[lines]]
name = "feeder-2"
way = "rtu_over_tcp"
service = "water"

[[lines]]
name = "feeder-3"
way = "terminal"

[meters]
credit_milli = 12_000
first_serial = 41
"""


def described(text: str = TOML) -> FleetDescription:
    return parse_description(tomllib.loads(text))


def a_fleet(description: FleetDescription | None = None) -> Fleet:
    return Fleet(description or described(), clock=WallClock())


def a_token(fleet: Fleet, drn: str, tenths: int) -> str:
    plate = fleet.meters[drn].plate
    tid = tid_at(BaseDate.Y2014, fleet.clock.now())
    credit = CreditUnits(CreditSubclass.ELECTRICITY, 5, tid, tenths)
    return encode(credit, cipher_for(plate.key))


# --- description ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[lines]]\nname = 'a'\nwhat = 1", "what"),
        ("[[lines]]\nname = 'a'\nway = 'carrier pigeon'", "carrier pigeon"),
        ("[[lines]]\nname = 'a'\n[[lines]]\nname = 'a'", "two lines"),
        ("[[lines]]\nname = 'a'\nmeters = 248", "247"),
        ("[[lines]]\nname = 'a'\nmeters = 200\nenergy_meters = 60", "247"),
        ("[[lines]]\nname = 'a'\nway = 'serial'", "device"),
        ("[[lines]]\nname = 'a'\ndlt645_meters = 1", "only Modbus is spoken"),
        ("[[lines]]\nname = 'a'\nway = 'terminal'\niec62056_21_meters = 247", "247"),
        ("[key]\nvalue = 'xyz'", "key"),
        ("[key]\nbase_date = 1999", "1999"),
        ("[broker]\nprot = 1", "prot"),
        ("[meters]\ncurrency = 'DEM'", "currency"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(text, told):
    with pytest.raises(DescriptionRefused, match=told):
        described(text)


def test_a_description_is_read_from_toml_and_json(tmp_path: Path):
    toml, js = tmp_path / "fleet.toml", tmp_path / "fleet.json"
    toml.write_text(TOML)
    js.write_text(json.dumps({"tenant": "t2", "gateways": [{"name": "gw-1", "meters": 2}]}))
    assert read_description(toml).lines[0].meters == 3
    assert read_description(js).gateways[0].bus == "broker"
    with pytest.raises(DescriptionRefused, match=r"none\.toml"):
        read_description(tmp_path / "none.toml")


def test_no_key_shows_in_a_description():
    assert TEST_KEY.hex() not in repr(described())


# --- the list -------------------------------------------------------------------------------------


def test_the_list_has_every_meter_under_its_bus(tmp_path: Path):
    fleet = a_fleet()
    fleet.write_csv(tmp_path / "meters.csv")
    with (tmp_path / "meters.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [parse_drn(row["drn"]) for row in rows] == [row["drn"] for row in rows]
    assert len({row["drn"] for row in rows}) == len(rows) == 6
    assert [(row["bus"], row["address"], row["profile"]) for row in rows] == [
        ("feeder-1", "1", "stsm"),
        ("feeder-1", "2", "stsm"),
        ("feeder-1", "3", "stsm"),
        ("feeder-1", "4", "eastron-sdm630"),
        ("feeder-2", "1", "stsm"),
        ("feeder-3", "1", "stsm"),
    ]
    first = rows[0]
    assert (first["sgc"], first["krn"], first["kt"], first["ea"]) == ("201457", "1", "2", "11")
    assert first["contact_email"] == "customer-00000041@example.org"
    assert (rows[3]["keypad"], rows[4]["service"]) == ("none", "water")


def test_a_fleet_may_count_money():
    fleet = Fleet(described(TOML + 'currency = "ZAR"\nprice_milli = 2_500\n'), clock=WallClock())
    assert [row["currency"] for row in fleet.rows] == ["ZAR"] * 3 + [""] + ["ZAR"] * 2
    for meter in fleet.meters.values():
        assert (meter.plate.currency, meter.settings.price_milli) == ("ZAR", 2_500)
    assert all(meter.settings.price_milli == 1000 for meter in a_fleet().meters.values())


def test_a_fleet_is_the_same_in_every_run():
    assert a_fleet().rows == a_fleet().rows


# --- running --------------------------------------------------------------------------------------


async def signature(client) -> bytes:
    assert await client.connect()
    answer = await client.read_holding_registers(0xD000, count=2, device_id=1)
    client.close()
    return b"".join(word.to_bytes(2) for word in answer.registers)


async def test_every_line_answers_under_its_url():
    async with a_fleet() as fleet:
        host, port = fleet.buses["feeder-1"].removeprefix("tcp://").split(":")
        assert await signature(AsyncModbusTcpClient(host, port=int(port))) == b"STSM"
        host, port = fleet.buses["feeder-2"].removeprefix("tcp://").split(":")
        framed = AsyncModbusTcpClient(host, port=int(port), framer=FramerType.RTU)
        assert await signature(framed) == b"STSM"
        path = fleet.buses["feeder-3"].removeprefix("serial://")
        assert await signature(AsyncModbusSerialClient(path)) == b"STSM"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_a_fleet_whose_port_is_taken_closes_what_it_had_opened(free_port: int):
    text = f"[[lines]]\nname='a'\nport={free_port}\n[[lines]]\nname='b'\nport={free_port}"
    fleet = a_fleet(described(text))
    with pytest.raises(OSError, match="address already in use"):
        await fleet.__aenter__()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", free_port)


async def test_gateways_reach_their_broker_and_leave_it(mosquitto):
    broker = {"host": mosquitto.host, "port": mosquitto.port}
    gateways = [{"name": f"gw-{n}", "meters": 2} for n in range(3)]
    fleet = a_fleet(parse_description({"broker": broker, "gateways": gateways}))
    assert [row["address"] for row in fleet.rows] == ["gw-0"] * 2 + ["gw-1"] * 2 + ["gw-2"] * 2
    before = len(asyncio.all_tasks())
    async with fleet, asyncio.timeout(5):
        await fleet.connected()
    assert len(asyncio.all_tasks()) == before


async def test_an_error_beside_a_fleet_stays_what_it_is(free_port: int):
    text = f"""
[broker]
port = {free_port}
[[gateways]]
name = "gw-1"
"""
    with pytest.raises(ArithmeticError):
        async with a_fleet(described(text)):
            raise ArithmeticError


async def test_a_fleet_without_its_broker_still_stops(free_port: int):
    gateways = {"broker": {"port": free_port}, "gateways": [{"name": "gw"}]}
    async with asyncio.timeout(10):
        async with a_fleet(parse_description(gateways)):
            await asyncio.sleep(0.2)


# --- the switchboard ------------------------------------------------------------------------------


@pytest.fixture
def fleet() -> Fleet:
    return a_fleet()


@pytest.fixture
def drn(fleet: Fleet) -> str:
    return next(iter(fleet.meters))


def test_each_word_sets_its_fault(fleet, drn):
    control, meter = Control(fleet), fleet.meters[drn]
    for line in (
        "silent {} on",
        "busy {} on",
        "slow {} 0.5",
        "lose {} 2",
        "lose-command {} 4",
        "late {} 3 1.5",
        "garble {}",
        "die {} after 4",
        "wrong-key {} on",
        "relay-fault {} on",
    ):
        assert control.obey(line.format(drn)).ok, line
    faults = meter.faults
    assert (faults.silent, faults.busy, faults.slow_s) == (True, True, 0.5)
    assert (faults.to_lose, faults.to_delay, faults.late_s, faults.to_garble) == (2, 3, 1.5, 1)
    assert faults.commands_to_lose == 4
    assert (faults.dying, faults.down_s) == (Dying.AFTER, 4)
    assert not control.obey(f"type {drn} {a_token(fleet, drn, 10)}").text.startswith("taken")
    assert control.obey(f"repair {drn}").ok
    assert meter.faults.named() == []


def test_a_token_is_typed_in_groups_and_shown(fleet, drn):
    control = Control(fleet)
    token = a_token(fleet, drn, 100)
    grouped = " ".join(token[at : at + 4] for at in range(0, 20, 4))
    assert control.obey(f"type {drn} {grouped}").text == "taken: accept"
    assert control.obey(f"type {drn} {token}").text == "refused: used error"
    shown = control.obey(f"show {drn}").details
    assert float(str(shown["credit"])) == pytest.approx(22, abs=0.01)
    assert shown["supply"] == "on"
    assert len(control.obey("show").text.splitlines()) == 5


def test_supply_can_be_played_with(fleet, drn):
    control = Control(fleet)
    control.obey(f"power {drn} off")
    assert control.obey(f"press {drn}") == Answer(
        False, "the meter has no power", {"error": "no power"}
    )
    control.obey(f"power {drn} on")
    control.obey(f"tamper {drn}")
    assert control.obey(f"show {drn}").details["cause"] == "tamper_lock"
    assert control.obey(f"load {drn} 3000").ok
    assert control.obey(f"press {drn}").text == "supply off"


@pytest.mark.parametrize(
    "line",
    ["dance", "silent", "silent 1 on", "silent {} maybe", "slow {} x", "lose {} 1 2", "late {} -1",
     "die {}", "die {} slowly", "offline gw on", "show 5", "load {} nan", "type {}"],
)  # fmt: skip
def test_a_senseless_line_is_answered(fleet, drn, line):
    answer = Control(fleet).obey(line.format(drn))
    assert not answer.ok or answer.text.startswith("refused")
    assert answer.text


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["type", "show", "late", "die", "load", "D", "on", "-1", "1e9", "inf"])
        | st.text(max_size=12),
        max_size=5,
    )
)
def test_no_line_ever_raises(words):
    fleet = a_fleet(described("[[lines]]\nname='a'"))
    drn = next(iter(fleet.meters))
    assert Control(fleet).obey(" ".join(words).replace("D", drn)).text


async def test_lines_come_from_a_pipe_until_its_end():
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream, os.fdopen(writing, "w") as pen:
        lines = lines_of(stream)
        pen.write("show\n")
        pen.flush()
        async with asyncio.timeout(5):
            assert await anext(lines) == "show\n"
            pen.close()
            with pytest.raises(StopAsyncIteration):
                await anext(lines)


# --- several dialects on one line -----------------------------------------------------------------

MIXED = {"name": "mixed", "dlt645_meters": 2, "iec62056_21_meters": 1}


@pytest.mark.parametrize("way", ["terminal", "rtu_over_tcp"])
async def test_meters_of_every_dialect_answer_on_one_line(way: str):
    fleet = Fleet(
        parse_description({"lines": [MIXED | {"way": way}]}),
        clock=WallClock(),
        chance=SeededChance(),
    )
    assert [(row["profile"], row["keypad"], row["currency"]) for row in fleet.rows] == [
        ("stsm", "meter", ""),
        ("dlt645-2007", "meter", ""),
        ("dlt645-2007", "meter", ""),
        ("iec62056-21", "none", ""),
    ]
    async with fleet, AsyncExitStack() as stack:
        settings = ModbusBus(url=fleet.buses["mixed"], framing="rtu")
        driver, _ = open_line(settings, load_line_profiles(()), WallClock(), stack)
        for row in fleet.rows:
            route = Route(BusName("mixed"), row["address"])
            meter = a_meter(drn=row["drn"], profile=ProfileName(row["profile"]), route=route)
            async with driver.open(meter) as session:
                kinds = {one.type for one in await session.read()}
            assert ReadingType.ENERGY_IMPORT_WH in kinds
            prepaid = ReadingType.CREDIT_LEFT_MILLI in kinds
            assert prepaid is (row["keypad"] == "meter")


async def test_the_switchboard_acts_on_meters_of_other_dialects():
    description = parse_description({"lines": [MIXED | {"way": "terminal"}]})
    async with Fleet(description, clock=WallClock(), chance=SeededChance()) as fleet:
        control, drn = Control(fleet), fleet.rows[1]["drn"]
        digits = a_token(fleet, drn, 10)
        assert control.obey(f"type {drn} {digits}").text == "taken: accept"
        assert control.obey(f"silent {drn} on").ok
        assert fleet.meters[drn].faults.silent
