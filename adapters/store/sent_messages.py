"""Messages sent, in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from adapters.store.columns import MOMENT
from adapters.store.restoration_tables import sent_messages
from adapters.store.statements import SqlRow, Statements
from headend.messages import Receipt, SentMessage
from headend.meters import TenantId
from headend.usage_points import Contact, ContactKind

LIMIT = 100

_c = sent_messages.c
_ADD = insert(sent_messages).inline()
_OF = (
    select(sent_messages)
    .where(_c.tenant == bindparam("tenant_"), _c.delivery_id == bindparam("delivery_"))
    .order_by(_c.sent_at, _c.id)
    .limit(LIMIT)
)
_NAMED = (
    select(sent_messages)
    .where(_c.provider == bindparam("provider_"), _c.reference == bindparam("reference_"))
    .order_by(_c.sent_at.desc(), _c.id.desc())
    .limit(1)
)
_NAMED_LOCKED = _NAMED.with_for_update()
_SAVE = update(sent_messages).where(_c.tenant == bindparam("tenant_"), _c.id == bindparam("id_"))
_DUE = (
    select(sent_messages)
    .where(_c.again_at.is_not(None), _c.again_at <= bindparam("now", type_=MOMENT))
    .order_by(_c.again_at, _c.tenant, _c.id)
    .limit(bindparam("limit_"))
)
_DUE_LOCKED = _DUE.with_for_update(skip_locked=True)


class SqlSentMessages:
    """Satisfies the sent messages of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, message: SentMessage) -> None:
        columns = {
            "tenant": message.tenant,
            "id": message.id,
            "delivery_id": message.delivery_id,
            "kind": message.contact.kind,
            "address": message.contact.address,
            "provider": message.provider,
            "reference": message.reference,
            "sent_at": message.sent_at,
            **_changing(message),
        }
        await self._run.changed(_ADD, columns)

    async def of(self, tenant: TenantId, delivery_id: str) -> Sequence[SentMessage]:
        rows = await self._run.rows(_OF, {"tenant_": tenant, "delivery_": delivery_id})
        return [_message_of(row) for row in rows]

    async def named(self, provider: str, reference: str) -> SentMessage | None:
        statement = _NAMED_LOCKED if self._run.locks else _NAMED
        row = await self._run.row(statement, {"provider_": provider, "reference_": reference})
        return None if row is None else _message_of(row)

    async def save(self, message: SentMessage) -> None:
        keys = {"tenant_": message.tenant, "id_": message.id}
        await self._run.change(_SAVE, _changing(message) | keys, what=f"message {message.id}")

    async def due_again(self, *, now: datetime, limit: int) -> Sequence[SentMessage]:
        statement = _DUE_LOCKED if self._run.locks else _DUE
        rows = await self._run.rows(statement, {"now": now, "limit_": limit})
        return [_message_of(row) for row in rows]


def _changing(message: SentMessage) -> dict[str, object]:
    return {
        "receipt": message.receipt,
        "receipt_at": message.receipt_at,
        "again_at": message.again_at,
        "asked_at": message.asked_at,
    }


def _message_of(row: SqlRow) -> SentMessage:
    return SentMessage(
        tenant=row.tenant,
        id=row.id,
        delivery_id=row.delivery_id,
        contact=Contact(ContactKind(row.kind), row.address),
        provider=row.provider,
        reference=row.reference,
        sent_at=row.sent_at,
        receipt=Receipt(row.receipt),
        receipt_at=row.receipt_at,
        again_at=row.again_at,
        asked_at=row.asked_at,
    )
