"""What was found on a line, as a file for `headend meters import` that a person completes."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from api.commands.meters_file import OPTIONAL, REASON, REQUIRED
from api.settings import SettingsRefused
from headend.discovery import Found, Presence

# What no wire tells; the person who completes the file writes it.
ASKED = ("drn", "service", "profile", "sgc", "krn", "ti", "kt", "ea", "keypad")


def write_found(file: Path, found: Sequence[Found], *, bus: str) -> None:
    """Write a new file; raises SettingsRefused, also when it is there already."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(found_csv(found, bus=bus))
    except FileExistsError:
        raise SettingsRefused(f"{file} is there already; name another with --out") from None
    except OSError as error:
        raise SettingsRefused(f"{file}: {error.strerror}; name another with --out") from None


def found_csv(found: Sequence[Found], *, bus: str) -> str:
    """One line a meter; what is left to do stands in its last column, which is not brought in."""
    out = StringIO()
    writer = csv.DictWriter(out, [*REQUIRED, *OPTIONAL, REASON], lineterminator="\n")
    writer.writeheader()
    for one in found:
        cells = dict(_cells(one)) | {"bus": bus, "address": one.address}
        missing = [name for name in ASKED if not cells.get(name)]
        writer.writerow(cells | {REASON: _to_do(one, missing)})
    return out.getvalue()


def _cells(one: Found) -> Iterator[tuple[str, str]]:
    if len(one.models) == 1:
        yield "profile", one.models[0]
    if one.drn is not None:
        yield "drn", one.drn
    if one.service is not None:
        yield "service", one.service.value
    if one.currency is not None:
        yield "currency", one.currency
    if one.sts is not None:
        yield "sgc", one.sts.sgc
        yield "krn", str(one.sts.krn)
        yield "ti", str(one.sts.tariff_index)
        yield "kt", str(int(one.sts.key_type))
        yield "ea", str(one.sts.ea)


def _to_do(one: Found, missing: Sequence[str]) -> str:
    todo = [f"fill in {', '.join(missing)}"] if missing else []
    if one.presence is Presence.DUPLICATE:
        todo.insert(0, "two meters answer here: give one another address")
    if not one.address:
        todo.append("it tells no address: on a line that it has for itself leave that empty")
    if len(one.models) > 1:
        todo.append(f"profile is one of {', '.join(one.models)}: see the plate")
    return "; ".join([*todo, one.told])
