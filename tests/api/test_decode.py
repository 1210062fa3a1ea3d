"""`headend decode`: captured frames in plain words."""

import json
import random

import pytest
from typer.testing import CliRunner

from adapters.modbus.frames import serial_frame
from api.cli import app
from api.dialects import EXPLAIN, Dialect
from tests.vectors.field_frames import VECTORS, frame, of_protocol, published

MODBUS = of_protocol("modbus-rtu", "modbus-tcp")
DLT645 = of_protocol("dlt645")
IEC = [
    (ident, way)
    for ident in of_protocol("iec62056-21")
    for way in ("tx", "rx")
    if published(ident, way)
]
FUZZED = 100_000


def decode(protocol: str, hexadecimal: str, *more: str):
    return CliRunner().invoke(app, ["decode", "--protocol", protocol, *hexadecimal.split(), *more])


def fields(protocol: str, data: bytes, *more: str) -> dict[str, str]:
    answer = decode(protocol, data.hex(" "), "--json", *more)
    assert answer.exit_code == 0, answer.stderr
    return {one["name"]: one["value"] for one in json.loads(answer.stdout)["fields"]}


@pytest.mark.parametrize("ident", MODBUS)
def test_published_modbus_frames_are_explained_or_refused_as_marked(ident: str):
    vector = VECTORS[ident]
    if not vector.get("crc_ok", True):
        answer = decode("modbus", vector["hex"])
        assert answer.exit_code == 1
        assert "CRC" in answer.stderr
        return
    told = fields("modbus", frame(ident))
    decoded = vector["decode"]
    assert told["frame"].startswith("Modbus")
    if "unit" in decoded:
        assert told["unit"] == str(decoded["unit"])
    if "fc" in decoded:
        assert told["function"].startswith(f"{decoded['fc']} ")
    if "exception" in decoded:
        assert told["exception"].startswith(f"{decoded['exception']}:")
    if "address" in decoded and vector.get("role") == "request":
        assert told["address"].endswith(f"({decoded['address']})")


@pytest.mark.parametrize("ident", DLT645)
def test_published_dlt645_frames_are_explained(ident: str):
    told = fields("dlt645", frame(ident))
    decoded = VECTORS[ident]["decode"]
    if "di" in decoded:
        assert told["identifier"].startswith(str(decoded["di"]))
    if "value" in decoded:
        assert float(told["value"].split()[0]) == decoded["value"]


@pytest.mark.parametrize(("ident", "way"), IEC)
def test_published_iec62056_21_messages_are_explained(ident: str, way: str):
    assert fields("iec62056-21", published(ident, way))


@pytest.mark.parametrize("protocol", list(Dialect)[3:])
def test_published_frames_of_the_other_dialects_are_explained_or_refused_as_marked(protocol: str):
    idents = of_protocol(protocol)
    assert idents
    for ident in idents:
        refused = VECTORS[ident].get("expect") == "reject"
        assert decode(protocol, frame(ident).hex()).exit_code == int(refused), ident


@pytest.mark.parametrize(
    ("protocol", "ident", "secret"),
    [("modbus", "stsm-token-write-bcd", "5555 6666"), ("dlt645", "dlt-relay-trip", "000000")],
)
def test_secrets_show_only_when_asked_for(protocol: str, ident: str, secret: str):
    hidden = fields(protocol, frame(ident))
    shown = fields(protocol, frame(ident), "--show-secrets")
    name = "registers" if protocol == "modbus" else "password"
    assert hidden[name].startswith("hidden")
    assert secret in shown[name]


def test_a_password_of_iec62056_21_shows_only_when_asked_for():
    message = published("iec-ce102m-pass", "tx")
    assert fields("iec62056-21", message)["value"] == "hidden"
    assert fields("iec62056-21", message, "--show-secrets")["value"] == "777777"


def test_what_is_no_frame_says_why():
    answer = decode("dlt645", "68 61 01", "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.stdout) == {
        "protocol": "dlt645",
        "whole": False,
        "reason": "ends after 3 bytes",
    }
    assert decode("modbus", "zz").exit_code == 2
    assert "hexadecimal" in decode("modbus", "1").stderr


