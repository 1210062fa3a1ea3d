"""Attempts: each try of a delivery, kept so that anybody can see what was done."""

from dataclasses import dataclass
from datetime import datetime

from headend.deliveries import DeliveryMethod, Fact
from headend.meters import TenantId
from headend.tokens import TokenResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one delivery: how, when, and what came of it. `detail` holds no secrets.

    `log_absent`: the meter's token log was read in it and did not hold the token.
    """

    tenant: TenantId
    delivery_id: str
    method: DeliveryMethod
    started_at: datetime
    ended_at: datetime
    outcome: Fact
    result: TokenResult | None = None
    detail: str = ""
    log_absent: bool = False
