"""Profile files: Modbus meter models as data, one TOML file each, its name the file's stem.

Those beside this module ship with us. The whole file is checked before any of it is used.
"""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from adapters.modbus.frames import Table
from adapters.modbus.positions import KeyPath, position
from adapters.modbus.profile import Probe, Profile, RegisterReading
from headend.errors import Misconfigured
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.blocks import Span, plan_reads
from protocols.modbus.registers import Encoding, NumberFormat, Order

SHIPPED = Path(__file__).parent / "profiles"
FORMAT = 1
# The prepayment block protocols that a profile may name.
PREPAY = ("stsm",)
_NEEDS_PREPAY = (
    Capability.ENTER_TOKEN
    | Capability.TOKEN_OUTCOME
    | Capability.SUPPLY
    | Capability.SUPPLY_ORDER
    | Capability.CLOCK
    | Capability.STS_CONFIGURATION
)

_Address = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
_MaxRead = Annotated[int, msgspec.Meta(ge=1, le=125)]
_Hole = Annotated[int, msgspec.Meta(ge=0, le=124)]
_Words = Annotated[int, msgspec.Meta(ge=1, le=32)]
_Record = TypeVar("_Record", bound=msgspec.Struct)


class MalformedProfile(Misconfigured):
    """A profile file that cannot be used; the text begins with file, line and column."""


def load_profiles(*folders: Path) -> Mapping[ProfileName, Profile]:
    """The shipped profiles and those of further folders; a later one of the same name wins.

    Raises MalformedProfile.
    """
    files = (path for folder in (SHIPPED, *folders) for path in sorted(folder.glob("*.toml")))
    profiles = (load_profile(path) for path in files)
    return {profile.name: profile for profile in profiles}


def load_profile(path: Path) -> Profile:
    """Read and check one file; raises MalformedProfile."""
    source = path.read_text(encoding="utf-8")
    try:
        return _File.read(source).profile(ProfileName(path.stem))
    except _Wrong as wrong:
        line, column = wrong.place or position(source, wrong.path)
        raise MalformedProfile(f"{path}:{line}:{column}: {wrong}") from wrong


# --- the file -----------------------------------------------------------------------------------


class _Wrong(Exception):
    """Something is wrong at a key of the file, or at a line and column of it."""

    def __init__(self, reason: str, *path: str, place: tuple[int, int] | None = None) -> None:
        super().__init__(reason)
        self.path: KeyPath = path
        self.place = place


