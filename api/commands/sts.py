"""`headend sts`: make, read and check STS tokens; for laboratories, vendors and the curious.

Nothing here touches the head-end's database or its vault: keys come from the caller.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from api.commands import sts_issuing, sts_options, sts_vectors
from api.commands.sts_explain import Part
from api.commands.sts_fields import Row, grouped, lines_of, rows_as_json
from api.commands.sts_files import read_json, read_tables
from api.commands.sts_issuing import Batch, Timing, make, make_set, moment_in
from api.commands.sts_judging import Judgement, Memory, assembled, judge, judgement_as_json, rows_of
from api.commands.sts_keys import (
    NEW_KEY_VARIABLE,
    KeySource,
    MeterSaid,
    NewSaid,
    TablesSaid,
    find_key,
    find_new_key,
)
from api.commands.sts_options import print_json, printable, refusals
from api.commands.sts_orders import TimedOrder, order_of
from api.commands.telling import REFUSED, complain
from api.wiring import new_chance, new_clock
from protocols.sts.drn import is_decimal
from protocols.sts.errors import FormatError
from protocols.sts.sta import SAMPLE, StaTables
from protocols.sts.token import DIGITS

group = typer.Typer(
    help="STS tokens (IEC 62055-41): make, read, explain, and check against test vectors.",
    no_args_is_help=True,
)
Tokens = Annotated[
    list[str], typer.Argument(metavar="TOKEN", help="What to make; several are possible.")
]
Digits = Annotated[
    list[str],
    typer.Argument(
        metavar="DIGITS", help="20 digits each, one token may be in groups; - reads them."
    ),
]
VectorFile = Annotated[
    Path, typer.Argument(metavar="FILE", help='JSON: {"vectors": [{"id", "kind", ...}]}.')
]

STDIN_CHARACTERS = 1_000_000
BETWEEN_GROUPS = re.compile(r"[\s-]")

ISSUE_HELP = """Make tokens: all that are asked for, or none; several take rising TIDs.

A TOKEN is a name, and mostly a value:

