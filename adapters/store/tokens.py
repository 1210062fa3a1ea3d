"""Tokens in the database."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import tokens
from headend.meters import Drn, TenantId
from headend.refusals import TokenKnown
from headend.tokens import Token, TokenPurpose, TokenResult, TokenState
from headend.vending_keys import KeyMark

_c = tokens.c
_TENANT = _c.tenant == bindparam("tenant_")
_ADD = new_only(tokens)
_OF = select(tokens).where(_TENANT, _c.delivery_id == bindparam("delivery")).order_by(_c.sequence)
_FIND = select(tokens).where(_TENANT, _c.id == bindparam("id_"))
_BY_DIGITS = (
    select(tokens)
    .where(_TENANT, _c.drn == bindparam("drn_"), _c.digits == bindparam("digits_"))
    .order_by(_c.id.desc())
    .limit(1)
)
_BY_TID = select(tokens).where(_TENANT, _c.drn == bindparam("drn_"), _c.tid == bindparam("tid_"))
_SAVE = update(tokens).where(_TENANT, _c.id == bindparam("id_"))


class SqlTokens:
    """Satisfies the tokens of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, token: Token) -> None:
        columns = {
            "id": token.id,
            "tenant": token.tenant,
            "drn": token.drn,
            "delivery_id": token.delivery_id,
            "sequence": token.sequence,
            "purpose": token.purpose,
            "digits": token.digits,
            "tid": token.tid,
            "mark": token.mark,
            **_changing(token),
        }
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise TokenKnown(
                f"a token of these digits already belongs to meter {token.drn}", field="tokens"
            )

    async def of(self, delivery_id: str, tenant: TenantId) -> Sequence[Token]:
        rows = await self._run.rows(_OF, {"tenant_": tenant, "delivery": delivery_id})
        return [token_of(row) for row in rows]

    async def by_digits(self, tenant: TenantId, drn: Drn, digits: str) -> Token | None:
        keys = {"tenant_": tenant, "drn_": drn, "digits_": digits}
        row = await self._run.row(_BY_DIGITS, keys)
        return None if row is None else token_of(row)

    async def find(self, tenant: TenantId, ident: str) -> Token | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "id_": ident})
        return None if row is None else token_of(row)

    async def by_tid(self, tenant: TenantId, drn: Drn, tid: int) -> Sequence[Token]:
        rows = await self._run.rows(_BY_TID, {"tenant_": tenant, "drn_": drn, "tid_": tid})
        found = [token_of(row) for row in rows]
        return sorted(found, key=lambda token: (token.delivery_id, token.sequence))

    async def save(self, token: Token) -> None:
        """Only what became of it changes. Raises Stale when there is no such token."""
        keys = {"tenant_": token.tenant, "id_": token.id}
        await self._run.change(_SAVE, _changing(token) | keys, what=f"token {token.id}")


def token_of(row: SqlRow) -> Token:
    """A token from all the columns of its table."""
    return Token(
        id=row.id,
        tenant=row.tenant,
        drn=row.drn,
        delivery_id=row.delivery_id,
        sequence=row.sequence,
        purpose=TokenPurpose(row.purpose),
        digits=row.digits,
        tid=row.tid,
        mark=None if row.mark is None else KeyMark(row.mark),
        state=TokenState(row.state),
        result=None if row.result is None else TokenResult(row.result),
        taken_at=row.taken_at,
    )


def _changing(token: Token) -> dict[str, object]:
    return {"state": token.state, "result": token.result, "taken_at": token.taken_at}
