"""A file of a job: CSV or NDJSON in UTF-8, read and checked whole before anything is ordered.

Every fault is told with its line and column. Knows nothing of the store.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from io import BytesIO, TextIOWrapper
from typing import Annotated, Literal

from pydantic import Field, StrictInt, StringConstraints, TypeAdapter, ValidationError

from api.routes.credit_parameters_body import ParametersNamed
from api.routes.forms import Asked, Ident, Moment
from api.routes.recharge_body import RechargeAsked
from api.shares import Shares
from headend.api_keys import Scope
from headend.commands import Manage, SetClock, SetCreditParameters, SetSupply
from headend.credit_parameters import AMOUNTS, POWER_LIMIT
from headend.errors import HeadendError
from headend.issuing import check_form
from headend.jobs import JobLine, LineContent, LineState
from headend.meters import TenantId, parse_drn
from headend.refusals import OrderRefused
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementKind, ManagementOrder

MAX_BYTES = 16 * 1024 * 1024
MAX_LINES = 100_000
MAX_LINE = 16 * 1024
MAX_VALUE = 2**31
# Each is in memory until its lines are stored; a caller that sends slowly has 30 s.
FILES_AT_ONCE = 6
FILES_AT_ONCE_OF_KEY = 2
# The problem of a line that cannot be read.
BAD_LINE = "bad-line"
MeterNumber = Annotated[str, StringConstraints(max_length=32)]


def files_at_once() -> Shares:
    """Bounds how many files are in memory."""
    return Shares(
        "files of jobs",
        most=FILES_AT_ONCE,
        most_of_key=FILES_AT_ONCE_OF_KEY,
        instead="send it again when one of them is taken in",
    )


@unique
class JobFormat(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


MEDIA_TYPES = {"text/csv": JobFormat.CSV, "application/x-ndjson": JobFormat.NDJSON}


class FileUnreadable(HeadendError):
    """The file as a whole cannot be read; the text says what to do."""


class RechargeLine(RechargeAsked):
    """A line that sells credit."""

    do: Literal["recharge"]


class SupplyLine(Asked):
    """A line that opens supply or permits closing it."""

    do: Literal["supply"]
    id: Ident | None = None
    meter: MeterNumber
    action: SupplyAction
    reason: SupplyReason
    expires_at: Moment


class ClockLine(Asked):
    """A line that sets a clock."""

    do: Literal["clock"]
    id: Ident | None = None
    meter: MeterNumber


class EngineeringLine(Asked):
    """A line that makes a management or test token."""

    do: Literal["engineering"]
    id: Ident | None = None
    meter: MeterNumber
    kind: ManagementKind
    value: Annotated[StrictInt, Field(ge=0, le=MAX_VALUE)] | None = None
    index: Annotated[StrictInt, Field(ge=0, le=MAX_VALUE)] | None = None


class ParametersLine(ParametersNamed):
    """A line that sets credit parameters or a power limit."""

    do: Literal["parameters"]
    id: Ident | None = None
    meter: MeterNumber


_Line = RechargeLine | SupplyLine | ClockLine | EngineeringLine | ParametersLine
_LINE: TypeAdapter[_Line] = TypeAdapter(Annotated[_Line, Field(discriminator="do")])


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in one line; `column` is its name, or empty for the whole line."""

    line: int
    column: str
    problem: str


@dataclass(slots=True)
class Checked:
    """What was found in a whole file: how many lines and bad ones, and the first faults."""

    lines: int = 0
    bad: int = 0
    scopes: set[Scope] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)


