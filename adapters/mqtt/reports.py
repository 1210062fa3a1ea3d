"""One inbound message as the core hears it: topic and payload to a Report (docs/mqtt.md).

What makes no sense raises Nonsense and nothing else. A retained message tells of its own `ts`,
never of now. Knows nothing of connections or of who waits for a result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from adapters.mqtt.amounts import (
    MAX_TID,
    parse_count,
    parse_number,
    parse_time,
    parse_value,
    parse_values,
)
from adapters.mqtt.messages import (
    EventMessage,
    Presence,
    Progress,
    ReadingMessage,
    Reason,
    Result,
    State,
    Status,
    StsPart,
    Sureness,
    TokenPart,
    decode,
)
from adapters.mqtt.supply import read_supply
from adapters.mqtt.topics import GatewayTopic, Kind, MeterTopic, Nonsense, parse_topic
from headend.events import EventType, MeterEvent
from headend.meters import BusName, KeyType, StsConfiguration, TenantId
from headend.ports import Report, TokenSeen
from headend.readings import CLOCK_DRIFT, Quality, Reading, ReadingType
from headend.supply import Supply
from headend.tokens import TokenOrigin, TokenOutcome, TokenResult

_MAX_NUMBER = 2**31 - 1
_MAX_ARGUMENT = 2**63 - 1
_LOCK_OUT_MAX_S = 86_400
_NAME_LENGTH = 32
_QUALITIES = {
    Sureness.GOOD: Quality.GOOD,
    Sureness.STALE: Quality.STALE,
    Sureness.DOUBTFUL: Quality.SUSPECT,
}
_ORIGINS = frozenset(TokenOrigin)
# These tell that the meter cannot be reached, or soon will not.
_FAREWELLS = frozenset({EventType.POWER_DOWN, EventType.METER_SILENT})
# The meter itself said so.
_JUDGED = frozenset({Reason.REFUSED, Reason.UNSUPPORTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one message tells: of a gateway (`presence`), or of a meter (`report`).

    `presence` is None where a retained or late message leaves open whether the gateway is there.
    """

    tenant: TenantId
    gateway: str
    presence: Presence | None
    report: Report | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hearing:
    """What the parts of a report share."""

    topic: MeterTopic
    bus: BusName
    retained: bool
    now: datetime

    def times(self, ts: object, sureness: Sureness) -> tuple[datetime, Quality]:
        """When it was true and how sure; raises Nonsense for a retained message without time."""
        told = parse_time(ts)
        if told is None:
            if self.retained:
                raise Nonsense("retained")
            return self.now, Quality.SUSPECT
        quality = _QUALITIES[sureness]
        return told, Quality.STALE if self.retained and quality is Quality.GOOD else quality

    def readings(
        self, values: Mapping[ReadingType, int], taken_at: datetime, quality: Quality
    ) -> tuple[Reading, ...]:
        return tuple(
            Reading(
                tenant=self.topic.tenant,
                drn=self.topic.drn,
                type=kind,
                value=value,
                taken_at=taken_at,
                received_at=self.now,
                quality=quality,
            )
            for kind, value in values.items()
        )

    def report(
        self,
        *,
        alive: bool,
        stored: bool = False,
        told_at: datetime | None = None,
        readings: tuple[Reading, ...] = (),
        events: tuple[MeterEvent, ...] = (),
        supply: Supply | None = None,
        tokens: tuple[TokenSeen, ...] = (),
    ) -> Report:
        return Report(
            tenant=self.topic.tenant,
            drn=self.topic.drn,
            bus=self.bus,
            address=self.topic.gateway,
            stored=self.retained or stored,
            readings=readings,
            events=events,
            supply=supply,
            tokens=tokens,
            alive=alive and not self.retained,
            told_at=told_at,
        )


def tell(topic: str, payload: bytes, *, retained: bool, bus: BusName, now: datetime) -> Told | None:
    """Read one message; None when it only clears a retained one. Raises Nonsense."""
    place = parse_topic(topic)
    if isinstance(place, GatewayTopic):
        return _status(place, payload) if payload else None
    if not payload and place.kind in (Kind.BIRTH, Kind.STATE):
        return None
    hearing = _Hearing(topic=place, bus=bus, retained=retained, now=now)
    result: Result | None = None
    match place.kind:
        case Kind.BIRTH | Kind.STATE:
            report = _state(hearing, payload)
        case Kind.READING:
            report = _reading(hearing, payload)
        case Kind.EVENT:
            report = _event(hearing, payload)
        case _:
            result = _read_result(hearing, payload)
            report = _result(hearing, result)
    return Told(
        tenant=place.tenant,
        gateway=place.gateway,
        presence=None if retained else Presence.ONLINE,
        report=report,
        result=result,
    )


def _status(topic: GatewayTopic, payload: bytes) -> Told:
    status = decode(payload, Status)
    return Told(tenant=topic.tenant, gateway=topic.gateway, presence=status.state)


def _state(hearing: _Hearing, payload: bytes) -> Report:
    body = decode(payload, State, meter=hearing.topic.drn)
    if hearing.topic.kind is Kind.BIRTH:
        return hearing.report(alive=True)
    taken_at, quality = hearing.times(body.ts, body.q)
    # Without a time, or with one that is ahead, it may have waited for us at the broker for days.
    timeless = body.ts is None or taken_at - hearing.now > CLOCK_DRIFT
    kind = ReadingType.CREDIT_LEFT_MILLI
    credit = None if body.credit is None else parse_value(kind, body.credit)
    return hearing.report(
        alive=body.q is not Sureness.STALE,
        stored=body.q is Sureness.STALE or timeless,
        readings=hearing.readings({} if credit is None else {kind: credit}, taken_at, quality),
        supply=read_supply(body.supply, min(taken_at, hearing.now), credit_milli=credit),
    )


