"""Station: one DL/T 645 meter on a line, and its questions as exchanges."""

from adapters.transport.exchange import Answer, Exchange
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.errors import Misconfigured, NoAnswer, Refused, Unsupported, WireError
from protocols.dlt645.data import Refusal, read_answer, read_next_request, read_request, refusal
from protocols.dlt645.errors import MalformedData
from protocols.dlt645.frame import FRAME_MAX_BYTES, Frame, Function, answers, find_frame
from protocols.dlt645.orders import without_secrets

# A load profile in parts is long; nothing that we read has more.
PARTS_MAX = 16
_READS = frozenset({Function.READ, Function.READ_NEXT})
_IDENTIFIER_BYTES = 4


class Station:
    """Satisfies what a session asks of its meter; raises the errors of the wire."""

    def __init__(self, line: Line, address: str, *, urgency: Urgency) -> None:
        self.address = address
        self._line = line
        self._urgency = urgency

    async def read(self, identifier: str) -> bytes:
        """The value of an identifier, all its parts; Unsupported where the meter has none."""
        answer = read_answer(await self.ask(read_request(self.address, identifier)))
        value = answer.value
        part = 0
        while answer.more:
            part += 1
            if part > PARTS_MAX:
                raise NoAnswer(f"meter {self.address}: {identifier} has no end")
            request = read_next_request(self.address, identifier, part)
            answer = read_answer(await self.ask(request))
            value += answer.value
        return value

    async def ask(self, request: Frame) -> Frame:
        """The good reply to a request; a refusal raises what it means."""
        reply = await self._line.ask(self._exchange(request), urgency=self._urgency)
        if reply.error:
            raise _error(self.address, reply)
        return reply

    def _exchange(self, request: Frame) -> Exchange[Frame]:
        shown = without_secrets(request)
        return Exchange(
            station=f"dlt645 {self.address}",
            request=request.on_wire(),
            reply_bytes=FRAME_MAX_BYTES if request.function in _READS else 24,
            answer=lambda heard: _answer(heard, request),
            what=f"meter {self.address}, {_what(request)}",
            shown=None if shown is request else shown.on_wire(),
        )


def _what(request: Frame) -> str:
    if request.function in _READS:
        return f"reading {request.data[:_IDENTIFIER_BYTES][::-1].hex()}"
    return f"function {request.function:02x}"


def _answer(heard: bytes, request: Frame) -> Answer[Frame] | None:
    """The reply to this very request within what was heard; others' frames are passed over."""
    start = 0
    while (found := find_frame(heard[start:])) is not None:
        start += found.taken
        if answers(request, found.frame) and _fits(request, found.frame):
            return found.frame, start
    return None


def _fits(request: Frame, reply: Frame) -> bool:
    """A reply to a read names what was asked; a further part repeats its number as well."""
    if reply.error:
        return len(reply.data) == 1
    if request.function not in _READS:
        return True
    try:
        answer = read_answer(reply)
    except MalformedData:
        return False
    asked = request.data[:_IDENTIFIER_BYTES][::-1].hex().upper()
    part = request.data[_IDENTIFIER_BYTES] if request.function == Function.READ_NEXT else None
    return (answer.identifier, answer.sequence) == (asked, part)


def _error(address: str, reply: Frame) -> WireError:
    why = refusal(reply)
    if Refusal.NO_SUCH_DATA in why:
        return Unsupported(f"meter {address} has no such data")
    if Refusal.NOT_AUTHORISED in why:
        return Misconfigured(f"meter {address} does not accept the password")
    return Refused(f"meter {address} refuses: {why!r}")
