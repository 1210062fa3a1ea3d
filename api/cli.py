"""The `headend` command."""

import sys

import typer

from api.commands import (
    approvals,
    audit,
    caps,
    check,
    compensations,
    dark,
    decode,
    deliveries,
    demo,
    discovery,
    engineering,
    groups,
    jobs,
    keychange,
    keys,
    lines,
    meters,
    migrate,
    models,
    parameters,
    people,
    readings,
    recharges,
    serve,
    simulate,
    sts,
    supply,
    tokens,
    vault,
    version,
    webhooks,
    worklist,
)

app = typer.Typer(
    name="headend",
    help="Metering head-end and prepayment gateway: one payment, one token, any carrier.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve", epilog=serve.EPILOG)(serve.serve_command)
app.command("demo", epilog=demo.EPILOG)(demo.demo_command)
app.command("simulate", epilog=simulate.EPILOG)(simulate.simulate_command)
app.command("migrate", epilog=migrate.EPILOG)(migrate.migrate_command)
app.command("check", epilog=check.EPILOG)(check.check_command)
app.command("decode", epilog=decode.EPILOG)(decode.decode_command)
app.add_typer(keys.group, name="keys")
app.add_typer(people.group, name="people")
app.add_typer(approvals.group, name="approvals")
app.add_typer(approvals.holds, name="holds")
app.add_typer(caps.group, name="caps")
app.add_typer(caps.hours, name="hours")
app.add_typer(audit.group, name="audit")
app.add_typer(vault.group, name="vault")
app.command("line", epilog=lines.EPILOG)(lines.line_command)
app.command("discover", epilog=discovery.EPILOG)(discovery.discover_command)
app.command("read", epilog=readings.EPILOG)(readings.read_command)
app.add_typer(meters.group, name="meters")
app.add_typer(models.group, name="models")
app.add_typer(groups.group, name="groups")
app.add_typer(sts.group, name="sts")
app.command("recharge", epilog=recharges.EPILOG)(recharges.recharge_command)
app.add_typer(recharges.group, name="recharges")
app.add_typer(jobs.group, name="jobs")
app.add_typer(deliveries.group, name="deliveries")
app.command("compensations", epilog=compensations.EPILOG)(compensations.compensations_command)
app.command("dark", epilog=dark.EPILOG)(dark.dark_command)
app.add_typer(worklist.group, name="worklist")
app.add_typer(keychange.group, name="keychange")
app.add_typer(engineering.group, name="engineering")
app.add_typer(parameters.group, name="parameters")
app.add_typer(supply.group, name="supply")
app.add_typer(tokens.group, name="tokens")
app.add_typer(webhooks.group, name="webhooks")
app.command("version", epilog=version.EPILOG)(version.version_command)


def main() -> None:
    """Entry point. Refuses `python -O`: assertions tell what only a bug can break."""
    if not __debug__:
        sys.exit("headend: do not run it under python -O; its assertions guard money")
    app()


if __name__ == "__main__":
    main()
