"""Messages with a block check (IEC 62056-21, 6.3.4 to 6.4): data sets, commands, acknowledgement.

A data message is STX, data lines, ETX and the check; a command is SOH, its two letters, perhaps
STX and a data set, ETX and the check.
"""

from dataclasses import dataclass, field

from protocols.iec62056_21.characters import ETX, SOH, STX, BlockCheck, text
from protocols.iec62056_21.errors import MalformedMessage

MESSAGE_MAX_BYTES = 65_536  # no meter at hand reads out more; a stream without end is cut off here
DATA_SETS_MAX = 4_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """`address(value*unit)`, each part perhaps empty; further brackets of one address repeat it.

    `value` may be a password and shows in no text.
    """

    address: str
    value: str = field(repr=False)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """SOH message: `name` is such as P1, R1, W1 or B0."""

    name: str
    data: tuple[DataSet, ...] = ()


def encode_command(command: Command, check: BlockCheck = BlockCheck.XOR) -> bytes:
    """From SOH to the block check. Raises ValueError for a name that is no command."""
    if len(command.name) != 2 or not command.name.isalnum() or not command.name.isascii():
        raise ValueError("a command has a letter and a digit")
    body = command.name.encode("ascii")
    if command.data:
        body += bytes([STX]) + b"".join(_encoded(one) for one in command.data)
    checked = body + bytes([ETX])
    return bytes([SOH]) + checked + bytes([check.of(checked)])


def _encoded(one: DataSet) -> bytes:
    value = one.value if not one.unit else f"{one.value}*{one.unit}"
    if any(character in value + one.address for character in "()/!\x02\x03"):
        raise ValueError("brackets, / and ! cannot be written")
    return f"{one.address}({value})".encode("ascii")


def checked_body(message: bytes, check: BlockCheck) -> bytes:
    """What stands between the first byte and ETX of a whole message. Raises MalformedMessage."""
    if len(message) < 3 or message[0] not in (SOH, STX):
        raise MalformedMessage("a message begins with SOH or STX")
    if message[-2] != ETX:
        raise MalformedMessage("a message ends with ETX and its check")
    expected = check.of(message[1:-1])
    if message[-1] != expected:
        raise MalformedMessage(
            f"its block check is {message[-1]:02x}, its bytes give {expected:02x} ({check})"
        )
    return message[1:-2]


def whole_message(stream: bytes) -> bytes | None:
    """The message at the beginning of a stream, or None while it is not whole.

    Raises MalformedMessage when the stream cannot become one.
    """
    if stream[:1] not in (b"", bytes([SOH]), bytes([STX])):
        raise MalformedMessage(f"begins with {stream[0]:02x}, not SOH or STX")
    end = stream.find(ETX)
    if end < 0 and len(stream) > MESSAGE_MAX_BYTES:
        raise MalformedMessage(f"no end after {MESSAGE_MAX_BYTES} bytes")
    return stream[: end + 2] if 0 < end < len(stream) - 1 else None


def decode_data(message: bytes, check: BlockCheck = BlockCheck.XOR) -> tuple[DataSet, ...]:
    """The data sets of an STX message. Raises MalformedMessage."""
    if message[:1] != bytes([STX]):
        raise MalformedMessage("a data message begins with STX")
    return data_sets(checked_body(message, check))


def decode_command(message: bytes, check: BlockCheck = BlockCheck.XOR) -> Command:
    """Read an SOH message. Raises MalformedMessage."""
    if message[:1] != bytes([SOH]):
        raise MalformedMessage("a command begins with SOH")
    name, _, data = checked_body(message, check).partition(bytes([STX]))
    plain = text(name)
    if len(plain) != 2 or not plain.isalnum():
        raise MalformedMessage("a command has a letter and a digit")
    return Command(plain, data_sets(data))


def data_sets(block: bytes) -> tuple[DataSet, ...]:
    """The data sets of a block of lines, up to its `!`. Raises MalformedMessage."""
    found: list[DataSet] = []
    body = block.partition(b"!")[0]
    for line in body.replace(b"\r", b"\n").split(b"\n"):
        found.extend(_of_line(text(line)))
        if len(found) > DATA_SETS_MAX:
            raise MalformedMessage(f"more than {DATA_SETS_MAX} data sets")
    return tuple(found)


def _of_line(line: str) -> list[DataSet]:
    found: list[DataSet] = []
    address, rest = "", line
    while rest:
        before, bracket, rest = rest.partition("(")
        if not bracket:
            raise MalformedMessage(f"no value after {before[:20]!r}")
        value, bracket, rest = rest.partition(")")
        if not bracket:
            raise MalformedMessage("a value without its closing bracket")
        address = before or address
        number, _, unit = value.partition("*")
        found.append(DataSet(address, number, unit))
    return found
