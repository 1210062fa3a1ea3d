"""Webhooks: where the back-office wants to be told, and what could not be told."""

from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.auth import WebhookKeeper
from api.documenting import explained
from api.head_end import Desks, HeadEnd
from api.routes.forms import Asked, Ident, IdentPath, Moment, Text, Told, grows
from api.routes.outbox import MAX_TYPES
from headend import refusals
from headend.meters import TenantId
from headend.outbox import MAX_PAGE
from headend.webhook_desk import OLD_SECRET_DEFAULT, OLD_SECRET_MAX, Replayed, WebhookOrder
from headend.webhook_refusals import ReceiverRefused, TooManyWebhooks, UnknownEvent, UnknownWebhook
from headend.webhooks import Backlog, DeadLetter, PausedBy, Webhook, WebhookState

router = APIRouter(prefix="/v1", tags=["webhooks"])

HOUR_S = 3600
ReceiverUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2000),
    Field(examples=["https://billing.example/events"]),
]
EventTypes = Annotated[
    list[Annotated[str, StringConstraints(max_length=100)]],
    Field(
        max_length=MAX_TYPES,
        description="Types such as `headend.recharge.lit.v1`, or families such as"
        " `headend.recharge.*`; empty means all.",
        examples=[["headend.recharge.*"]],
    ),
]
CHANGES = (UnknownWebhook, ReceiverRefused, refusals.MalformedOrder)


class WebhookAsked(Asked):
    """A new webhook."""

    url: ReceiverUrl
    description: Text = ""
    types: EventTypes = Field(default_factory=list)

    def order(self) -> WebhookOrder:
        return WebhookOrder(url=self.url, description=self.description, types=tuple(self.types))


class WebhookChangeAsked(Asked):
    """What shall be another; what is left out stays. `state` pauses and resumes."""

    url: ReceiverUrl | None = None
    description: Text | None = None
    types: EventTypes | None = None
    state: WebhookState | None = None

    def order(self) -> WebhookOrder:
        types = None if self.types is None else tuple(self.types)
        return WebhookOrder(
            url=self.url, description=self.description, types=types, state=self.state
        )


class RotationAsked(Asked):
    """For how long messages are signed with the old secret as well."""

    old_for_s: Annotated[int, Field(ge=0, le=int(OLD_SECRET_MAX.total_seconds()))] = int(
        OLD_SECRET_DEFAULT.total_seconds()
    )


class ReplayAsked(Asked):
    """What shall be told again: one event, the dead letters, or what happened in a time."""

    event: Annotated[Ident | None, Field(examples=["01000000008-42"])] = None
    dead_letters: bool = False
    since: Moment | None = None
    until: Moment | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "ReplayAsked":
        named = [self.event is not None, self.dead_letters, self.since is not None]
        if sum(named) != 1 or (self.until is not None and self.since is None):
            raise PydanticCustomError(
                "replay", "bring exactly one of event, dead_letters and since (with until)"
            )
        return self


class WebhookTold(Told):
    """A webhook, how its receiver does, and what waits for it.

    `failures` are those in a row; `pending`, `oldest_at` and `dead` are null right after a change.
    """

    id: str
    url: str
    description: str
    types: Sequence[str]
    state: Annotated[WebhookState, grows(WebhookState)]
    paused_by: Annotated[PausedBy, grows(PausedBy)] | None
    old_secret_until: datetime | None
    failures: int
    failing_since: datetime | None
    rest_until: datetime | None
    last_status: int | None
    last_error: str | None
    pending: int | None
    oldest_at: datetime | None
    dead: int | None
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, webhook: Webhook, backlog: Backlog | None = None) -> "WebhookTold":
        return cls(**_fields(webhook, backlog))


class WebhookSecretTold(WebhookTold):
    """A webhook with its signing secret, which is told now and never again."""

    secret: Annotated[str, Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]


class WebhooksTold(Told):
    """All of them: there are few."""

    items: Sequence[WebhookTold]


class DeadLetterTold(Told):
    """An event that was given up; `after` is its place in the listing."""

    event: str
    type: str
    meter: str | None
    time: datetime
    attempts: int
    last_status: int | None
    last_error: str
    ended_at: datetime | None
    after: int

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterTold":
        posting, said = letter.posting, letter.announced.announcement
        return cls(
            event=letter.announced.id,
            type=said.occurrence.type,
            meter=said.drn,
            time=said.at,
            attempts=posting.attempts,
            last_status=posting.status,
            last_error=posting.detail,
            ended_at=posting.ended_at,
            after=posting.cursor,
        )


class DeadLettersTold(Told):
    """One page; `next` is the `after` of the next one, or null on the last."""

    items: Sequence[DeadLetterTold]
    next: int | None


class ReplayedTold(Told):
    """How many events are told again; with `more` there were too many for one request."""

    count: int
    more: bool

    @classmethod
    def of(cls, replayed: Replayed) -> "ReplayedTold":
        return cls(count=replayed.count, more=replayed.more)


@router.post(
    "/webhooks",
    status_code=201,
    summary="Make a webhook",
    responses=explained(ReceiverRefused, TooManyWebhooks, refusals.MalformedOrder, body=True),
)
async def create_webhook(
    body: WebhookAsked, caller: WebhookKeeper, desks: Desks, response: Response
) -> WebhookSecretTold:
    """It is told everything from now on. The secret is shown now and never again."""
    made = await desks.writes.finish(desks.webhooks.add(caller.tenant, body.order()))
    response.headers["Location"] = f"/v1/webhooks/{made.webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretTold(**_fields(made.webhook, None), secret=made.secret)


