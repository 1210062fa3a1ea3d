"""Messages of a simulated gateway as JSON: docs/mqtt.md, version 1, from the maker's side.

Commands in, everything else out. Numbers leave as integers or decimal text, times as UTC
milliseconds. Knows nothing of the broker.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from adapters.simulators.logs import EventRecord, TokenEntry
from adapters.simulators.meter import SimulatedMeter
from adapters.simulators.relay import Hold
from adapters.simulators.sdm_registers import VOLTS
from headend.meters import Service
from headend.supply import Contacts, DarkCause

VERSION = 1
MAX_PAYLOAD = 32 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
VERBS = ("token", "outcome", "read", "relay", "clock", "config")

# The id becomes part of a topic, so it must not hold what means something there.
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

Fields = dict[str, object]


class NoCommand(Exception):
    """Not even an id can be read: there is nobody to answer."""


class Malformed(Exception):
    """A command with an id, of which the rest makes no sense."""

    def __init__(self, command_id: str) -> None:
        super().__init__(command_id)
        self.command_id = command_id


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command; `args` may hold the digits of a token, so it has no repr."""

    v: int
    id: str
    verb: str
    args: dict[str, str | int | None] = {}
    meter: str | None = None
    ts: int | None = None
    exp: int | None = None

    def __repr__(self) -> str:
        return f"Command({self.id}, {self.verb})"

    def text(self, name: str) -> str:
        """A text argument; raises Malformed."""
        value = self.args.get(name)
        if not isinstance(value, str):
            raise Malformed(self.id)
        return value

    def number(self, name: str) -> int:
        """A whole argument; raises Malformed."""
        value = self.args.get(name)
        if not isinstance(value, int):
            raise Malformed(self.id)
        return value

    def moment(self, name: str) -> datetime:
        """An argument in milliseconds; raises Malformed."""
        return moment_of(self.number(name), self.id)


def parse_command(payload: bytes, *, meter: str, verb: str) -> Command:
    """Read a command that came for `meter` under `verb`; raises NoCommand, Malformed."""
    if len(payload) > MAX_PAYLOAD:
        raise NoCommand
    try:
        raw = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise NoCommand from exc
    ident = raw.get("id") if isinstance(raw, dict) else None
    if not isinstance(ident, str) or not _ID.fullmatch(ident):
        raise NoCommand
    try:
        command = msgspec.convert(raw, Command)
    except msgspec.ValidationError as exc:
        raise Malformed(ident) from exc
    if command.v != VERSION or command.verb != verb or command.meter not in (None, meter):
        raise Malformed(ident)
    return command


def encode(fields: Mapping[str, object]) -> bytes:
    """JSON, UTF-8."""
    return msgspec.json.encode(fields)


def milliseconds(moment: datetime) -> int:
    """UTC milliseconds since 1970."""
    return (moment - EPOCH) // MILLISECOND


def moment_of(milliseconds: int, command_id: str) -> datetime:
    """The moment of UTC milliseconds; raises Malformed beyond the calendar."""
    try:
        return EPOCH + milliseconds * MILLISECOND
    except OverflowError as exc:
        raise Malformed(command_id) from exc


def decimal_text(milli: int) -> str:
    """Thousandths as decimal text."""
    return f"{Decimal(milli).scaleb(-3):f}"


# --- what a meter is and has ---------------------------------------------------------------------


@dataclass(slots=True)
class Heading:
    """The common part: boot, and a count of messages since."""

    boot: str
    seq: int = 0

    def next(self, meter: SimulatedMeter, now: datetime) -> Fields:
        self.seq += 1
        return {
            "v": VERSION,
            "ts": milliseconds(now),
            "meter": meter.drn,
            "boot": self.boot,
            "seq": self.seq,
        }


def status(online: bool, now: datetime | None) -> bytes:
    """Gateway status; the last will has no time."""
    state = "online" if online else "offline"
    return encode({"v": VERSION, "state": state, "ts": milliseconds(now) if now else None})


def birth(verbs: Iterable[str]) -> Fields:
    return {
        "model": "Simulated meter",
        "serial": "SIM",
        "firmware": "1.0",
        "can": list(verbs),
    }


def state(meter: SimulatedMeter) -> Fields:
    return {"supply": supply(meter), **_credit(meter), "conditions": conditions(meter)}


def supply(meter: SimulatedMeter) -> Fields:
    """The contacts as measured, the control state, and why it is dark."""
    contacts = Contacts.CLOSED if meter.relay.closed else Contacts.OPEN
    circuit = meter.circuit
    told: Fields = {
        "contacts": contacts.value,
        "control": meter.relay.control.name.lower(),
        "cause": circuit.cause.value if circuit.cause else None,
        "reconnect_at": _amount(meter, circuit.reconnect_milli),
        "grid_voltage": [circuit.grid_mv, "mV"],
        "load_voltage": [circuit.load_mv, "mV"],
        "load_current": [circuit.load_ma, "mA"],
        "keypad_unit": "lost" if circuit.keypad_unit_lost else "seen",
    }
    return told | ({"debt": _amount(meter, circuit.debt_milli)} if circuit.debt_milli else {})


def sts(meter: SimulatedMeter) -> Fields:
    """The key that the meter holds."""
    decoder = meter.decoder
    return {
        "sgc": f"{decoder.sgc:06d}",
        "krn": decoder.krn,
        "ti": decoder.tariff_index,
        "kt": int(decoder.key_type),
        "ea": int(decoder.algorithm),
    }


def conditions(meter: SimulatedMeter) -> list[str]:
    """For people."""
    present = {
        "low_credit_1": 0 < meter.credit_milli <= meter.circuit.low_credit_milli,
        "out_of_credit": meter.credit_milli <= 0,
        "relay_does_not_follow": meter.circuit.cause is DarkCause.RELAY_FAULT,
        "tamper_lock": Hold.TAMPER in meter.relay.holds,
        "key_change_half_done": meter.decoder.sections_pending > 0,
    }
    return [name for name, on in present.items() if on]


def values(meter: SimulatedMeter) -> Fields:
    """The basic registers."""
    if meter.plate.service is not Service.ELECTRICITY:
        return {"volume": [meter.import_milli, "l"], **_credit(meter)}
    return {
        "1.8.0": [meter.import_milli, "Wh"],
        "16.7.0": [meter.circuit.flow, "W"],
        "32.7.0": [str(VOLTS), "V"],
        **_credit(meter),
    }


def event(record: EventRecord) -> Fields:
    """One event; its time is the meter's."""
    told: Fields = {
        "ts": milliseconds(record.at),
        "code": f"{record.type:04x}",
        "number": record.number,
        "argument": record.argument,
    }
    if record.entry is not None:
        told["token"] = echo(record.entry)
    return told


def echo(entry: TokenEntry) -> Fields:
    """The meter's word on one token."""
    told: Fields = {
        "code": int(entry.result),
        "tid": entry.tid,
        "amount": decimal_text(entry.amount_milli) if entry.amount_milli else None,
        "credit_before": decimal_text(entry.credit_before_milli),
        "balance": decimal_text(entry.credit_after_milli),
        "at": milliseconds(entry.at),
        "origin": entry.origin.name.lower().removesuffix("_gateway"),
    }
    if entry.lockout_s:
        told["lockout_s"] = entry.lockout_s
    return told


def _credit(meter: SimulatedMeter) -> Fields:
    return {"credit": _amount(meter, meter.credit_milli)}


def _amount(meter: SimulatedMeter, milli: int) -> list[str]:
    counted_in = meter.plate.currency or meter.plate.service.unit.value
    return [decimal_text(milli), counted_in]
