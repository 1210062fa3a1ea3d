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

from api.head_end import Desks, HeadEnd
from api.vending import Vending
from headend.errors import StoreDown
from headend.intake import Intake
from headend.webhooks import Backlog

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(desks: Desks) -> Response:
    text = generate_latest(REGISTRY) + _dropped(desks.intake) + await _vending(desks.vending)
    text += await _dark(desks)
    text += await _overdue(desks)
    text += await _outbox(desks)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _dropped(intake: Intake) -> bytes:
    """What the intake could not believe; it counts by itself, and knows nothing of Prometheus."""
    name = "headend_reports_dropped_total"
    lines = [f"# HELP {name} Reports that could not be believed", f"# TYPE {name} counter"]
    lines += [
        f'{name}{{reason="{reason}"}} {count}' for reason, count in sorted(intake.dropped.items())
    ]
    return ("\n".join(lines) + "\n").encode()


async def _dark(desks: HeadEnd) -> bytes:
    """Who has paid and has no light: how many by cause, and how long the oldest has waited."""
    registry = CollectorRegistry()
    names = ("tenant", "cause")
    count = Gauge(
        "headend_paid_but_dark", "Sales that are paid and not lit", names, registry=registry
    )
    oldest = Gauge(
        "headend_paid_but_dark_oldest_seconds",
        "Age of the oldest sale that is paid and not lit",
        names,
        registry=registry,
    )
    now = desks.clock.now()
    with suppress(StoreDown):  # the other metrics tell of that
        async with desks.store.look() as tx:
            for dark in await tx.paid_sales.counts():
                count.labels(dark.tenant, dark.cause).set(dark.count)
                oldest.labels(dark.tenant, dark.cause).set((now - dark.oldest).total_seconds())
    return generate_latest(registry)


async def _overdue(desks: HeadEnd) -> bytes:
    """Restoration clocks that run past the time to tell somebody, or past the legal limit."""
    registry = CollectorRegistry()
    count = Gauge(
        "headend_restoration_overdue",
        "Sales that are paid and not lit past a threshold of the restoration clock",
        ("tenant", "threshold"),
        registry=registry,
    )
    with suppress(StoreDown):  # the other metrics tell of that
        async with desks.store.look() as tx:
            for late in await tx.restoration_clocks.overdue(now=desks.clock.now()):
                count.labels(late.tenant, late.threshold).set(late.count)
    return generate_latest(registry)


async def _outbox(desks: HeadEnd) -> bytes:
    """What waits for the back-office, and how its receivers do."""
    registry = CollectorRegistry()
    names = ("tenant", "webhook")
    pending = Gauge("headend_webhook_pending", "Events to be told", names, registry=registry)
    oldest = Gauge(
        "headend_webhook_oldest_timestamp_seconds",
        "Time of the oldest event to be told",
        names,
        registry=registry,
    )
    dead = Gauge("headend_webhook_dead_letters", "Events given up", names, registry=registry)
    failures = Gauge(
        "headend_webhook_failures", "Failures of the receiver in a row", names, registry=registry
    )
    streams = Gauge("headend_event_streams", "Open streams of events", registry=registry)
    streams.set(desks.streams.open)
    with suppress(StoreDown):  # the other metrics tell of that
        async with desks.store.look() as tx:
            webhooks = await tx.webhooks.all(None)
            backlogs = {one.webhook_id: one for one in await tx.postings.backlogs(None)}
        for webhook in webhooks:
            backlog = backlogs.get(webhook.id, Backlog(webhook.id, 0, None, 0))
            labels = (webhook.tenant, webhook.id)
            pending.labels(*labels).set(backlog.pending)
            dead.labels(*labels).set(backlog.dead)
            failures.labels(*labels).set(webhook.health.failures)
            if backlog.oldest_at is not None:
                oldest.labels(*labels).set(backlog.oldest_at.timestamp())
    return generate_latest(registry)


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
