"""The REST interface: routes, problems and limits put together around a head-end."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import reference
from api.auth import Doorkeeper, Gate, documented
from api.documenting import SCHEMA, SCHEMA_NAME
from api.head_end import HeadEnd
from api.limits import JsonBody, RequestLimits
from api.observing import Observing
from api.problems import explain_errors
from api.routes import (
    approvals,
    audit,
    caps,
    compensations,
    credit_parameters,
    darkness,
    deliveries,
    events,
    health,
    holds,
    job_results,
    jobs,
    key_orders,
    lines,
    meters,
    metrics,
    outbox,
    readings,
    receipts,
    recharges,
    supply_groups,
    tokens,
    usage_points,
    webhooks,
    worklist,
)
from api.version import installed_version

TITLE = "Metering head-end and prepayment gateway"
DESCRIPTION = """
Payments become 20-digit STS tokens, and reach electricity, water and gas meters over any wire.

- **Keys.** Everything under `/v1` needs `Authorization: Bearer hk_...`; a key has scopes.
- **Harm** is capped: above a cap a second person approves, with a token `hp_...` of their own.
- **Repeats are safe.** You bring the id; the same request again gives the same thing.
- **Errors** are `application/problem+json` (RFC 9457) with a stable `type`.
- **Times** are RFC 3339 in UTC. **Enumerations** in answers may grow; treat unknown values as such.
- **Pages**: follow `next` (or the Link header) until it is null.
"""
_NOUNS = (
    recharges,
    jobs,
    job_results,
    deliveries,
    compensations,
    meters,
    credit_parameters,
    key_orders,
    lines,
    tokens,
    readings,
    events,
    outbox,
    webhooks,
    usage_points,
    supply_groups,
    approvals,
    holds,
    caps,
    audit,
    worklist,
    darkness,
    health,
)


class _Application(FastAPI):
    """An application whose OpenAPI, made when first asked for, holds the schema of problems."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        schema["components"]["schemas"][SCHEMA_NAME] = SCHEMA
        return schema


def create_app(head_end: HeadEnd) -> FastAPI:
    """The application; writes that are under way at shutdown are waited for."""
    app = _Application(
        title=TITLE,
        description=DESCRIPTION,
        version=installed_version(),
        lifespan=_lifespan(head_end),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.head_end = head_end
    for noun in _NOUNS:
        app.include_router(noun.router, dependencies=[documented])
    app.include_router(health.probes)
    app.include_router(metrics.router)
    app.include_router(receipts.router)
    app.include_router(reference.router)
    explain_errors(app)
    # The last added is the outermost.
    app.add_middleware(JsonBody)
    app.add_middleware(Gate, doorkeeper=Doorkeeper(head_end.store))
    app.add_middleware(RequestLimits)
    app.add_middleware(Observing)
    return app


def _lifespan(
    head_end: HeadEnd,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await head_end.writes.settle()

    return lifespan