class JobFile:
    """The bytes of a file; its lines are read anew each time, so that they never lie in memory."""

    def __init__(self, content: bytes, form: JobFormat, *, tenant: TenantId, job_id: str) -> None:
        self._content = content
        self._form = form
        self._tenant = tenant
        self._job_id = job_id

    def check(self, *, most: int) -> Checked:
        """Read the whole file; at most so many faults are kept. Raises FileUnreadable."""
        found = Checked()
        for line, scope, faults in self._read():
            found.lines += 1
            if found.lines > MAX_LINES:
                raise FileUnreadable(f"more than {MAX_LINES} lines; split the file")
            if scope is not None:
                found.scopes.add(scope)
            if faults:
                found.bad += 1
                found.faults += faults[: most - len(found.faults)]
            assert line.number >= found.lines
        if not found.lines:
            raise FileUnreadable("the file has no lines; see the example of POST /v1/jobs")
        return found

    def lines(self) -> Iterator[JobLine]:
        """Every line, bad ones with their problem. Raises FileUnreadable."""
        for line, _, _ in self._read():
            yield line

    def _read(self) -> Iterator[tuple[JobLine, Scope | None, Sequence[Fault]]]:
        seen: dict[str, int] = {}
        for number, plain, trouble in self._plain():
            line, scope, faults = self._line(number, plain, trouble)
            first = seen.setdefault(line.ident, number)
            if first != number:
                faults = [*faults, Fault(number, "id", f"the same id stands in line {first}")]
            yield _marked(line, faults), scope, faults

    def _plain(self) -> Iterator[tuple[int, Mapping[str, object], str]]:
        """Number, content, and what is wrong with the whole line if anything is."""
        text = TextIOWrapper(BytesIO(self._content), encoding="utf-8-sig", newline="")
        rows = _csv_rows(text) if self._form is JobFormat.CSV else _json_rows(text)
        try:
            yield from rows
        except UnicodeDecodeError:
            raise FileUnreadable(
                f"line {_not_utf8(self._content)} is no UTF-8; save the file in UTF-8"
            ) from None

    def _line(
        self, number: int, plain: Mapping[str, object], trouble: str
    ) -> tuple[JobLine, Scope | None, Sequence[Fault]]:
        bare = JobLine(
            tenant=self._tenant,
            job_id=self._job_id,
            number=number,
            ident=f"{self._job_id}.{number}",
        )
        if trouble:
            return bare, None, [Fault(number, "", trouble)]
        try:
            asked = _LINE.validate_python(plain)
            ident = asked.id or bare.ident
            drn = parse_drn(asked.meter, field="meter")
            content = _content(asked, self._tenant, ident)
        except ValidationError as error:
            return bare, None, _faults(number, error)
        except OrderRefused as error:
            return bare, None, [Fault(number, error.field or "", error.detail)]
        line = JobLine(
            tenant=self._tenant,
            job_id=self._job_id,
            number=number,
            ident=ident,
            drn=drn,
            content=content,
        )
        return line, _scope(content), ()


def _marked(line: JobLine, faults: Sequence[Fault]) -> JobLine:
    if not faults:
        return line
    told = "; ".join(f"{fault.column}: {fault.problem}".lstrip(": ") for fault in faults)
    return JobLine(
        tenant=line.tenant,
        job_id=line.job_id,
        number=line.number,
        ident=line.ident,
        state=LineState.BAD,
        problem=BAD_LINE,
        detail=told[:500],
    )


def _content(asked: _Line, tenant: TenantId, ident: str) -> LineContent:
    """What a line orders; raises OrderRefused for amounts and digits that are none."""
    match asked:
        case RechargeLine():
            order = asked.model_copy(update={"id": ident}).order(tenant, None)
            check_form(order)
            return order
        case SupplyLine():
            return SetSupply(action=asked.action, reason=asked.reason, expires_at=asked.expires_at)
        case ClockLine():
            return SetClock()
        case EngineeringLine():
            return Manage(ManagementOrder(asked.kind, value=asked.value, index=asked.index))
        case ParametersLine():
            return SetCreditParameters(asked.change())


def _scope(content: LineContent) -> Scope:
    """What an API key needs to order it."""
    match content:
        case SetSupply(action=SupplyAction.OPEN):
            return Scope.DISCONNECT
        case SetSupply():
            return Scope.SUPPLY
        case SetClock():
            return Scope.METERS
        case Manage() | SetCreditParameters():
            return Scope.ENGINEERING
        case _:
            return Scope.RECHARGE


