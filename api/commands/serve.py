"""`headend serve`: run the head-end until it is told to stop."""

import asyncio
from typing import Annotated

import structlog
import typer

from api.commands.telling import Config, told
from api.logs import configure_logs
from api.serving import serve
from api.settings import Role, Settings, load_settings
from api.wiring import head_end

# EX_SOFTWARE of sysexits.h: a supervisor starts us again, and the leases bring the work back.
FAULT = 70
EPILOG = "Example: headend serve --config /etc/headend/headend.toml"

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


def serve_command(
    config: Config = None,
    role: Annotated[
        Role | None,
        typer.Option(help="Everything, REST only, or wires and hand-overs only."),
    ] = None,
) -> None:
    """Run the head-end: REST, buses, listeners, hand-overs. SIGTERM or Ctrl-C ends it cleanly."""
    with told():
        settings = load_settings(config)
        if role is not None:
            settings = settings.model_copy(update={"role": role})
        configure_logs(level=settings.log_level)
        try:
            asyncio.run(_serve(settings))
        except BaseExceptionGroup:
            log.critical("a fault of ours ended the process", exc_info=True)
            raise typer.Exit(FAULT) from None


async def _serve(settings: Settings) -> None:
    async with head_end(settings) as running:
        await serve(running, settings)
