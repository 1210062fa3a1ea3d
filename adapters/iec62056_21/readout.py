"""One read-out in mode C: sign on, change the speed, take all data (IEC 62056-21, annex A).

The line is taken for the whole of it, because characters are 7E1 then, the speed changes in between
and data messages name no meter. So it is bounded, in time and in bytes. A meter that stays at its
speed (mode A) is read as well; mode B is not spoken.
"""

from typing import TypeAlias

from adapters.transport.address import SerialAddress
from adapters.transport.exchange import Answer, Exchange
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.errors import Misconfigured, NoAnswer
from protocols.iec62056_21.characters import (
    ETX,
    LINE_END,
    STX,
    BlockCheck,
    Mode,
    seven_bits,
    without_parity,
)
from protocols.iec62056_21.errors import MalformedMessage
from protocols.iec62056_21.messages import MESSAGE_MAX_BYTES, DataSet, decode_data, whole_message
from protocols.iec62056_21.sign_on import (
    Identification,
    Option,
    identification,
    option_select,
    request,
)

# 6.3.14: an answer begins within 1.5 s, and no two of its characters lie further apart.
ANSWER_S = 1.5
# A conversation ends after a minute, and whoever else is on the line waits for this one. At 300
# baud these are 1500 characters, at 9600 more than any read-out has.
READ_OUT_S = 50.0
# An identification comes first: before it are an echo and noise, and not more.
SIGN_ON_BYTES = 512
# An identification names the maker and not the address: any of these meters may have sent it.
KIN = "iec62056-21 "

_SignedOn: TypeAlias = tuple[Identification, tuple[DataSet, ...] | None]


async def read_out(
    line: Line, address: str, check: BlockCheck, *, urgency: Urgency
) -> tuple[Identification, tuple[DataSet, ...]]:
    """Who answered, and all that it told; raises the errors of the wire."""
    station = f"{KIN}{address}"
    async with line.run(station, urgency=urgency) as run:
        if isinstance(line.address, SerialAddress):
            run.tune(baud=line.address.baud, bits=7, parity="E")
        who, data = await run.ask(_sign_on(station, address, check))
        if who.mode is Mode.B:
            raise Misconfigured(f"{station}: mode B, which is not spoken here")
        if data is None:
            data = await run.ask(_data(station, who, check), answered_at=who.speed)
        return who, data


def _sign_on(station: str, address: str, check: BlockCheck) -> Exchange[_SignedOn]:
    return Exchange(
        station=station,
        request=request(address),
        reply_bytes=MESSAGE_MAX_BYTES,
        answer=lambda heard: _signed_on(heard, check),
        what=f"{station}, signing on",
        kin=KIN,
        timeout_s=ANSWER_S,
        gap_s=ANSWER_S,
        whole_s=READ_OUT_S,
        ended=_signed_on_by,
    )


def _signed_on(heard: bytes, check: BlockCheck) -> Answer[_SignedOn] | None:
    """Who is there; a meter of mode A goes on to tell its data unasked."""
    found = _identified(heard[:SIGN_ON_BYTES])
    if found is None or found[0].mode is not Mode.A:
        return None if found is None else ((found[0], None), found[1])
    who, end = found
    told = _told(heard[end:], check)
    return None if told is None else ((who, told[0]), end + told[1])


def _signed_on_by(heard: bytearray, since: int) -> bool:
    if since < SIGN_ON_BYTES:
        return True
    found = _identified(bytes(heard[:SIGN_ON_BYTES]))
    return found is not None and _told_by(heard, since, begins=found[1])


def _identified(heard: bytes) -> Answer[Identification] | None:
    plain = seven_bits(heard)
    end = plain.find(LINE_END) + len(LINE_END)
    while end >= len(LINE_END):
        start = plain.rfind(b"/", 0, end)
        if start >= 0 and not plain.startswith(b"/?", start):
            try:
                return identification(without_parity(heard[start:end])), end
            except MalformedMessage:
                pass
        following = plain.find(LINE_END, end)
        if following < 0:
            return None
        end = following + len(LINE_END)
    return None


def _data(station: str, who: Identification, check: BlockCheck) -> Exchange[tuple[DataSet, ...]]:
    return Exchange(
        station=station,
        request=option_select(who.speed_character, Option.READ_OUT),
        reply_bytes=MESSAGE_MAX_BYTES,
        answer=lambda heard: _told(heard, check),
        what=f"{station}, reading out",
        addressed=False,
        timeout_s=ANSWER_S,
        gap_s=ANSWER_S,
        whole_s=READ_OUT_S,
        ended=_told_by,
    )


def _told_by(heard: bytearray, since: int, *, begins: int = 0) -> bool:
    """Whether the first ETX with its block check was whole when this piece came, and not before."""
    start = _first(heard, STX, begins)
    end = -1 if start < 0 else _first(heard, ETX, start)
    return max(0, since - 1) <= end < len(heard) - 1


def _first(heard: bytearray, character: int, begins: int) -> int:
    """Where it is, with a parity bit on top or without; -1: nowhere."""
    places = (heard.find(character | top, begins) for top in (0, 0x80))
    return min((place for place in places if place >= 0), default=-1)


def _told(heard: bytes, check: BlockCheck) -> Answer[tuple[DataSet, ...]] | None:
    start = seven_bits(heard).find(STX)
    if start < 0:
        return None
    try:
        message = whole_message(seven_bits(heard[start:]))
        if message is None:
            return None
        end = start + len(message)
        return decode_data(without_parity(heard[start:end]), check), end
    except MalformedMessage:
        return None


def require_maker(who: Identification, maker: str | None, address: str) -> None:
    """Another maker's meter behind this address is another meter; raises Misconfigured."""
    if maker is not None and who.maker.upper() != maker.upper():
        raise Misconfigured(f"{address!r} is a meter of {who.maker}, not of {maker}")


def numeric(one: DataSet) -> str:
    """The value of a data line as a plain number; raises NoAnswer."""
    if not one.value.replace(".", "", 1).replace("-", "", 1).isdecimal():
        raise NoAnswer(f"{one.address} is no number")
    return one.value


def reduced(address: str) -> str:
    """`1-0:1.8.0*255` as `1.8.0`: groups A, B and F are left out in most read-outs."""
    return address.partition("*")[0].rpartition(":")[2].strip()
