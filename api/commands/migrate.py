"""`headend migrate`: bring the database to the version of this release."""

from api.commands.telling import AsJson, Config, run, tell_json
from api.wiring import migrate_database

EPILOG = "Example: headend migrate --config /etc/headend/headend.toml"


def migrate_command(config: Config = None, as_json: AsJson = False) -> None:
    """Bring the database to the version of this release; harmless when it is there already.

    SQLite needs none of this: it is done at every start.
    """
    before, now = run(config, migrate_database)
    if as_json:
        tell_json({"before": before, "now": now, "changed": before != now})
    elif before == now:
        print(f"The database is at version {now} already.")
    else:
        print(f"The database went from version {before or 'none (empty)'} to {now}.")
