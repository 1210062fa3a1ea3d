"""The desk where a second, named human approves or refuses, and what was approved is done."""

from dataclasses import replace
from datetime import datetime, timedelta

from headend.approvals import UNDECIDED, Approval, ApprovalState, ApprovalSubject
from headend.audit import HEAD_END, AuditAction, Entry
from headend.cap_desk import apply_caps
from headend.command_desk import CommandDesk
from headend.commands import ChangeKey, Manage, SetCreditParameters, SetSupply
from headend.errors import ModuleDown, Stale
from headend.harm_news import approval_news
from headend.key_desk import KeyDesk
from headend.meters import TenantId
from headend.outbox import announce
from headend.people import Person, Requester
from headend.ports import Clock
from headend.races import lost_races_again
from headend.refusals import (
    ApprovalEnded,
    KindHeld,
    OrderRefused,
    SamePerson,
    UnknownApproval,
)
from headend.store import Store, Transaction

BATCH = 50
_ENDED_UNDONE = frozenset({ApprovalState.REFUSED, ApprovalState.EXPIRED, ApprovalState.WITHDRAWN})
# A job of many lines is worked off over days once it is approved.
JOB_LASTS = timedelta(days=7)


class ApprovalDesk:
    """Takes decisions of people, and carries out what they approved."""

    def __init__(self, store: Store, commands: CommandDesk, keys: KeyDesk, *, clock: Clock) -> None:
        self._store = store
        self._commands = commands
        self._keys = keys
        self._clock = clock

    @lost_races_again
    async def approve(self, tenant: TenantId, ident: str, person: Person) -> Approval:
        """Approve, and carry it out; the same person again gets what came of it.

        Raises UnknownApproval, SamePerson, ApprovalEnded.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            found = (await _found(tx, tenant, ident)).at(now)
            refusal = await self._may_not(tx, found, person)
            if refusal is not None:
                await _note(
                    tx, found, AuditAction.APPROVAL_DENIED, person, now=now, result=refusal.slug
                )
            elif found.state is ApprovalState.WAITING:
                approved = found.decided(ApprovalState.APPROVED, by=person.id, now=now)
                if found.subject is ApprovalSubject.JOB:
                    approved = replace(approved, expires_at=now + JOB_LASTS)
                await _note(tx, approved, AuditAction.APPROVED, person, now=now)
                found = await _applied(tx, approved, now=now)
                await tx.approvals.save(found, was=ApprovalState.WAITING)
                await announce(tx, approval_news(found, now=now))
        if refusal is not None:
            raise refusal
        return await self._carry_out(found)

    @lost_races_again
    async def refuse(
        self, tenant: TenantId, ident: str, person: Person, *, reason: str
    ) -> Approval:
        """Refuse for good; whoever ordered it may take it back in this way too.

        Raises UnknownApproval, ApprovalEnded.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            found = (await _found(tx, tenant, ident)).at(now)
            if found.state is ApprovalState.REFUSED:
                return found
            if found.state is not ApprovalState.WAITING:
                raise ApprovalEnded(f"it is {found.state} by now", field="id")
            state = ApprovalState.REFUSED
            refused = found.decided(state, by=person.id, now=now, detail=reason)
            await tx.approvals.save(refused, was=ApprovalState.WAITING)
            await announce(tx, approval_news(refused, now=now))
            await _note(tx, refused, AuditAction.APPROVAL_REFUSED, person, now=now, result=reason)
        if refused.subject is ApprovalSubject.JOB:
            await self._wake_job(refused)
        return refused

    async def finish_approved(self) -> int:
        """Carry out what a crash has left, and let what is over expire; how many were tried."""
        async with self._store.look() as tx:
            left = await tx.approvals.approved(limit=BATCH)
            over = await tx.approvals.lapsed(now=self._clock.now(), limit=BATCH)
        for approval in left:
            await self._carry_out(approval)
        for approval in over:
            await self._expire(approval)
        return len(left) + len(over)

    async def _may_not(
        self, tx: Transaction, approval: Approval, person: Person
    ) -> OrderRefused | None:
        current = await tx.people.find(person.id)
        if current is None or current.revoked_at is not None:
            return SamePerson("this person may approve nothing any more")
        if person.id in approval.requesters:
            return SamePerson("it was ordered by you or for you: somebody else must approve it")
        if approval.state in _ENDED_UNDONE:
            return ApprovalEnded(f"it is {approval.state} by now", field="id")
        return None

    async def _carry_out(self, approval: Approval) -> Approval:
        """Order what was approved; it stays APPROVED while the module is down or its kind held."""
        now = self._clock.now()
        if approval.at(now).state is not ApprovalState.APPROVED:
            return approval
        if approval.subject is ApprovalSubject.JOB:
            await self._wake_job(approval)
        if approval.subject is not ApprovalSubject.ORDER:
            return approval
        try:
            await self._order(approval)
        except (ModuleDown, KindHeld, Stale):
            return approval
        except OrderRefused as error:
            return await self._end(approval, ApprovalState.FAILED, error.slug)
        return await self._end(approval, ApprovalState.CARRIED_OUT, "")

    async def _wake_job(self, approval: Approval) -> None:
        """A job looks for its approval by itself, when its turn comes: now."""
        async with self._store.begin() as tx:
            await tx.jobs.turn(approval.tenant, approval.order_id, at=self._clock.now())

    async def _order(self, approval: Approval) -> None:
        await self._require_key(approval)
        assert approval.drn is not None
        assert approval.ordered_by is not None
        tenant, drn = approval.tenant, approval.drn
        ident, by = approval.order_id, approval.ordered_by
        for_whom = Requester(approval.requesters)
        match approval.command:
            case SetSupply(action, reason, expires_at):
                await self._commands.order_supply(
                    tenant,
                    drn,
                    ident=ident,
                    action=action,
                    reason=reason,
                    expires_at=expires_at,
                    ordered_by=by,
                    requester=for_whom,
                )
            case ChangeKey(to=to):
                await self._keys.order_change(
                    tenant,
                    drn,
                    to,
                    ident=ident,
                    ordered_by=by,
                    requester=for_whom,
                    three_kct=approval.three_kct,
                )
            case SetCreditParameters(change):
                await self._commands.order_parameters(
                    tenant, drn, change, ident=ident, ordered_by=by, requester=for_whom
                )
            case Manage(order):
                await self._keys.order_management(
                    tenant, drn, order, ident=ident, ordered_by=by, requester=for_whom
                )
            case command:
                raise AssertionError(f"nobody approves {command}")

    async def _require_key(self, approval: Approval) -> None:
        """An order of a key that was revoked meanwhile is not carried out."""
        async with self._store.look() as tx:
            key = await tx.api_keys.find(approval.ordered_by or "")
        if key is None or key.revoked_at is not None:
            raise ApprovalEnded("the API key that ordered it was revoked")

    async def _end(self, approval: Approval, state: ApprovalState, detail: str) -> Approval:
        now = self._clock.now()
        ended = replace(approval, state=state, detail=detail)
        try:
            async with self._store.begin() as tx:
                await tx.approvals.save(ended, was=ApprovalState.APPROVED)
                await announce(tx, approval_news(ended, now=now))
                await _note(tx, ended, AuditAction.CARRIED_OUT, None, now=now, result=detail)
        except Stale:
            async with self._store.look() as tx:
                return await _found(tx, approval.tenant, approval.id)
        return ended

    @lost_races_again
    async def _expire(self, approval: Approval) -> None:
        now = self._clock.now()
        async with self._store.begin() as tx:
            found = await _found(tx, approval.tenant, approval.id)
            expired = found.at(now)
            if found.state in UNDECIDED and expired.state is ApprovalState.EXPIRED:
                await tx.approvals.save(expired, was=found.state)
                await announce(tx, approval_news(expired, now=now))
                await _note(tx, expired, AuditAction.APPROVAL_EXPIRED, None, now=now)


