"""A file of meters: CSV in UTF-8, read and checked whole before anything is done with it.

Every fault is told with its line and column. Knows nothing of the store.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from typing import Final

from pydantic import ValidationError

from api.routes.meter_body import MeterAsked
from api.routes.usage_points import UsagePointAsked
from headend.errors import HeadendError
from headend.meters import Meter, TenantId, parse_drn
from headend.refusals import OrderRefused
from headend.usage_points import UsagePoint

REQUIRED = ("drn", "service", "profile", "sgc", "krn", "ti", "kt", "ea", "keypad")
OPTIONAL = (
    "bus",
    "address",
    "usage_point",
    "contact_sms",
    "contact_email",
    "language",
    "protected",
    "currency",
)
# The columns that describe a usage point.
DESCRIBING = ("contact_sms", "contact_email", "language", "protected")
# A file of refused rows tells why in this column; brought in again it is not read.
REASON = "error"
MAX_BYTES = 64 * 1024 * 1024
_NUMBERS = frozenset({"krn", "ti", "kt", "ea"})
_YES_NO: Final = {"": False, "no": False, "false": False, "0": False} | {
    "yes": True,
    "true": True,
    "1": True,
}


class FileRefused(HeadendError):
    """The file as a whole cannot be read; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in one line; `column` is its name, or empty for the whole line."""

    line: int
    column: str
    problem: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file: its cells, and what they describe if there is no fault."""

    line: int
    cells: Mapping[str, str]
    meter: Meter | None = None
    point: UsagePoint | None = None

    @property
    def describes_point(self) -> bool:
        """The line tells something of its usage point, and does not only name it."""
        return any(self.cells.get(name) for name in DESCRIBING)


@dataclass(slots=True)
class MetersFile:
    """All rows in order, and every fault that was found."""

    rows: Sequence[Row]
    faults: list[Fault] = field(default_factory=list)

    def sound(self) -> Sequence[Row]:
        """The rows without a fault."""
        bad = {fault.line for fault in self.faults}
        return [row for row in self.rows if row.line not in bad]

    def refused(self) -> Sequence[tuple[Row, str]]:
        """The rows with faults, and what is wrong with each."""
        problems: dict[int, list[str]] = {}
        for fault in self.faults:
            problems.setdefault(fault.line, []).append(f"{fault.column}: {fault.problem}")
        return [(row, "; ".join(problems[row.line])) for row in self.rows if row.line in problems]


def read_meters(content: bytes, *, tenant: TenantId, now: datetime) -> MetersFile:
    """Read and check a file; raises FileRefused when it is no table of meters."""
    if len(content) > MAX_BYTES:
        raise FileRefused(f"the file is larger than {MAX_BYTES >> 20} MiB; split it")
    found = MetersFile(rows=[])
    rows = []
    for line, cells in _lines(_text(content), found.faults):
        rows.append(_row(line, cells, found.faults, tenant=tenant, now=now))
    found.rows = rows
    _find_repeats(found)
    return found


def write_refused(file: MetersFile) -> str:
    """The refused rows as CSV with their reasons, ready to be mended and brought in again."""
    out = StringIO()
    writer = csv.DictWriter(out, [*REQUIRED, *OPTIONAL, REASON], lineterminator="\n")
    writer.writeheader()
    for row, problem in file.refused():
        known = {name: value for name, value in row.cells.items() if name != REASON}
        writer.writerow(known | {REASON: problem})
    return out.getvalue()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileRefused(
            f"line {line} is no UTF-8; save the file as CSV in UTF-8 and try again"
        ) from None


def _lines(text: str, faults: list[Fault]) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    begins = 1
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header([cell.strip().lower() for cell in cells])
            elif len(cells) != len(header):
                yield line, dict(zip(header, cells, strict=False))
                problem = f"{len(cells)} cells where the header has {len(header)}"
                faults.append(Fault(line, "", problem))
            else:
                yield line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise FileRefused(f"line {begins}: no CSV: {error}") from None
    if header is None:
        raise FileRefused(f"the file is empty; its first line is {','.join(REQUIRED)},...")


