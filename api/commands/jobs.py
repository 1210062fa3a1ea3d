"""`headend jobs`: many orders from one file, through REST."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from api.commands.rest import (
    DEFAULT_URL,
    Key,
    KeyIfAny,
    TokenIfAny,
    Url,
    asked,
    asked_text,
    asked_with_file,
    key_or_token,
)
from api.commands.telling import REFUSED, AsJson, complain, tell_json, tell_rows
from api.jobs_file import MAX_BYTES, JobFormat
from headend.jobs import JOB_ENDS, JobState

group = typer.Typer(help="Jobs: recharges and commands from a file.", no_args_is_help=True)

Ident = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]
WELL = frozenset({JobState.DONE, JobState.CHECKED})
LOOK_EVERY_S = 1.0
_TYPES = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}


@group.command("submit", epilog="Example: headend jobs submit june.csv --id june --dry-run --wait")
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .ndjson file.")],
    *,
    key: Key,
    ident: Annotated[
        str, typer.Option("--id", help="Your id of the job; the same again is the same job.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, order nothing.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Order the good lines although others are bad.")
    ] = False,
    requested_by: Annotated[
        str | None, typer.Option(help="Id of the person for whom it is ordered.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Order what stands in a file. A bad line refuses it, with its line and column."""
    media_type = _TYPES.get(file.suffix.lower())
    if media_type is None:
        raise typer.BadParameter(f"a file of a job ends in {', '.join(_TYPES)}")
    query = {"id": ident, "dry_run": _yes(dry_run), "skip_bad": _yes(skip_bad)}
    if requested_by is not None:
        query["requested_by"] = requested_by
    path = f"/v1/jobs?{urlencode(query)}"
    told = asked_with_file(url, key, path, _content(file), media_type=media_type)
    if wait:
        told = _waited(url, key, told, quiet=as_json)
    _tell(told, as_json=as_json)
    if wait and told["state"] not in WELL:
        raise typer.Exit(REFUSED)


@group.command("list", epilog="Example: headend jobs list --json")
def list_jobs(
    key: KeyIfAny = None,
    token: TokenIfAny = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first, at most 200."""
    found = asked(url, key_or_token(key, token), "GET", "/v1/jobs?limit=200")["items"]
    assert isinstance(found, list)
    tell_rows(found, as_json=as_json, nothing="No jobs yet.")


@group.command("show", epilog="Example: headend jobs show june")
def show(
    ident: Ident,
    key: KeyIfAny = None,
    token: TokenIfAny = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show how far a job is."""
    _tell(asked(url, key_or_token(key, token), "GET", _path(ident)), as_json=as_json)


@group.command("pause", epilog="Example: headend jobs pause june")
def pause(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Pause a job; what is ordered goes on."""
    _tell(asked(url, key, "POST", f"{_path(ident)}/pause"), as_json=as_json)


@group.command("resume", epilog="Example: headend jobs resume june")
def resume(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Go on with a paused job."""
    _tell(asked(url, key, "POST", f"{_path(ident)}/resume"), as_json=as_json)


@group.command("cancel", epilog="Example: headend jobs cancel june")
def cancel(
    ident: Ident,
    key: KeyIfAny = None,
    token: TokenIfAny = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Order nothing more of a job; what is ordered stays ordered.

    The key that ordered it may, and every person of the utility with a personal token.
    """
    by = key_or_token(key, token)
    _tell(asked(url, by, "POST", f"{_path(ident)}/cancel"), as_json=as_json)


@group.command("results", epilog="Example: headend jobs results june > june-results.csv")
def results(ident: Ident, key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Write what became of every line: as CSV, or with --json as NDJSON."""
    form = JobFormat.NDJSON if as_json else JobFormat.CSV
    typer.echo(asked_text(url, key, f"{_path(ident)}/results?format={form.value}"), nl=False)


def _yes(flag: bool) -> str:
    return "true" if flag else "false"


def _path(ident: str) -> str:
    return f"/v1/jobs/{quote(ident, safe='')}"


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        complain(f"{file}: {error.strerror}")
        raise typer.Exit(REFUSED) from None
    if len(content) > MAX_BYTES:
        complain(f"{file} is larger than {MAX_BYTES >> 20} MiB; split it")
        raise typer.Exit(REFUSED)
    return content


def _waited(url: str, key: str, told: Mapping[str, object], *, quiet: bool) -> Mapping[str, object]:
    while told["state"] not in JOB_ENDS:
        if not quiet:
            lines = told["lines"]
            assert isinstance(lines, dict)
            left = lines["new"] + lines["checked"]
            typer.echo(f"{told['state']}: {left} of {told['size']} lines left", err=True)
        time.sleep(LOOK_EVERY_S)
        told = asked(url, key, "GET", _path(str(told["id"])))
    return told


def _tell(job: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        tell_json(job)
        return
    for name in ("id", "state", "detail", "size", "failed"):
        print(f"{name:9} {job[name]}")
    for name in ("lines", "outcomes"):
        counts = job[name]
        assert isinstance(counts, dict)
        told = ", ".join(f"{many} {state}" for state, many in counts.items() if many)
        print(f"{name:9} {told}")
