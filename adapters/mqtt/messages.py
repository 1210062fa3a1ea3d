"""Payloads of docs/mqtt.md, sections 2 to 8: JSON to records. Bounded and strict where it counts.

What is only told along (an echo, a time) is left out when it makes no sense; what a message is
about must be right, or the message is Nonsense. Knows nothing of readings or reports.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Annotated, Literal, TypeVar

import msgspec

from adapters.mqtt.topics import Nonsense
from headend.supply import Contacts, DarkCause

MAX_PAYLOAD = 32 * 1024
VERSION = 1


@unique
class Sureness(StrEnum):
    """How a gateway marks what it sends."""

    GOOD = "good"
    STALE = "stale"
    DOUBTFUL = "doubtful"


@unique
class Progress(StrEnum):
    """How far a command has come at the gateway."""

    RECEIVED = "received"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def last(self) -> bool:
        return self not in (Progress.RECEIVED, Progress.RUNNING)


@unique
class Reason(StrEnum):
    """Why a command failed without a token result."""

    BUSY = "busy"
    EXPIRED = "expired"
    CLOCK_INVALID = "clock_invalid"
    RETAINED = "retained"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    UNKNOWN_METER = "unknown_meter"
    MALFORMED = "malformed"


@unique
class Presence(StrEnum):
    """Whether a gateway is there."""

    ONLINE = "online"
    OFFLINE = "offline"


@unique
class Control(StrEnum):
    """COSEM Disconnect control state, by name."""

    DISCONNECTED = "disconnected"
    CONNECTED = "connected"
    READY = "ready"


@unique
class KeypadUnit(StrEnum):
    """Whether the unit in the home, with the button, is heard."""

    SEEN = "seen"
    LOST = "lost"


class Envelope(msgspec.Struct, frozen=True):
    """What every payload has."""

    v: int
    ts: object = None
    meter: str | None = None
    q: Sureness = Sureness.GOOD


class Status(Envelope, frozen=True, kw_only=True):
    state: Presence


class SupplyPart(msgspec.Struct, frozen=True):
    """Amounts and voltages are pairs; those that make no sense are left out."""

    contacts: Contacts
    control: Control | None = None
    cause: DarkCause | None = None
    reconnect_at: object = None
    debt: object = None
    grid_voltage: object = None
    load_voltage: object = None
    load_current: object = None
    keypad_unit: KeypadUnit | None = None


class State(Envelope, frozen=True, kw_only=True):
    """Also a birth, which has neither supply nor credit."""

    supply: SupplyPart | None = None
    credit: object = None


class ReadingMessage(Envelope, frozen=True, kw_only=True):
    values: Mapping[str, object]


class TokenPart(msgspec.Struct, frozen=True, kw_only=True):
    """A meter's result of one token; only `code` must be right."""

    code: int | None = None
    tid: object = None
    amount: object = None
    credit_before: object = None
    balance: object = None
    lockout_s: object = None
    at: object = None
    origin: object = None


class EventMessage(Envelope, frozen=True, kw_only=True):
    code: str | None = None
    number: object = 0
    argument: object = None
    id: object = None
    boot: object = None
    seq: object = None
    token: TokenPart | None = None


class Result(TokenPart, frozen=True, kw_only=True):
    """A result of a command."""

    v: int
    cmd: str
    verb: str
    state: Progress
    ts: object = None
    meter: str | None = None
    of: str | None = None
    reason: str | None = None
    values: Mapping[str, object] = {}
    supply: SupplyPart | None = None
    sts: object = None


class StsPart(msgspec.Struct, frozen=True):
    """The key that a meter holds; no other numbers name a key (IEC 62055-41)."""

    sgc: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{6}$")]
    krn: Annotated[int, msgspec.Meta(ge=0, le=9)]
    ti: Annotated[int, msgspec.Meta(ge=0, le=99)]
    kt: Annotated[int, msgspec.Meta(ge=0, le=3)]
    ea: Literal[7, 11]


Payload = TypeVar("Payload", Status, State, ReadingMessage, EventMessage, Result)


def decode(payload: bytes, kind: type[Payload], *, meter: str | None = None) -> Payload:
    """Read one payload; raises Nonsense. With `meter`, a number in the payload must equal it."""
    if len(payload) > MAX_PAYLOAD:
        raise Nonsense("too_large")
    try:
        body = msgspec.json.decode(payload, type=kind)
    except msgspec.ValidationError as exc:
        raise Nonsense("field", str(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Nonsense("json") from exc
    if body.v != VERSION:
        raise Nonsense("version")
    if meter is not None and body.meter is not None and body.meter != meter:
        raise Nonsense("mismatch")
    return body
