"""A captured frame of a Pulsar device in plain words: for people who look at a line.

It does not say whether it is a request or a reply; where it may be both, both are told.
"""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TypeAlias

from protocols.pulsar.frame import ERROR, READ_CHANNELS, Frame, decode_frame, values

Rows: TypeAlias = Sequence[tuple[str, str]]

_MASK_BYTES = 4


def explain(data: bytes) -> Rows:
    """What a frame says, as name and text. Raises MalformedFrame."""
    frame = decode_frame(data)
    names = {READ_CHANNELS: "read channels", ERROR: "refused"}
    return [
        ("frame", "Pulsar, CRC right"),
        ("address", frame.address),
        ("function", f"{frame.function:02x} {names.get(frame.function, 'unknown')}"),
        ("number", frame.number.hex(" ")),
        *_content(frame),
    ]


def _content(frame: Frame) -> Iterator[tuple[str, str]]:
    if frame.data:
        yield "data", frame.data.hex(" ")
    if frame.function != READ_CHANNELS:
        return
    if len(frame.data) == _MASK_BYTES:
        mask = int.from_bytes(frame.data, "little")
        channels = [str(bit + 1) for bit in range(32) if mask >> bit & 1]
        yield "as a request", f"channels {', '.join(channels) or 'none'}"
    try:
        told = values(frame.data)
    except ValueError as error:
        yield "malformed", str(error)
        return
    for channel, one in enumerate(told, 1):
        yield f"as a reply, value {channel}", f"{one:.6g}" if isfinite(one) else "no number"
