"""Webhooks in the database; their secrets sealed, as the vault made them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, exists, or_, select, update

from adapters.store.columns import MOMENT, literals
from adapters.store.inserts import new_only
from adapters.store.outbox_tables import postings, webhooks
from adapters.store.postings import sendable
from adapters.store.statements import SqlRow, Statements
from headend.errors import Stale
from headend.meters import TenantId
from headend.webhooks import Health, PausedBy, SealedSecret, Webhook, WebhookState

_c = webhooks.c
_NOW = bindparam("now", type_=MOMENT)
_KEY = (_c.tenant == bindparam("tenant_"), _c.id == bindparam("id_"))
_ADD = new_only(webhooks)
_FIND = select(webhooks).where(*_KEY)
_HOLD = _FIND.with_for_update()
_EVERY = select(webhooks).order_by(_c.created_at, _c.id)
_ALL = _EVERY.where(_c.tenant == bindparam("tenant_"))
_SAVE = update(webhooks).where(*_KEY, _c.version == bindparam("was"))
_NOTE = update(webhooks).where(_c.id == bindparam("id_"))
_REMOVE = delete(webhooks).where(*_KEY)
_REMOVE_POSTINGS = delete(postings).where(postings.c.webhook_id == bindparam("id_"))
_DUE = (
    select(webhooks)
    .where(
        _c.state.in_(literals([WebhookState.ACTIVE])),
        or_(_c.rest_until.is_(None), _c.rest_until <= _NOW),
        exists().where(postings.c.webhook_id == _c.id, sendable(_NOW)),
    )
    .order_by(_c.rest_until.is_not(None), _c.id)
    .limit(bindparam("limit_"))
)


class SqlWebhooks:
    """Satisfies the webhooks of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, webhook: Webhook) -> None:
        born = {"id": webhook.id, "tenant": webhook.tenant, "created_at": webhook.created_at}
        columns = born | _changing(webhook) | _healthy(webhook.health)
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"webhook {webhook.id}")

    async def find(self, tenant: TenantId, ident: str) -> Webhook | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "id_": ident})
        return None if row is None else _webhook_of(row)

    async def all(self, tenant: TenantId | None) -> Sequence[Webhook]:
        if tenant is None:
            rows = await self._run.rows(_EVERY, {})
        else:
            rows = await self._run.rows(_ALL, {"tenant_": tenant})
        return [_webhook_of(row) for row in rows]

    async def save(self, webhook: Webhook, *, was: int) -> None:
        keys = {"tenant_": webhook.tenant, "id_": webhook.id, "was": was}
        await self._run.change(_SAVE, _changing(webhook) | keys, what=f"webhook {webhook.id}")

    async def note(self, ident: str, health: Health) -> None:
        await self._run.changed(_NOTE, _healthy(health) | {"id_": ident})

    async def remove(self, tenant: TenantId, ident: str) -> bool:
        """Held first: then nobody posts to it any more, and the next statement sees all there is.

        In a transaction of its own, see `order` of the outbox.
        """
        keys = {"tenant_": tenant, "id_": ident}
        if await self._run.row(_HOLD, keys) is None:
            return False
        await self._run.changed(_REMOVE_POSTINGS, {"id_": ident})
        return await self._run.changed(_REMOVE, keys) > 0

    async def due(self, *, now: datetime, limit: int) -> Sequence[Webhook]:
        rows = await self._run.rows(_DUE, {"now": now, "limit_": limit})
        return [_webhook_of(row) for row in rows]


def _webhook_of(row: SqlRow) -> Webhook:
    return Webhook(
        id=row.id,
        tenant=row.tenant,
        url=row.url,
        description=row.description,
        types=tuple(row.types),
        state=WebhookState(row.state),
        paused_by=None if row.paused_by is None else PausedBy(row.paused_by),
        secret=SealedSecret(row.nonce, row.ciphertext, row.master_id),
        old_secret=(
            None
            if row.old_ciphertext is None
            else SealedSecret(row.old_nonce, row.old_ciphertext, row.old_master_id)
        ),
        old_until=row.old_until,
        health=Health(
            failures=row.failures,
            failing_since=row.failing_since,
            rest_until=row.rest_until,
            status=row.status,
            detail=row.detail,
            told_at=row.told_at,
        ),
        version=row.version,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def _changing(webhook: Webhook) -> dict[str, object]:
    old = webhook.old_secret
    return {
        "url": webhook.url,
        "description": webhook.description,
        "types": list(webhook.types),
        "state": webhook.state,
        "paused_by": webhook.paused_by,
        "nonce": webhook.secret.nonce,
        "ciphertext": webhook.secret.ciphertext,
        "master_id": webhook.secret.master_id,
        "old_nonce": old.nonce if old else None,
        "old_ciphertext": old.ciphertext if old else None,
        "old_master_id": old.master_id if old else None,
        "old_until": webhook.old_until,
        "version": webhook.version,
        "changed_at": webhook.changed_at,
    }


def _healthy(health: Health) -> dict[str, object]:
    return {
        "failures": health.failures,
        "failing_since": health.failing_since,
        "rest_until": health.rest_until,
        "status": health.status,
        "detail": health.detail,
        "told_at": health.told_at,
    }