\b
electricity= water= gas= time=  kWh, m3, min: electricity=25.6
electricity-currency= and so on money: electricity-currency=-1.00
power-limit= unbalance-limit=   watts: power-limit=5000
clear-credit=                   clear-credit=electricity, =water, =all
clear-tamper                    no value
tariff-rate= water-factor=      16 bits as they are: tariff-rate=17
set-flag=                       set-flag=disconnect-on-tamper:on
set-control=                    index and value: set-control=0:123
meter-test=                     meter-test=all, =display; needs no key
read-control= read-flag         read-control=0; needs no key
manufacturer-test=              SUBCLASS:CONTROL:MFRCODE; needs no key
"""
ISSUE_EXAMPLE = (
    "Example: headend sts issue electricity=25.6 --meter 600727000000000009 --sgc 201457"
    " --krn 1 --ti 1 --test-key --explain"
)
DECODE_EXAMPLE = (
    "Example: headend sts decode 5862 5789 9869 9135 7486 --meter 600727000000000009"
    " --sgc 201457 --krn 1 --ti 1 --test-key"
)
CHANGE_EXAMPLE = (
    "Example: headend sts keychange --meter 600727000000000009 --sgc 201457 --krn 1 --ti 1"
    " --test-key --new-sgc 203557 --new-krn 6 --new-ti 2 --new-base-date 2035"
)

VECTORS_EXAMPLE = "Example: headend sts vectors sts.json --ea07-tables licensed.json"


@group.command("issue", help=ISSUE_HELP, epilog=ISSUE_EXAMPLE)
def issue(
    tokens: Tokens,
    *,
    meter: sts_options.MeterNumber = None,
    sgc: sts_options.Sgc = None,
    krn: sts_options.Krn = None,
    ti: sts_options.Ti = None,
    kt: sts_options.Kt = 2,
    base_date: sts_options.Base = "2014",
    ken: sts_options.Ken = 255,
    ea: sts_options.Ea = 11,
    dkga: sts_options.DkgaNumber = None,
    key_file: sts_options.KeyFile = None,
    test_key: sts_options.TestKey = False,
    decoder_key_file: sts_options.DecoderKeyFile = None,
    ea07_tables: sts_options.TablesFile = None,
    sample_tables: sts_options.SampleTables = False,
    time: sts_options.Moment = None,
    tid: sts_options.Tid = None,
    last_tid: sts_options.LastTid = None,
    rnd: sts_options.Rnd = None,
    explain: sts_options.Explain = False,
    show_key: sts_options.ShowKey = False,
    as_json: sts_options.AsJson = False,
) -> None:
    said = MeterSaid(meter, sgc, krn, ti, kt, base_date, ken, ea, dkga)
    source = KeySource(key_file, test_key, decoder_key_file=decoder_key_file)
    with refusals(as_json=as_json):
        digits = len(said.pan().drn.digits) if meter is not None else None
        orders = [order_of(text, drn_digits=digits) for text in tokens]
        timed = any(isinstance(order, TimedOrder) for order in orders)
        tables = TablesSaid(ea07_tables, sample_tables)
        key = find_key(said, source, tables) if timed else None
        moment = moment_in(time, new_clock().now(), tid=tid)
        timing = Timing(moment, tid, last_tid, rnd, new_chance().nibble)
        batch = make(orders, key, timing)
        _tell_batch(batch, explain=explain, show_key=show_key, as_json=as_json)


@group.command("keychange", epilog=CHANGE_EXAMPLE)
def keychange(
    *,
    meter: sts_options.MeterNumber = None,
    sgc: sts_options.Sgc = None,
    krn: sts_options.Krn = None,
    ti: sts_options.Ti = None,
    kt: sts_options.Kt = 2,
    base_date: sts_options.Base = "2014",
    ken: sts_options.Ken = 255,
    ea: sts_options.Ea = 11,
    dkga: sts_options.DkgaNumber = None,
    key_file: sts_options.KeyFile = None,
    test_key: sts_options.TestKey = False,
    decoder_key_file: sts_options.DecoderKeyFile = None,
    ea07_tables: sts_options.TablesFile = None,
    sample_tables: sts_options.SampleTables = False,
    new_sgc: sts_options.NewSgc = None,
    new_krn: sts_options.NewKrn = None,
    new_ti: sts_options.NewTi = None,
    new_kt: sts_options.NewKt = None,
    new_base_date: sts_options.NewBase = None,
    new_ken: sts_options.NewKen = None,
    new_key_file: sts_options.NewKeyFile = None,
    new_test_key: sts_options.NewTestKey = False,
    three_kct: sts_options.ThreeKct = False,
    time: sts_options.Moment = None,
    explain: sts_options.Explain = False,
    show_key: sts_options.ShowKey = False,
    as_json: sts_options.AsJson = False,
) -> None:
    """Make a key-change set: four tokens of EA11, two or three of EA07.

    What is not said of the new key stays as it is. Enter the whole set, in any order, within the
    meter's time; credit made afterwards is made under the new key.
    """
    said = MeterSaid(meter, sgc, krn, ti, kt, base_date, ken, ea, dkga)
    source = KeySource(key_file, test_key, decoder_key_file=decoder_key_file)
    new_said = said.changed(NewSaid(new_sgc, new_krn, new_ti, new_kt, new_base_date, new_ken))
    new_source = KeySource(new_key_file, new_test_key, NEW_KEY_VARIABLE)
    with refusals(as_json=as_json):
        moment = moment_in(time, new_clock().now())
        old = find_key(said, source, TablesSaid(ea07_tables, sample_tables))
        new = find_new_key(old, source, new_said, new_source)
        batch = make_set(old, new, three_kct=three_kct, now=moment)
        _tell_batch(batch, explain=explain, show_key=show_key, as_json=as_json)


@group.command("decode", epilog=DECODE_EXAMPLE)
def decode(
    digits: Digits,
    *,
    meter: sts_options.MeterNumber = None,
    sgc: sts_options.Sgc = None,
    krn: sts_options.Krn = None,
    ti: sts_options.Ti = None,
    kt: sts_options.Kt = 2,
    base_date: sts_options.Base = "2014",
    ken: sts_options.Ken = 255,
    ea: sts_options.Ea = 11,
    dkga: sts_options.DkgaNumber = None,
    key_file: sts_options.KeyFile = None,
    test_key: sts_options.TestKey = False,
    decoder_key_file: sts_options.DecoderKeyFile = None,
    ea07_tables: sts_options.TablesFile = None,
    sample_tables: sts_options.SampleTables = False,
    stored_tid: sts_options.StoredTids = None,
    mfr_code: sts_options.MfrCode = None,
    show_key: sts_options.ShowKey = False,
    as_json: sts_options.AsJson = False,
) -> None:
    """Read tokens as the meter does: every field, and why it would refuse.

    Without a key a token of class 1 is read whole, of others the class is seen. Ends with 1 if
    any token would be refused. Several tokens of a key change are put together.
    """
    said = MeterSaid(meter, sgc, krn, ti, kt, base_date, ken, ea, dkga)
    source = KeySource(key_file, test_key, decoder_key_file=decoder_key_file)
    with refusals(as_json=as_json):
        memory = Memory(frozenset(stored_tid or ()), mfr_code)
        tokens = _tokens_in(digits)
        tables = TablesSaid(ea07_tables, sample_tables)
        key = find_key(said, source, tables) if source.is_given else None
        judgements = [judge(token, key, memory, show_key=show_key) for token in tokens]
        change = assembled(judgements, key, show_key=show_key) if key is not None else []
    _tell_judgements(judgements, change, as_json=as_json)
    if any(one.result.is_refusal for one in judgements):
        raise typer.Exit(REFUSED)


@group.command("vectors", epilog=VECTORS_EXAMPLE)
def vectors(
    file: VectorFile,
    ea07_tables: sts_options.TablesFile = None,
    as_json: sts_options.AsJson = False,
) -> None:
    """Check every record of a vector file; nothing is skipped.

    Ends with 0 if all passed, 1 if a record failed or needs the licensed EA07 tables, 2 if a
    record's kind is unknown, a field is missing or malformed, or the file is no vector file.
    """
    with refusals(as_json=as_json):
        tables = None if ea07_tables is None else read_tables(ea07_tables)
        found = sts_vectors.listed(read_json(file))
        report = _watched_run(found, tables)
    if as_json:
        print_json(sts_vectors.as_json(report))
    else:
        for line in sts_vectors.lines_of(report):
            typer.echo(printable(line))
        for line in sts_vectors.problem_lines(report):
            complain(printable(line))
    raise typer.Exit(report.status)


@group.command("tables", epilog="Example: headend sts tables licensed.json")
def tables(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Table set; without one, the sample.")
    ] = None,
    as_json: sts_options.AsJson = False,
) -> None:
    """Check a table set of EA07 and show its fingerprint, never its numbers."""
    with refusals(as_json=as_json):
        found = SAMPLE if file is None else read_tables(file)
    is_sample = found.fingerprint == SAMPLE.fingerprint
    if as_json:
        told = {"name": found.name, "sha256": found.fingerprint, "sample": is_sample}
        print_json(told)
        return
    kind = "the sample set of the printed standard" if is_sample else "not the sample set"
    rows = [Row("name", found.name), Row("SHA-256", found.fingerprint), Row("kind", kind)]
    _tell_part(Part("EA07 tables", rows))


def _tokens_in(arguments: Sequence[str]) -> list[str]:
    """Tokens as they were typed: one each, or one in groups; - reads them from a pipe."""
    written = sys.stdin.read(STDIN_CHARACTERS).split("\n") if arguments == ["-"] else arguments
    bare = [BETWEEN_GROUPS.sub("", text) for text in written]
    if any(len(text) != DIGITS for text in bare) and arguments != ["-"]:
        bare = ["".join(bare)]
    tokens = [text for text in bare if text]
    for text in tokens or [""]:
        if not is_decimal(text) or len(text) != DIGITS:
            found = f"{len(text)} digits" if is_decimal(text) else "something else"
            raise FormatError("token", f"must be {DIGITS} decimal digits, this is {found}")
    return tokens


def _watched_run(
    found: Sequence[Mapping[str, object]], tables: StaTables | None
) -> sts_vectors.Report:
    """The run, with a bar where somebody watches."""
    if not sys.stderr.isatty():
        return sts_vectors.run(found, tables)
    with typer.progressbar(found, label="vectors", file=sys.stderr) as watched:
        return sts_vectors.run(watched, tables)


def _tell_batch(batch: Batch, *, explain: bool, show_key: bool, as_json: bool) -> None:
    if as_json:
        print_json(sts_issuing.as_json(batch, explain=explain, show_key=show_key))
        return
    if explain:
        for part in sts_issuing.parts_of(batch, show_key=show_key):
            _tell_part(part)
            typer.echo("")
    for line in sts_issuing.text_of(batch):
        typer.echo(line)
    for warning in batch.warnings:
        complain(f"warning: {warning}")


def _tell_judgements(
    judgements: Sequence[Judgement], change: Sequence[Row], *, as_json: bool
) -> None:
    if as_json:
        found = [judgement_as_json(one) for one in judgements]
        print_json({"tokens": found, "key_change": rows_as_json(change)})
        return
    for judgement in judgements:
        _tell_part(Part(grouped(judgement.token), rows_of(judgement)))
    if change:
        _tell_part(Part("Key change", list(change)))


def _tell_part(part: Part) -> None:
    typer.echo(part.title)
    for line in lines_of(part.rows):
        typer.echo(printable(f"  {line}"))