def _header(names: list[str]) -> list[str]:
    known = {*REQUIRED, *OPTIONAL, REASON}
    unknown = [name for name in names if name not in known]
    missing = [name for name in REQUIRED if name not in names]
    if len(names) == 1 and ";" in names[0]:
        raise FileRefused("line 1: cells are separated by semicolons; save it with commas")
    if unknown:
        raise FileRefused(
            f"line 1: unknown column {unknown[0]!r}; known: {', '.join(sorted(known))}"
        )
    if missing:
        raise FileRefused(f"line 1: the column {missing[0]} is missing")
    if len(set(names)) != len(names):
        raise FileRefused("line 1: a column stands there twice")
    return names


def _row(
    line: int,
    cells: Mapping[str, str],
    faults: list[Fault],
    *,
    tenant: TenantId,
    now: datetime,
) -> Row:
    before = len(faults)
    meter = _meter(line, cells, faults, tenant=tenant, now=now)
    point = _point(line, cells, faults, tenant=tenant, now=now)
    if len(faults) > before:
        return Row(line, cells)
    return Row(line, cells, meter, point)


def _meter(
    line: int, cells: Mapping[str, str], faults: list[Fault], *, tenant: TenantId, now: datetime
) -> Meter | None:
    try:
        parse_drn(cells.get("drn", ""), field="drn")
    except OrderRefused as error:
        faults.append(Fault(line, error.field or "", error.detail))
    try:
        return MeterAsked.model_validate(_form(cells)).meter(tenant, now=now)
    except ValidationError as error:
        _add_faults(line, error, faults)
    return None


def _form(cells: Mapping[str, str]) -> Mapping[str, object]:
    route = {"bus": cells.get("bus", ""), "address": cells.get("address", "")}
    return {
        "drn": cells.get("drn", ""),
        "service": cells.get("service", ""),
        "profile": cells.get("profile", ""),
        "route": route if any(route.values()) else None,
        "sts": {name: _number(name, cells.get(name, "")) for name in ("sgc", *sorted(_NUMBERS))},
        "keypad": cells.get("keypad", ""),
        "usage_point": cells.get("usage_point") or None,
        "currency": cells.get("currency") or None,
    }


def _number(name: str, text: str) -> object:
    """Whole numbers as such; what is none stays text and is refused by the form."""
    if name in _NUMBERS and text.isascii() and text.isdigit() and len(text) < 9:
        return int(text)
    return text


def _point(
    line: int, cells: Mapping[str, str], faults: list[Fault], *, tenant: TenantId, now: datetime
) -> UsagePoint | None:
    described = [name for name in DESCRIBING if cells.get(name)]
    ident = cells.get("usage_point", "")
    if not ident:
        if described:
            faults.append(Fault(line, described[0], "name the usage point it belongs to"))
        return None
    protected = _YES_NO.get(cells.get("protected", "").lower())
    if protected is None:
        faults.append(Fault(line, "protected", "write yes or no"))
        return None
    contacts = [
        {"kind": kind, "address": cells[f"contact_{kind}"]}
        for kind in ("sms", "email")
        if cells.get(f"contact_{kind}")
    ]
    form = {
        "contacts": contacts,
        "language": cells.get("language") or None,
        "protected": protected,
    }
    try:
        return UsagePointAsked.model_validate(form).point(tenant, ident, version=1, now=now)
    except ValidationError as error:
        _add_faults(line, error, faults)
        return None


def _add_faults(line: int, error: ValidationError, faults: list[Fault]) -> None:
    told = error.errors(include_input=False, include_url=False, include_context=False)
    faults += [Fault(line, _column(fault["loc"]), fault["msg"]) for fault in told]


def _column(loc: Sequence[int | str]) -> str:
    """The column that a place in the wire form comes from."""
    if loc[0] == "contacts":
        return f"contact_{loc[2]}" if len(loc) > 2 else "contact_sms"
    return str(loc[-1])


def _find_repeats(file: MetersFile) -> None:
    """The same meter twice, and one usage point described in two ways."""
    meters: dict[str, int] = {}
    points: dict[str, Row] = {}
    for row in file.rows:
        drn = row.cells.get("drn", "")
        if drn and (first := meters.setdefault(drn, row.line)) != row.line:
            file.faults.append(Fault(row.line, "drn", f"the same number stands in line {first}"))
        if row.point is None or not row.describes_point:
            continue
        known = points.setdefault(row.point.id, row)
        if known.point != row.point:
            problem = f"line {known.line} describes this usage point in another way"
            file.faults.append(Fault(row.line, "usage_point", problem))
