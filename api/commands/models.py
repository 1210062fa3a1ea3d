"""`headend models`: the meter models that this head-end knows, and files of new ones checked."""

from pathlib import Path
from typing import Annotated

import typer

from api.commands.telling import REFUSED, AsJson, Config, tell_json, tell_rows, told
from api.model_files import (
    check_files,
    model_of,
    models_of,
    profile_schema,
    told_model,
    told_models,
    told_readings,
    told_reads,
)
from api.settings import load_settings

group = typer.Typer(
    help="Meter models: what is known of each, and files of new ones checked.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, as `models list` tells it.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Model files (TOML).")]


@group.command("list", epilog="Example: headend models list --json")
def list_models(config: Config = None, as_json: AsJson = False) -> None:
    """List the models that ship and those of the profile folders in the settings."""
    with told():
        rows = told_models(models_of(load_settings(config)))
    tell_rows(rows, as_json=as_json, nothing="no models")


@group.command("show", epilog="Example: headend models show eastron-sdm630")
def show_model(name: Name, config: Config = None, as_json: AsJson = False) -> None:
    """Show a model: its registers, what it can do, and by which reads it is read."""
    with told():
        model = model_of(load_settings(config), name)
    readings, reads = told_readings(model), told_reads(model)
    if as_json:
        tell_json({**told_model(model), "readings": readings, "reads": reads})
        return
    for key, value in told_model(model).items():
        typer.echo(f"{key:<9} {_line(value)}")
    typer.echo("")
    tell_rows(readings, as_json=False, nothing="no readings")
    typer.echo("")
    tell_rows(reads, as_json=False, nothing="nothing to read")


@group.command("check", epilog="Example: headend models check acme-m1.toml")
def check_models(files: Files, as_json: AsJson = False) -> None:
    """Check model files, and name every fault with its line and column; nothing is applied.

    What a file inherits is looked for beside it, then among the models that ship.
    """
    faults = check_files(files)
    if as_json:
        tell_json({"files": len(files), "faults": faults})
    else:
        for fault in faults:
            typer.echo("{file}:{line}:{column}: {reason}".format_map(fault))
        typer.echo(f"{len(files)} checked, {len(faults)} faults")
    if faults:
        raise typer.Exit(REFUSED)


@group.command("schema", epilog="Example: headend models schema > meter-model.schema.json")
def tell_schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of model files, for editors that check while one types."""
    del as_json  # it is JSON either way
    tell_json(profile_schema())


def _line(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
