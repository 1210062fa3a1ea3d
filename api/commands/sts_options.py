"""Options that the STS commands share, in the words of the trade; and how a refusal is told.

Knows the command line only: what an option means is decided where it is used.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from api.commands.telling import MISUSED, complain
from protocols.sts.errors import StsError

_METER, _KEY, _NEW, _TIME, _OUTPUT = "The meter", "The key", "The new key", "The moment", "Output"

MeterNumber = Annotated[
    str | None,
    typer.Option(
        "--meter",
        help="Meter number (11 or 13 digits) or its PAN (18).",
        rich_help_panel=_METER,
        metavar="DRN",
    ),
]
Sgc = Annotated[
    str | None,
    typer.Option(help="Supply group code, six digits.", rich_help_panel=_METER, metavar="SGC"),
]
Krn = Annotated[
    int | None, typer.Option(help="Key revision number, 1 to 9.", rich_help_panel=_METER)
]
Ti = Annotated[int | None, typer.Option(help="Tariff index, 0 to 99.", rich_help_panel=_METER)]
Kt = Annotated[
    int,
    typer.Option(
        help="Key type: 0 initialisation, 1 default, 2 unique, 3 common.", rich_help_panel=_METER
    ),
]
Base = Annotated[
    str,
    typer.Option(
        "--base-date", help="Base date of the key: 1993, 2014, 2035.", rich_help_panel=_METER
    ),
]
Ken = Annotated[
    int, typer.Option(help="Key expiry number of the key, 0 to 255.", rich_help_panel=_METER)
]
Ea = Annotated[
    int,
    typer.Option(help="Encryption algorithm: 07 (STA), 11 (MISTY1).", rich_help_panel=_METER),
]
DkgaNumber = Annotated[
    int | None,
    typer.Option(
        "--dkga", help="Key generation, 02 or 04; else by the key's length.", rich_help_panel=_METER
    ),
]

KeyFile = Annotated[
    str | None,
    typer.Option(
        help="File with the vending key in hex, readable by you only; - asks for it (or reads it"
        " from a pipe). Or set HEADEND_STS_KEY.",
        rich_help_panel=_KEY,
        metavar="FILE",
    ),
]
TestKey = Annotated[
    bool, typer.Option("--test-key", help="Use the public test key.", rich_help_panel=_KEY)
]
DecoderKeyFile = Annotated[
    str | None,
    typer.Option(
        help="File with the meter's own key in hex, instead of a vending key.",
        rich_help_panel=_KEY,
        metavar="FILE",
    ),
]
TablesFile = Annotated[
    Path | None,
    typer.Option("--ea07-tables", help="Licensed table set of EA07, JSON.", rich_help_panel=_KEY),
]
SampleTables = Annotated[
    bool,
    typer.Option(
        "--sample-tables",
        help="EA07 with the sample tables of the printed standard: no real meter takes the token.",
        rich_help_panel=_KEY,
    ),
]

NewSgc = Annotated[
    str | None,
    typer.Option(help="Supply group code after the change.", rich_help_panel=_NEW, metavar="SGC"),
]
NewKrn = Annotated[
    int | None, typer.Option(help="Key revision number after it.", rich_help_panel=_NEW)
]
NewTi = Annotated[int | None, typer.Option(help="Tariff index after it.", rich_help_panel=_NEW)]
NewKt = Annotated[int | None, typer.Option(help="Key type after it.", rich_help_panel=_NEW)]
NewBase = Annotated[
    str | None,
    typer.Option("--new-base-date", help="Base date of the new key.", rich_help_panel=_NEW),
]
NewKen = Annotated[
    int | None, typer.Option(help="Key expiry number of the new key.", rich_help_panel=_NEW)
]
NewKeyFile = Annotated[
    str | None,
    typer.Option(
        help="File with the new vending key. Or set HEADEND_STS_NEW_KEY. Not needed while SGC and"
        " KRN stay.",
        rich_help_panel=_NEW,
        metavar="FILE",
    ),
]
NewTestKey = Annotated[
    bool,
    typer.Option(
        "--new-test-key", help="Use the public test key as the new key.", rich_help_panel=_NEW
    ),
]
ThreeKct = Annotated[
    bool,
    typer.Option(
        "--three-kct",
        help="EA07: a third token carries the SGC, if the meter can.",
        rich_help_panel=_NEW,
    ),
]

Moment = Annotated[
    str | None,
    typer.Option(
        "--time",
        help="Time of issue, ISO 8601, UTC unless it says else; else now.",
        rich_help_panel=_TIME,
    ),
]
Tid = Annotated[
    int | None,
    typer.Option(
        help="TID of the first token, instead of a time; may be the reserved minute 00:01.",
        rich_help_panel=_TIME,
    ),
]
LastTid = Annotated[
    int | None,
    typer.Option(
        help="Latest TID this meter was given; ours will be above it.", rich_help_panel=_TIME
    ),
]
Rnd = Annotated[
    int | None, typer.Option(help="Random nibble, 0 to 15; else drawn.", rich_help_panel=_TIME)
]

StoredTids = Annotated[
    list[int] | None,
    typer.Option(
        "--stored-tid",
        help="A TID the meter keeps; once for each. Judges used and old tokens.",
    ),
]
MfrCode = Annotated[
    int | None,
    typer.Option(help="The meter's manufacturer code; judges class 1 tokens of manufacturers."),
]

Explain = Annotated[
    bool, typer.Option("--explain", help="Show every step of the way.", rich_help_panel=_OUTPUT)
]
ShowKey = Annotated[
    bool,
    typer.Option(
        "--show-key",
        help="Show decoder keys too; the public test key's always show.",
        rich_help_panel=_OUTPUT,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Tell the result as JSON.", rich_help_panel=_OUTPUT)
]

_OPTION_OF_FIELD = {
    "base_date": "--base-date",
    "dkga": "--dkga",
    "drn": "--meter",
    "ea": "--ea",
    "ea07_tables": "--ea07-tables or --sample-tables",
    "ken": "--ken",
    "key_type": "--kt",
    "krn": "--krn",
    "last": "--last-tid",
    "meter_pan": "--meter",
    "moment": "--time",
    "rnd": "--rnd",
    "sgc": "--sgc",
    "stored_tid": "--stored-tid",
    "tariff_index": "--ti",
    "three_kct": "--three-kct",
    "tid": "--tid or --time",
    "vending_key": "--key-file",
}


@contextmanager
def refusals(*, as_json: bool) -> Iterator[None]:
    """Tell what STS refuses, field first, and leave as misused; nothing else was printed."""
    try:
        yield
    except StsError as error:
        tell(error, as_json=as_json)
        raise typer.Exit(MISUSED) from None


def tell(error: StsError, *, as_json: bool) -> None:
    """Print one refusal: the field, what is wrong, and the option that sets it."""
    if as_json:
        kind = type(error).__name__
        print_json({"error": {"kind": kind, "field": error.field, "problem": error.problem}})
        return
    option = _OPTION_OF_FIELD.get(error.field)
    complain(printable(f"{error} ({option})" if option else str(error)))


def print_json(document: object) -> None:
    """One JSON document, in ASCII: ids of a vendor's file may hold anything."""
    typer.echo(json.dumps(document, indent=1))


def printable(text: str) -> str:
    """The text with what could upset a terminal written as an escape."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