class _Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys that a reading and a probe share."""

    holding: _Address | None = None
    input: _Address | None = None
    decode: str
    order: Order = Order.ABCD
    scale: Decimal = Decimal(1)
    invalid: list[int] = []

    def located(self, path: KeyPath, words: int) -> tuple[Table, Span]:
        match self.holding, self.input:
            case int(start), None:
                table = Table.HOLDING
            case None, int(start):
                table = Table.INPUT
            case _:
                raise _Wrong('give the address as either "holding" or "input"', *path)
        if start + words > 0x10000:
            raise _Wrong("the registers end after 0xFFFF", *path, table.value)
        return table, Span(start, words)

    def number(self, path: KeyPath) -> NumberFormat:
        try:
            encoding = Encoding(self.decode)
        except ValueError:
            known = ", ".join(Encoding)
            raise _Wrong(f"{self.decode!r} is none of {known}", *path, "decode") from None
        if not self.scale or not self.scale.is_finite():
            raise _Wrong("a scale is a number other than 0", *path, "scale")
        return NumberFormat(
            encoding=encoding, order=self.order, scale=self.scale, invalid=frozenset(self.invalid)
        )


class _Reading(_Location, frozen=True, forbid_unknown_fields=True, kw_only=True):
    exponent: _Address | None = None

    def reading(self, path: KeyPath) -> RegisterReading:
        number = self.number(path)
        table, span = self.located(path, number.encoding.words)
        return RegisterReading(table=table, span=span, format=number, exponent_at=self.exponent)


class _Probe(_Location, frozen=True, forbid_unknown_fields=True, kw_only=True):
    words: _Words | None = None
    equals: str | int | None = None
    between: tuple[Decimal, Decimal] | None = None

    def probe(self) -> Probe:
        path = ("probe",)
        if (self.equals is None) == (self.between is None):
            raise _Wrong('a probe says either "equals" or "between"', *path)
        number = None if self.decode == "text" else self.number(path)
        if isinstance(self.equals, str) is not (number is None):
            raise _Wrong("compare a text with a text, a number with a number", *path, "equals")
        if number is None and self.words is None:
            raise _Wrong('a text needs "words", its count of registers', *path)
        table, span = self.located(path, number.encoding.words if number else self.words or 0)
        return Probe(
            table=table,
            span=span,
            format=number,
            order=self.order,
            equals=self.equals,
            between=self.between,
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: int
    title: str
    source: str
    can: list[str]
    prepay: str | None = None
    max_read: _MaxRead = 60
    max_hole: _Hole = 0
    barriers: list[_Address] = []
    probe: dict[str, object]
    readings: dict[str, dict[str, object]] = {}

    @classmethod
    def read(cls, source: str) -> "_File":
        try:
            tables = tomllib.loads(source, parse_float=Decimal)
        except tomllib.TOMLDecodeError as exc:
            raise _Wrong(str(exc), place=_place(str(exc))) from exc
        return _converted(tables, cls)

    def profile(self, name: ProfileName) -> Profile:
        if self.format != FORMAT:
            raise _Wrong(f"this version reads format {FORMAT}, not {self.format}", "format")
        profile = Profile(
            name=name,
            title=self.title,
            source=self.source,
            can=self._capabilities(),
            prepay=self.prepay,
            probe=_converted(self.probe, _Probe, "probe").probe(),
            readings={_type(name): self._reading(name) for name in self.readings},
            max_read=self.max_read,
            max_hole=self.max_hole,
            barriers=frozenset(self.barriers),
        )
        if Capability.READ in profile.can and not profile.readings:
            raise _Wrong("READ needs readings", "can")
        _check_layout(profile)
        return profile

    def _reading(self, name: str) -> RegisterReading:
        path = ("readings", name)
        return _converted(self.readings[name], _Reading, *path).reading(path)

    def _capabilities(self) -> Capability:
        if unknown := set(self.can) - set(Capability.__members__) | {"NONE"} & set(self.can):
            known = ", ".join(name for name in Capability.__members__ if name != "NONE")
            raise _Wrong(f"{min(unknown)!r} is none of {known}", "can")
        can = reduce(or_, (Capability[name] for name in self.can), Capability.NONE)
        if self.prepay is not None and self.prepay not in PREPAY:
            raise _Wrong(f"{self.prepay!r} is none of {', '.join(PREPAY)}", "prepay")
        if ReadingType.CREDIT_LEFT_MILLI.name in self.readings:
            can |= Capability.CREDIT_REGISTER
        elif Capability.CREDIT_REGISTER in can:
            raise _Wrong("CREDIT_REGISTER needs the reading CREDIT_LEFT_MILLI", "can")
        if self.prepay is None and can & _NEEDS_PREPAY:
            raise _Wrong('tokens, supply, clock and key need "prepay"', "can")
        return can


def _type(name: str) -> ReadingType:
    try:
        return ReadingType[name]
    except KeyError:
        known = ", ".join(ReadingType.__members__)
        raise _Wrong(f"{name!r} is no reading type; known are {known}", "readings", name) from None


def _check_layout(profile: Profile) -> None:
    """Values that overlap without being the same, or that no read can fetch."""
    taken: dict[tuple[Table, int], Span] = {}
    for kind, reading in profile.readings.items():
        path = ("readings", kind.name)
        for address in range(reading.span.start, reading.span.end):
            other = taken.setdefault((reading.table, address), reading.span)
            if other != reading.span:
                raise _Wrong(f"{address:#06x} belongs to another reading as well", *path)
        try:
            plan_reads((reading.span,), max_read=profile.max_read, barriers=profile.barriers)
        except ValueError as exc:
            raise _Wrong(str(exc), *path) from exc


def _converted(table: object, kind: type[_Record], *path: str) -> _Record:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as exc:
        reason, _, below = str(exc).partition(" - at `$")
        unknown = re.match(r"Object contains unknown field `(.+)`", reason)
        keys = [*re.findall(r"\w+", below), *([unknown[1]] if unknown else [])]
        raise _Wrong(reason, *path, *keys) from exc


def _place(reason: str) -> tuple[int, int]:
    """The parser tells it at the end of its complaint, or complains of the end of the file."""
    found = re.search(r"at line (\d+), column (\d+)", reason)
    return (int(found[1]), int(found[2])) if found else (1, 1)