def _faults(number: int, error: ValidationError) -> Sequence[Fault]:
    told = error.errors(include_input=False, include_url=False, include_context=False)
    return [Fault(number, _column(fault["loc"]), fault["msg"]) for fault in told[:10]]


def _column(loc: Sequence[int | str]) -> str:
    """The place in the line as NDJSON has it, without the tags of unions; `do` if it has none."""
    parts = [str(part) for part in loc][1:]
    tag = {"amount": 1, "fallback": 2}.get(parts[0] if parts else "", 0)
    if tag and len(parts) > tag + 1:
        del parts[tag]
    return ".".join(parts) or "do"


# --- NDJSON -------------------------------------------------------------------------------------


def _json_rows(text: TextIOWrapper) -> Iterator[tuple[int, Mapping[str, object], str]]:
    for number, line in enumerate(_bounded(text), start=1):
        if not line.strip():
            continue
        try:
            plain = json.loads(line)
        except (ValueError, RecursionError):
            yield number, {}, "this is no JSON"
            continue
        if isinstance(plain, dict):
            yield number, plain, ""
        else:
            yield number, {}, "a line is one JSON object"


def _bounded(text: TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise FileUnreadable(f"a line is longer than {MAX_LINE} characters")
        yield line


# --- CSV ----------------------------------------------------------------------------------------

_COLUMNS = (
    "do",
    "id",
    "meter",
    "value",
    "unit",
    "currency",
    "reference",
    "sales_point",
    "sms",
    "email",
    "action",
    "reason",
    "expires_at",
    "kind",
    "index",
    *AMOUNTS,
    POWER_LIMIT,
)

# Cells that are whole numbers, by what the line does.
_NUMBERS = {"engineering": ("value", "index"), "parameters": (POWER_LIMIT,)}


def _csv_rows(text: TextIOWrapper) -> Iterator[tuple[int, Mapping[str, object], str]]:
    reader = csv.reader(_bounded(text), strict=True)
    header: list[str] | None = None
    begins = 1
    try:
        for cells in reader:
            number, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header([cell.strip().lower() for cell in cells])
            elif len(cells) != len(header):
                yield number, {}, f"{len(cells)} cells where the header has {len(header)}"
            else:
                given = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
                yield number, _of_cells({n: c for n, c in given.items() if c}), ""
    except csv.Error as error:
        raise FileUnreadable(f"line {begins}: no CSV: {error}") from None


def _header(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in _COLUMNS]
    missing = [name for name in ("do", "meter") if name not in names]
    if len(names) == 1 and ";" in names[0]:
        raise FileUnreadable("line 1: cells are separated by semicolons; save it with commas")
    if unknown:
        raise FileUnreadable(f"line 1: unknown column {unknown[0]!r}; known: {', '.join(_COLUMNS)}")
    if missing:
        raise FileUnreadable(f"line 1: the column {missing[0]} is missing")
    if len(set(names)) != len(names):
        raise FileUnreadable("line 1: a column stands there twice")
    return names


def _of_cells(cells: Mapping[str, str]) -> Mapping[str, object]:
    """The same line as NDJSON has it."""
    plain: dict[str, object] = dict(cells)
    if cells.get("do") == "recharge":
        names = [name for name in ("value", "unit", "currency") if name in plain]
        amount: dict[str, object] = {name: plain.pop(name) for name in names}
        if amount:
            plain["amount"] = {"kind": "currency" if "currency" in amount else "units", **amount}
        contacts: list[dict[str, object]] = [
            {"kind": kind, "address": plain.pop(kind)} for kind in ("sms", "email") if kind in plain
        ]
        if contacts:
            plain["fallback"] = contacts
    for name in _NUMBERS.get(cells.get("do", ""), ()):
        text = cells.get(name, "")
        if text.isascii() and text.isdigit() and len(text) < 12:
            plain[name] = int(text)
    return plain


def _not_utf8(content: bytes) -> int:
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return content[: error.start].count(b"\n") + 1
    return 0
