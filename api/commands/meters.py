"""`headend meters`: bring meters in from a file, and list them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from api.commands.meters_file import (
    MAX_BYTES,
    Fault,
    FileRefused,
    MetersFile,
    Row,
    read_meters,
    write_refused,
)
from api.commands.telling import (
    DEFAULT_TENANT,
    REFUSED,
    AsJson,
    Config,
    Tenant,
    complain,
    run,
    tell_json,
    tell_rows,
    tenant_id,
)
from api.settings import Settings
from api.wiring import new_clock, open_meters, open_store
from headend.meter_desk import MeterDesk
from headend.meters import Drn, Meter, TenantId
from headend.pages import Cursor
from headend.refusals import OrderRefused
from headend.store import Store, UsagePoints
from headend.usage_points import UsagePoint

T = TypeVar("T")

group = typer.Typer(help="Meters: import, list.", no_args_is_help=True)
TOLD_FAULTS = 50
PAGE = 500


@group.command("import", epilog="Example: headend meters import meters.csv --skip-bad")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV in UTF-8, with a header.")],
    *,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Bring in the good rows, write out the bad.")
    ] = False,
    refused: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where bad rows go; else beside the file."),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Check the whole file and change nothing.")
    ] = False,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Bring in meters, and the usage points they name. All rows are checked first.

    Columns: drn, service, profile, sgc, krn, ti, kt, ea, keypad; and as needed bus, address,
    usage_point, contact_sms, contact_email, language, protected, currency. Nothing is applied
    unless every row is good, or with --skip-bad.
    """
    out = refused or file.with_name(f"{file.stem}.refused.csv")

    async def take(settings: Settings) -> tuple[MetersFile, int]:
        if skip_bad and not check_only and out.exists():
            raise FileRefused(f"{out} is there already; move it, or name another with --refused")
        found = read_meters(_read(file), tenant=tenant_id(tenant), now=new_clock().now())
        async with open_meters(settings) as (store, desk):
            await check_rows(found, store, desk, tenant_id(tenant))
            if check_only or (found.faults and not skip_bad):
                return found, 0
            if found.faults:
                _write(out, write_refused(found))
            return found, await apply_rows(found, store, desk, tenant_id(tenant))

    found, applied = run(config, take)
    written = out if skip_bad and found.faults and not check_only else None
    _tell(found, applied, written, as_json=as_json, skip_bad=skip_bad)


@group.command("list", epilog="Example: headend meters list --sgc 123457 --json")
def list_meters(
    sgc: Annotated[str | None, typer.Option(help="Only those of this supply group.")] = None,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the meters of a tenant by number."""

    async def find(settings: Settings) -> Sequence[Meter]:
        async with open_store(settings) as store:
            return await _all_meters(store, tenant_id(tenant), sgc)

    rows = [_row(meter) for meter in run(config, find)]
    tell_rows(rows, as_json=as_json, nothing="No meters; see: headend meters import --help")


# --- import -----------------------------------------------------------------------------------


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileRefused(f"{file}: {error.strerror}") from None


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise FileRefused(f"{file}: {error.strerror}; nothing was brought in") from None


async def check_rows(found: MetersFile, store: Store, desk: MeterDesk, tenant: TenantId) -> None:
    """What a file alone cannot tell: profiles, buses, and what the store has already."""
    for row in _tracked(found.sound(), "checking rows"):
        assert row.meter is not None
        try:
            desk.check(row.meter)
        except OrderRefused as error:
            found.faults.append(Fault(row.line, error.field or "", error.detail))
    drns = [Drn(row.cells["drn"]) for row in found.sound()]
    async with store.look() as tx:
        known = await tx.meters.known(tenant, drns)
        for row in _tracked(found.sound(), "looking into the store"):
            if row.cells["drn"] in known:
                found.faults.append(Fault(row.line, "drn", "this meter is in the store already"))
            elif row.point and _says_otherwise(
                row, await tx.usage_points.find(tenant, row.point.id)
            ):
                problem = "the store describes this usage point in another way; change it there"
                found.faults.append(Fault(row.line, "usage_point", problem))


def _says_otherwise(row: Row, known: UsagePoint | None) -> bool:
    """A usage point that is in the store stays as it is, and no file may describe it otherwise."""
    told = row.point
    if told is None or known is None or not row.describes_point:
        return False
    was = (known.contacts, known.language, known.protected)
    return was != (told.contacts, told.language, told.protected)


async def apply_rows(found: MetersFile, store: Store, desk: MeterDesk, tenant: TenantId) -> int:
    rows = found.sound()
    # One line describes it, others may only name it.
    naming = sorted(rows, key=lambda row: row.describes_point)
    points = {row.point.id: row.point for row in naming if row.point}
    async with store.begin() as tx:
        await tx.tenants.ensure(tenant, new_clock().now())
        for point in _tracked(list(points.values()), "writing usage points"):
            await _ensure_point(tx.usage_points, point)
    with Console(stderr=True).status(f"writing {len(rows)} meters"):
        await desk.add_all([row.meter for row in rows if row.meter])
    return len(rows)


async def _ensure_point(points: UsagePoints, point: UsagePoint) -> None:
    if await points.find(point.tenant, point.id) is None:
        await points.put(point, was=None)


def _tracked(items: Sequence[T], what: str) -> Iterable[T]:
    console = Console(stderr=True)
    quiet = not console.is_terminal
    return track(items, description=what, console=console, transient=True, disable=quiet)


def _tell(
    found: MetersFile, applied: int, written: Path | None, *, as_json: bool, skip_bad: bool
) -> None:
    faults = sorted(found.faults, key=lambda fault: fault.line)
    bad = len({fault.line for fault in faults})
    if as_json:
        tell_json(
            {
                "rows": len(found.rows),
                "applied": applied,
                "refused": bad,
                "faults": [
                    {"line": fault.line, "column": fault.column, "problem": fault.problem}
                    for fault in faults
                ],
                "refused_file": str(written) if written else None,
            }
        )
    else:
        for fault in faults[:TOLD_FAULTS]:
            print(f"line {fault.line}, {fault.column or 'row'}: {fault.problem}")
        if len(faults) > TOLD_FAULTS:
            print(f"... and {len(faults) - TOLD_FAULTS} more; --json tells all")
        print(f"{len(found.rows)} rows, {bad} bad, {applied} brought in.")
        if written:
            print(f"The bad rows are in {written}: mend them there and bring that file in.")
    if faults and not skip_bad:
        complain("nothing was brought in; mend the rows, or use --skip-bad")
    if faults:
        raise typer.Exit(REFUSED)


# --- list -------------------------------------------------------------------------------------


async def _all_meters(store: Store, tenant: TenantId, sgc: str | None) -> Sequence[Meter]:
    found: list[Meter] = []
    after: str | None = None
    async with store.look() as tx:
        while True:
            page = await tx.meters.page(tenant, Cursor(after=after, limit=PAGE), sgc=sgc)
            found += page.items
            after = page.next
            if after is None:
                return found


def _row(meter: Meter) -> dict[str, object]:
    route = meter.route
    return {
        "drn": meter.drn,
        "service": meter.service.value,
        "profile": meter.profile,
        "bus": route.bus if route else None,
        "address": route.address if route else None,
        "sgc": meter.sts.sgc,
        "krn": meter.sts.krn,
        "ti": meter.sts.tariff_index,
        "kt": int(meter.sts.key_type),
        "ea": meter.sts.ea,
        "keypad": meter.keypad.value,
        "state": meter.state.value,
        "usage_point": meter.usage_point,
        "currency": meter.currency,
    }