@pytest.mark.parametrize(
    ("hexadecimal", "why"),
    [
        ("01", "too few"),
        ("01 03 00 00 00 02 C4 0C", "CRC is c4 0c"),
        ("00 01 00 00 00 03 01 63 0B", "no function that fits"),
        ("01 03 00 A0 30", "CRC"),
    ],
)
def test_broken_modbus_says_what_is_wrong(hexadecimal: str, why: str):
    assert why in decode("modbus", hexadecimal).stderr


def serial(pdu: str) -> bytes:
    return serial_frame(bytes.fromhex("01" + pdu))


@pytest.mark.parametrize(
    ("pdu", "told"),
    [
        ("07", {"function": "7 read exception status", "role": "request"}),
        ("0b ffff 0108", {"role": "reply", "events": "264"}),
        ("16 0004 00f2 0025", {"address": "0x0004 (4)", "and mask": "00f2", "or mask": "0025"}),
        ("18 04de", {"function": "24 read a queue of registers", "address": "0x04de (1246)"}),
        ("2b 0e 01 00", {"function": "43 read device identification", "from object": "0 vendor"}),
    ],
)
def test_rarer_modbus_functions_are_explained(pdu: str, told: dict[str, str]):
    assert fields("modbus", serial(pdu)).items() >= told.items()
    over_tcp = bytes.fromhex("0007 0000") + (len(serial(pdu)) - 2).to_bytes(2) + serial(pdu)[:-2]
    if len(over_tcp) >= 8:
        assert fields("modbus", over_tcp).items() >= told.items()


@pytest.mark.parametrize("pdu", ["17 d040 0001 d080 0001 02 5555", "16 d083 0000 5555"])
def test_a_token_shows_in_no_function_unless_asked_for(pdu: str):
    assert "5555" not in str(fields("modbus", serial(pdu)))
    assert "5555" in str(fields("modbus", serial(pdu), "--show-secrets"))


@pytest.mark.parametrize(
    "pdu",
    [
        "01 02 cd",  # read coils: a count of 2, one byte
        "03 05 0001 0002 00",  # half a register
        "04 06 0001 0002",
        "0f 0013 000a 03 cd 01 00",  # ten coils are two bytes
        "10 0001 0002 02 000a",  # two registers are four bytes
        "10 0001 0001 04 000a 0102",
        "05 0001 ff00 00",
        "97 02 00",
        "17 0003 0006 000e 0003 05 00ff 00ff 00ff",
    ],
)
def test_counts_that_do_not_fit_are_refused(pdu: str):
    frames = serial(pdu), bytes.fromhex("0007 0000 00") + bytes((len(serial(pdu)) - 2,))
    for framed in (frames[0], frames[1] + serial(pdu)[:-2]):
        answer = decode("modbus", framed.hex())
        assert answer.exit_code == 1, answer.stdout
        assert "function" in answer.stderr


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "01 04 00 00 00 02 71 cb ff ff",
        "01 04 04 43 66 33 34 1b 38 00",
        "01 83 02 c0 f1 ff ff ff",
        "01 04 00 00 00 02 71 cb 01 04 04 43 66 33 34 1b 38",
    ],
)
def test_a_frame_with_more_behind_it_is_not_taken_as_valid(hexadecimal: str):
    answer = decode("modbus", hexadecimal)
    assert answer.exit_code == 1
    assert "CRC" in answer.stderr


def test_fuzzed_modbus_frames_crash_nothing():
    chance = random.Random(502)
    seeds = [frame(ident) for ident in MODBUS]
    passed = 0
    for _ in range(FUZZED):
        fuzzed = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            fuzzed[chance.randrange(len(fuzzed))] = chance.randrange(256)
        try:
            EXPLAIN[Dialect.MODBUS](bytes(fuzzed), show_secrets=False)
        except ValueError:
            continue
        passed += 1
    # Those that pass are the TCP ones, which carry no check, and bytes replaced by themselves.
    assert passed < FUZZED / 5
