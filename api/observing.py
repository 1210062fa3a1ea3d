"""Observing requests: one log line and two metrics each, without query, body or key."""

import asyncio
from collections.abc import Callable

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUESTS = Counter("headend_requests_total", "Requests answered", ("method", "route", "status"))
SECONDS = Histogram(
    "headend_request_seconds", "Time from a request to its answer", ("method", "route")
)
# Probes and scrapes every few seconds tell nothing.
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Observing:
    """ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        clock: Callable[[], float] = asyncio.get_running_loop().time
        began_s = clock()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            _tell(scope, status, clock() - began_s)


def _tell(scope: Scope, status: int, took_s: float) -> None:
    # The template, not the path: ids would make a metric each.
    route = getattr(scope.get("route"), "path", "none")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    SECONDS.labels(method, route).observe(took_s)
    if route in _QUIET:
        return
    caller = scope.get("state", {}).get("visitor")
    log.info(
        "request answered",
        method=method,
        path=scope["path"][:200],
        status=status,
        took_ms=round(took_s * 1000, 1),
        key=caller.id if caller else None,
        tenant=caller.tenant if caller else None,
    )
