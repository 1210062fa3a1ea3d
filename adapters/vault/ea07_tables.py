"""The table set of EA07 from a JSON file: a licensed set is data, not code."""

import json
from pathlib import Path

from headend.errors import Misconfigured
from protocols.sts.errors import TablesError
from protocols.sts.sta import StaTables

MAX_BYTES = 64 * 1024


def load_tables(file: Path) -> StaTables:
    """The set of a file, named after it; raises Misconfigured. Form: see `StaTables.parse`.

    A wrong set makes well-formed tokens that no meter takes: compare `fingerprint` with the
    supplier's paper.
    """
    try:
        with file.open("rb") as opened:
            document = json.loads(opened.read(MAX_BYTES))
        return StaTables.parse(file.stem, document)
    except OSError as exc:
        raise Misconfigured(f"{file}: {exc.strerror}") from None
    except (ValueError, RecursionError) as exc:
        reason = str(exc) if isinstance(exc, TablesError) else "is no JSON"
        raise Misconfigured(f"{file}: {reason}") from None
