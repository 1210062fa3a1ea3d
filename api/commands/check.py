"""`headend check`: what needs a person, told before it hurts."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from api.checking import Finding, look_over
from api.commands.telling import REFUSED, AsJson, Config, run, tell_json, tell_rows
from api.settings import Settings

EPILOG = "Example: headend check --days 180 --json"
DAYS = 90


def check_command(
    days: Annotated[
        int, typer.Option("--days", help="Warn of vending keys that end so soon.", min=0, max=3650)
    ] = DAYS,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Look over database, vending keys, security module, EA07 tables, sales and buses.

    It changes nothing and may run beside the head-end, from a timer for instance. Exit code 1 when
    something needs a person. Whether links are up, GET /v1/health/can-deliver tells.
    """

    async def look(settings: Settings) -> Sequence[Finding]:
        return [finding async for finding in look_over(settings, within=timedelta(days=days))]

    findings = run(config, look)
    well = all(finding.ok for finding in findings)
    if as_json:
        tell_json({"ok": well, "checks": [asdict(finding) for finding in findings]})
    else:
        rows = [
            {"": "ok" if finding.ok else "ATTENTION", "what": finding.subject, "how": finding.told}
            for finding in findings
        ]
        tell_rows(rows, as_json=False, nothing="")
    if not well:
        raise typer.Exit(REFUSED)
