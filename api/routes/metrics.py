"""Metrics of this process in the Prometheus text format; they name no customer and no meter."""

from contextlib import suppress

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Gauge,
    generate_latest,
)

from api.head_end import Desks
from api.vending import Vending
from headend.errors import StoreDown
from headend.intake import Intake

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(desks: Desks) -> Response:
    text = generate_latest(REGISTRY) + _dropped(desks.intake) + await _vending(desks.vending)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _dropped(intake: Intake) -> bytes:
    """What the intake could not believe; it counts by itself, and knows nothing of Prometheus."""
    name = "headend_reports_dropped_total"
    lines = [f"# HELP {name} Reports that could not be believed", f"# TYPE {name} counter"]
    lines += [
        f'{name}{{reason="{reason}"}} {count}' for reason, count in sorted(intake.dropped.items())
    ]
    return ("\n".join(lines) + "\n").encode()


async def _vending(vending: Vending) -> bytes:
    """When vending keys in use end, and which table set EA07 works with."""
    registry = CollectorRegistry()
    ends = Gauge(
        "headend_vending_key_expires_timestamp_seconds",
        "Last minute in which a vending key in use may issue",
        ("tenant", "sgc", "krn"),
        registry=registry,
    )
    with suppress(StoreDown):  # the other metrics tell of that
        for life in await vending.ring.keys(None):
            if life.in_use:
                key = life.key
                ends.labels(key.tenant, key.sgc, key.krn).set(life.ends_at.timestamp())
    if vending.tables is not None:
        tables = Gauge(
            "headend_ea07_tables_info",
            "The table set of EA07 in use",
            ("name", "sha256"),
            registry=registry,
        )
        tables.labels(vending.tables.name, vending.tables.fingerprint).set(1)
    return generate_latest(registry)