@router.get("/webhooks", summary="All webhooks", responses=explained())
async def list_webhooks(caller: WebhookKeeper, desks: Desks) -> WebhooksTold:
    async with desks.store.look() as tx:
        webhooks = await tx.webhooks.all(caller.tenant)
        backlogs = {one.webhook_id: one for one in await tx.postings.backlogs(caller.tenant)}
    return WebhooksTold(
        items=[
            WebhookTold.of(one, backlogs.get(one.id, Backlog(one.id, 0, None, 0)))
            for one in webhooks
        ]
    )


@router.get("/webhooks/{id}", summary="One webhook", responses=explained(UnknownWebhook))
async def read_webhook(id: IdentPath, caller: WebhookKeeper, desks: Desks) -> WebhookTold:
    webhook = await desks.webhooks.find(caller.tenant, id)
    async with desks.store.look() as tx:
        backlogs = {one.webhook_id: one for one in await tx.postings.backlogs(caller.tenant)}
    return WebhookTold.of(webhook, backlogs.get(id, Backlog(id, 0, None, 0)))


@router.patch(
    "/webhooks/{id}",
    summary="Change, pause or resume a webhook",
    responses=explained(*CHANGES, body=True),
)
async def change_webhook(
    id: IdentPath, body: WebhookChangeAsked, caller: WebhookKeeper, desks: Desks
) -> WebhookTold:
    """While it is paused everything is kept for it, for about three days."""
    change = desks.webhooks.change(caller.tenant, id, body.order())
    return WebhookTold.of(await desks.writes.finish(change))


@router.delete("/webhooks/{id}", summary="Remove a webhook", responses=explained(UnknownWebhook))
async def remove_webhook(id: IdentPath, caller: WebhookKeeper, desks: Desks) -> WebhookTold:
    """With all that waits for it, and its dead letters. The answer shows what was removed."""
    removal = desks.webhooks.remove(caller.tenant, id)
    return WebhookTold.of(await desks.writes.finish(removal))


@router.post(
    "/webhooks/{id}/secret",
    summary="Give a webhook a new secret",
    responses=explained(UnknownWebhook, body=True),
)
async def rotate_webhook_secret(
    id: IdentPath, body: RotationAsked, caller: WebhookKeeper, desks: Desks, response: Response
) -> WebhookSecretTold:
    """For a while messages carry two signatures, so that the receiver can change over."""
    rotation = desks.webhooks.rotate(caller.tenant, id, old_for=timedelta(seconds=body.old_for_s))
    made = await desks.writes.finish(rotation)
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretTold(**_fields(made.webhook, None), secret=made.secret)


@router.get(
    "/webhooks/{id}/dead-letters",
    summary="Events that a receiver never took, oldest first",
    responses=explained(UnknownWebhook),
)
async def list_dead_letters(
    id: IdentPath,
    caller: WebhookKeeper,
    desks: Desks,
    *,
    after: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> DeadLettersTold:
    found = await desks.webhooks.dead_letters(caller.tenant, id, after=after, limit=limit + 1)
    items = [DeadLetterTold.of(letter) for letter in found[:limit]]
    return DeadLettersTold(items=items, next=items[-1].after if len(found) > limit else None)


@router.post(
    "/webhooks/{id}/replay",
    status_code=202,
    summary="Tell events again",
    responses=explained(
        UnknownWebhook,
        UnknownEvent,
        refusals.MalformedMeterNumber,
        refusals.WrongCheckDigit,
        body=True,
    ),
)
async def replay_events(
    id: IdentPath, body: ReplayAsked, caller: WebhookKeeper, desks: Desks
) -> ReplayedTold:
    """With the same ids as before, so that a receiver knows what it has. At most 10,000 at once."""
    replaying = _replaying(desks, body, caller.tenant, id)
    return ReplayedTold.of(await desks.writes.finish(replaying))


def _replaying(
    desks: HeadEnd, body: ReplayAsked, tenant: TenantId, ident: str
) -> Coroutine[None, None, Replayed]:
    if body.event is not None:
        return desks.webhooks.replay_one(tenant, ident, body.event)
    if body.since is not None:
        until = body.until or desks.clock.now()
        return desks.webhooks.replay_since(tenant, ident, since=body.since, until=until)
    return desks.webhooks.replay_dead(tenant, ident)


def _fields(webhook: Webhook, backlog: Backlog | None) -> dict[str, Any]:
    health = webhook.health
    return {
        "id": webhook.id,
        "url": webhook.url,
        "description": webhook.description,
        "types": webhook.types,
        "state": webhook.state,
        "paused_by": webhook.paused_by,
        "old_secret_until": webhook.old_until,
        "failures": health.failures,
        "failing_since": health.failing_since,
        "rest_until": health.rest_until,
        "last_status": health.status,
        "last_error": health.detail or None,
        "pending": backlog.pending if backlog else None,
        "oldest_at": backlog.oldest_at if backlog else None,
        "dead": backlog.dead if backlog else None,
        "created_at": webhook.created_at,
        "changed_at": webhook.changed_at,
    }
