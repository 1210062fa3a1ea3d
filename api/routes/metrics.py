"""Metrics of this process in the Prometheus text format; they name no customer and no meter."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from api.head_end import Desks
from headend.intake import Intake

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(desks: Desks) -> Response:
    text = generate_latest(REGISTRY) + _dropped(desks.intake)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _dropped(intake: Intake) -> bytes:
    """What the intake could not believe; it counts by itself, and knows nothing of Prometheus."""
    name = "headend_reports_dropped_total"
    lines = [f"# HELP {name} Reports that could not be believed", f"# TYPE {name} counter"]
    lines += [
        f'{name}{{reason="{reason}"}} {count}' for reason, count in sorted(intake.dropped.items())
    ]
    return ("\n".join(lines) + "\n").encode()
