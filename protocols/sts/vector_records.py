"""Records of a file of STS test vectors: reading their fields, collecting what a check found.

A record is a JSON object with ``id``, ``kind``, ``inputs``, ``expected`` and perhaps ``computed``
(intermediate values). Knows nothing of what the fields mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum, unique
from typing import TypeVar

from protocols.sts.errors import StsError
from protocols.sts.sta import StaTables

NUMBER_CHARACTERS = 100  # no field is wider than 66 bits

Member = TypeVar("Member", bound=IntEnum)


class VectorError(StsError):
    """A record cannot be checked: a field is missing, unknown or of the wrong form."""


@unique
class Verdict(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NEEDS_TABLES = "needs licensed tables"  # all that can be known without them agrees


@dataclass(frozen=True, slots=True)
class Outcome:
    """What checking one record gave: our values and the record's, by the names of its fields."""

    kind: str
    id: str
    verdict: Verdict
    got: Mapping[str, str]
    expected: Mapping[str, str]
    detail: str

    @property
    def ok(self) -> bool:
        """Whether everything was computed and agrees."""
        return self.verdict is Verdict.PASSED


class Fields:
    """One object of a record. Every reader raises VectorError naming the record and the field."""

    def __init__(self, path: str, values: Mapping[str, object]) -> None:
        self._path = path
        self._values = values
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def unread(self) -> list[str]:
        """Names of the fields that nobody asked for."""
        return sorted(self._values.keys() - self._read)

    def wrong(self, name: str, problem: str) -> VectorError:
        """The error to raise about a field."""
        return VectorError(f"{self._path}.{name}", problem)

    def fields(self, name: str) -> "Fields":
        """An object inside."""
        value = self._value(name)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "must be an object")
        return Fields(f"{self._path}.{name}", value)

    def text(self, name: str) -> str:
        """A text."""
        value = self._value(name)
        if not isinstance(value, str):
            raise self.wrong(name, "must be a text")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts, not empty."""
        value = self._value(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name, "must be a list of texts")
        if not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "must be a list of texts")
        return value

    def integer(self, name: str) -> int:
        """A whole number, or its text, decimal or with 0x."""
        value = self._value(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or len(value) > NUMBER_CHARACTERS:
            raise self.wrong(name, "must be a whole number")
        try:
            return int(value, 16 if value.lower().startswith("0x") else 10)
        except ValueError:
            raise self.wrong(name, "must be a whole number") from None

    def member(self, name: str, table: type[Member]) -> Member:
        """A number out of a table; UnsupportedError where the table has withdrawn members."""
        try:
            return table(self.integer(name))
        except StsError:
            raise
        except ValueError:
            raise self.wrong(name, f"is no {table.__name__}") from None

    def octets(self, name: str) -> bytes:
        """Bytes, written in hex."""
        try:
            return bytes.fromhex(self.text(name))
        except ValueError:
            raise self.wrong(name, "must be hex") from None

    def moment(self, name: str) -> datetime:
        """A time, ISO 8601; UTC where it names no zone."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise self.wrong(name, "must be a time, ISO 8601") from None
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    def _value(self, name: str) -> object:
        if name not in self._values:
            raise self.wrong(name, "is missing")
        self._read.add(name)
        return self._values[name]


class Record:
    """One record, opened: its parts, the licensed EA07 tables if any, and what was compared."""

    def __init__(self, values: Mapping[str, object], tables: StaTables | None) -> None:
        self.tables = tables
        self.id = Fields("record", values).text("id")
        whole = Fields(self.id, values)
        self.kind = whole.text("kind")
        self.inputs = whole.fields("inputs")
        self.expected = whole.fields("expected")
        self.computed = whole.fields("computed") if "computed" in values else Fields(self.id, {})
        self.lacks_tables = False
        self._comparisons: list[_Comparison] = []

    def compare(self, name: str, got: object, expected: object) -> None:
        """Note what we got beside what the record says; letters may be of either case."""
        self._comparisons.append(_Comparison(name, str(got), str(expected)))

    def compare_expected(self, name: str, got: str | int) -> None:
        """Compare with a field of ``expected``, which must be there."""
        self._compare_field(self.expected, name, got)

    def compare_if_there(self, part: Fields, name: str, got: str | int) -> None:
        """Compare with a field that the record may leave out."""
        if name in part:
            self._compare_field(part, name, got)

    def compare_list(self, part: Fields, name: str, got: list[str]) -> None:
        """Compare with a list that may stop early."""
        listed = part.texts(name)
        self.compare(name, " ".join(got[: len(listed)]), " ".join(listed))

    def outcome(self) -> Outcome:
        """What came of it all. VectorError for an expectation that nothing was compared with."""
        if unknown := self.expected.unread:
            raise self.expected.wrong(unknown[0], f"is unknown to the kind {self.kind}")
        wrong = [comparison.name for comparison in self._comparisons if not comparison.agrees]
        return Outcome(
            kind=self.kind,
            id=self.id,
            verdict=self._verdict(wrong),
            got={comparison.name: comparison.got for comparison in self._comparisons},
            expected={comparison.name: comparison.expected for comparison in self._comparisons},
            detail="; ".join(self._remarks(wrong)),
        )

    def failure(self, error: StsError) -> Outcome:
        """The outcome when our code refused what the record takes for right."""
        name = type(error).__name__
        return Outcome(self.kind, self.id, Verdict.FAILED, {}, {}, f"{name}: {error}")

    def _compare_field(self, part: Fields, name: str, got: str | int) -> None:
        self.compare(name, got, part.integer(name) if isinstance(got, int) else part.text(name))

    def _verdict(self, wrong: list[str]) -> Verdict:
        if wrong:
            return Verdict.FAILED
        return Verdict.NEEDS_TABLES if self.lacks_tables else Verdict.PASSED

    def _remarks(self, wrong: list[str]) -> list[str]:
        remarks = [f"differs: {', '.join(wrong)}"] if wrong else []
        if self.lacks_tables:
            remarks.append("made with the licensed EA07 tables, which are not loaded")
        if unread := self.computed.unread:
            remarks.append(f"not compared: computed {', '.join(unread)}")
        return remarks


@dataclass(frozen=True, slots=True)
class _Comparison:
    name: str
    got: str
    expected: str

    @property
    def agrees(self) -> bool:
        return self.got.lower() == self.expected.lower()