async def _applied(tx: Transaction, approval: Approval, *, now: datetime) -> Approval:
    """Caps are changed with their approval, in one commit; the rest is carried out after it."""
    if approval.subject is not ApprovalSubject.CAPS:
        return approval
    assert approval.caps is not None
    await apply_caps(
        tx,
        approval.tenant,
        approval.sgc,
        approval.danger,
        approval.caps,
        by=f"person:{approval.decided_by}",
        now=now,
    )
    return replace(approval, state=ApprovalState.CARRIED_OUT)


async def _found(tx: Transaction, tenant: TenantId, ident: str) -> Approval:
    approval = await tx.approvals.find(tenant, ident)
    if approval is None:
        raise UnknownApproval(f"no approval {ident}", field="id")
    return approval


async def _note(
    tx: Transaction,
    approval: Approval,
    action: AuditAction,
    person: Person | None,
    *,
    now: datetime,
    result: str = "",
) -> None:
    about = {"danger": approval.danger.value, "order": approval.order_id}
    await tx.audit.append(
        Entry(
            tenant=approval.tenant,
            at=now,
            by=HEAD_END if person is None else f"person:{person.id}",
            action=action,
            subject=approval.id,
            result=result,
            about=about | ({} if person is None else {"name": person.name}),
        )
    )