def _reading(hearing: _Hearing, payload: bytes) -> Report:
    body = decode(payload, ReadingMessage, meter=hearing.topic.drn)
    taken_at, quality = hearing.times(body.ts, body.q)
    return hearing.report(
        alive=body.q is not Sureness.STALE,
        stored=body.q is Sureness.STALE,
        readings=hearing.readings(parse_values(body.values), taken_at, quality),
    )


def _event(hearing: _Hearing, payload: bytes) -> Report:
    body = decode(payload, EventMessage, meter=hearing.topic.drn)
    if body.code is not None and body.code.lower() != hearing.topic.tail.lower():
        raise Nonsense("mismatch")
    taken_at, _ = hearing.times(body.ts, body.q)
    told_at = parse_time(body.ts)
    number = parse_count(body.number, most=_MAX_NUMBER) or 0
    event = MeterEvent(
        tenant=hearing.topic.tenant,
        drn=hearing.topic.drn,
        code=int(hearing.topic.tail, 16),
        taken_at=taken_at,
        received_at=hearing.now,
        number=number,
        argument=_argument(body.argument),
        message=None if told_at is not None else _name_of(body, number),
    )
    outcome = None if body.token is None else read_outcome(body.token)
    return hearing.report(
        alive=body.q is not Sureness.STALE and event.type not in _FAREWELLS,
        stored=body.q is Sureness.STALE,
        told_at=told_at,
        events=(event,),
        tokens=() if outcome is None else (TokenSeen(outcome=outcome),),
    )


def _name_of(body: EventMessage, number: int) -> str | None:
    """What names the message of an event without a time, the same however often it comes.

    A digest: what gateways write is unbounded. None where only the content could tell: two events
    may have the same, and told twice is better than lost.
    """
    boot = body.boot if isinstance(body.boot, int | str) else None
    if boot is not None and isinstance(body.seq, int):
        named = ["seq", boot, body.seq]
    elif isinstance(body.id, str) and body.id:
        named = ["id", body.id]
    elif boot is not None and number:
        named = ["number", boot, number]
    else:
        return None
    return sha256(msgspec.json.encode(named)).hexdigest()[:_NAME_LENGTH]


def _argument(argument: object) -> int | None:
    if isinstance(argument, int) and not isinstance(argument, bool):
        return argument if abs(argument) <= _MAX_ARGUMENT else None
    return None


def _read_result(hearing: _Hearing, payload: bytes) -> Result:
    result = decode(payload, Result, meter=hearing.topic.drn)
    if hearing.retained:
        raise Nonsense("retained")
    if result.cmd != hearing.topic.tail:
        raise Nonsense("mismatch")
    return result


def _result(hearing: _Hearing, result: Result) -> Report:
    taken_at, quality = hearing.times(result.ts, Sureness.GOOD)
    values = parse_values(result.values) if result.verb == "read" else {}
    return hearing.report(
        alive=_reached(result),
        readings=hearing.readings(values, taken_at, quality),
        supply=read_supply(
            result.supply,
            min(taken_at, hearing.now),
            credit_milli=values.get(ReadingType.CREDIT_LEFT_MILLI),
        ),
        tokens=_tokens(result),
    )


def _reached(result: Result) -> bool:
    """The meter itself answered, not only its gateway."""
    match result.state:
        case Progress.DONE:
            return result.verb != "outcome"  # perhaps from the gateway's memory
        case Progress.FAILED:
            return result.code is not None or result.reason in _JUDGED
        case _:
            return False


def _tokens(result: Result) -> tuple[TokenSeen, ...]:
    outcome = read_outcome(result)
    about = {"token": result.cmd, "outcome": result.of}.get(result.verb)
    if outcome is None or about is None or not settled(result):
        return ()
    return (TokenSeen(token_id=token_id(about), outcome=outcome),)


def settled(result: Result) -> bool:
    """The gateway knows how the command ended."""
    return result.state in (Progress.DONE, Progress.FAILED)


def token_id(command_id: str) -> str:
    """The token of a token command; `.n` counts the lock-outs met before."""
    return command_id.partition(".")[0]


def read_outcome(part: TokenPart) -> TokenOutcome | None:
    """A meter's result of one token; None without a result that we know."""
    try:
        result = TokenResult(part.code) if part.code is not None else None
    except ValueError:
        return None
    if result is None or result is TokenResult.RESERVED:
        return None
    return TokenOutcome(
        result=result,
        tid=parse_count(part.tid, most=MAX_TID),
        amount=parse_number(part.amount),
        credit_before=parse_number(part.credit_before),
        credit_after=parse_number(part.balance),
        lockout_s=parse_count(part.lockout_s, most=_LOCK_OUT_MAX_S) or 0,
        at=parse_time(part.at),
        origin=_origin(part.origin),
    )


def _origin(told: object) -> TokenOrigin | None:
    return TokenOrigin(told) if isinstance(told, str) and told in _ORIGINS else None


def read_sts(part: object) -> StsConfiguration | None:
    """The key that a meter says it holds; None for what names no key."""
    try:
        told = msgspec.convert(part, StsPart)
    except msgspec.ValidationError:
        return None
    if told.krn == 0 and told.kt != KeyType.INITIALIZATION:
        return None
    return StsConfiguration(
        sgc=told.sgc,
        krn=told.krn,
        tariff_index=told.ti,
        key_type=KeyType(told.kt),
        ea=told.ea,
    )
