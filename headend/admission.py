"""Admission: whether a dangerous order may go, or waits for a second person, or is refused.

Decided under a lock of its kind and in the transaction that counts it, so that two callers at the
same moment cannot pass a cap together. A refusal is returned, not raised: what was written down
with it (the approval that waits, the audit) must be committed first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from headend.approvals import EXPIRES_AFTER, Approval, ApprovalState, ApprovalSubject
from headend.audit import AuditAction, Entry
from headend.commands import ChangeKey, Command, Manage, SetCreditParameters, SetSupply
from headend.dangers import Danger, DangerousOrder, caps_in_force, danger_of, exceeded
from headend.harm_news import approval_news
from headend.meters import Meter
from headend.outbox import announce
from headend.people import UNNAMED, Person, Requester
from headend.refusals import (
    ApprovalEnded,
    ApprovalRequired,
    CapReached,
    KindHeld,
    OrderDiffers,
    OrderRefused,
    RequesterRequired,
    UnknownPerson,
)
from headend.store import Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A dangerous order that is not admitted yet; `ident` will be the id of its delivery.

    `always` tells why it needs a second person however few there were; `approval_lasts`, for how
    long one may approve it.
    """

    ident: str
    meter: Meter
    command: Command
    danger: Danger
    ordered_by: str
    requester: Requester = UNNAMED
    three_kct: bool = False
    always: str | None = None
    approval_lasts: timedelta = EXPIRES_AFTER


def wish_for(
    meter: Meter,
    command: Command,
    ident: str,
    *,
    ordered_by: str,
    requester: Requester,
    three_kct: bool = False,
    approval_lasts: timedelta = EXPIRES_AFTER,
) -> Wish | None:
    """The wish behind an order, None where nothing about it is dangerous."""
    danger = danger_of(command)
    if danger is None:
        return None
    return Wish(
        ident=ident,
        meter=meter,
        command=command,
        danger=danger,
        ordered_by=ordered_by,
        requester=requester,
        three_kct=three_kct,
        approval_lasts=approval_lasts,
    )


async def require_admitted(store: Store, wish: Wish, *, now: datetime, approval_id: str) -> None:
    """Count an order in a commit of its own, before anything is made; raises why it may not go."""
    async with store.begin() as tx:
        refusal = await admit(tx, wish, now=now, approval_id=approval_id)
    if refusal is not None:
        raise refusal


async def admit(
    tx: Transaction, wish: Wish, *, now: datetime, approval_id: str
) -> OrderRefused | None:
    """Count an order, or say why not; `approval_id` names the approval if it has to wait.

    Raises OrderDiffers, UnknownPerson. An order of the same id is counted once.
    """
    tenant, sgc = wish.meter.tenant, wish.meter.sts.sgc
    await tx.dangers.lock(tenant, wish.danger)
    approval = await tx.approvals.of(tenant, ApprovalSubject.ORDER, wish.ident)
    if approval is not None and not _for(approval, wish):
        raise OrderDiffers(wish.ident, "order")
    known = await tx.dangers.find(tenant, wish.ident)
    if known is not None:
        if known.drn != wish.meter.drn:
            raise OrderDiffers(wish.ident, "meter")
        if known.danger is not wish.danger or not _asks_the_same(known, wish):
            raise OrderDiffers(wish.ident, "order")
        return None
    if (hold := await tx.holds.in_force(tenant, wish.danger, sgc)) is not None:
        refusal = KindHeld(f"{wish.danger} in {sgc} since {hold.since:%H:%M} UTC: {hold.reason}")
        if wish.requester.job is None and approval is None:
            # Jobs and approved orders come again and again until it is lifted.
            await note(tx, wish, AuditAction.ORDER_REFUSED, refusal.slug, now=now)
        return refusal
    if approval is not None:
        refused = _undecided(approval.at(now))
        if refused is not None:
            return refused
    else:
        why = await _needs_approval(tx, wish, now=now)
        if why is not None:
            return await _wait(tx, wish, why, now=now, approval_id=approval_id)
    await _count(tx, wish, approval, now=now)
    return None


async def note(
    tx: Transaction, wish: Wish, action: AuditAction, result: str, *, now: datetime
) -> None:
    """Write down what became of a dangerous order."""
    about = {
        "danger": wish.danger.value,
        "meter": wish.meter.drn,
        "sgc": wish.meter.sts.sgc,
        "what": describe(wish.command),
    }
    if wish.requester.people:
        about["for"] = " ".join(sorted(wish.requester.people))
    if wish.requester.job is not None:
        about["job"] = wish.requester.job
    await tx.audit.append(
        Entry(
            tenant=wish.meter.tenant,
            at=now,
            by=f"key:{wish.ordered_by}",
            action=action,
            subject=wish.ident,
            result=result,
            about=about,
        )
    )


def describe(command: Command) -> str:
    """A command in a few words, without secrets."""
    match command:
        case SetSupply(action, reason, _):
            return f"{action} for {reason}"
        case Manage(order):
            numbers = [str(n) for n in (order.value, order.index) if n is not None]
            return " ".join([order.kind.value, *numbers])
        case SetCreditParameters(change):
            return str(change)
        case ChangeKey(present, to):
            return (
                f"key {present.sgc}/{present.krn}/{present.tariff_index}"
                f" to {to.sgc}/{to.krn}/{to.tariff_index}"
            )
        case _:
            return type(command).__name__


def _for(approval: Approval, wish: Wish) -> bool:
    return (approval.drn, approval.command, approval.three_kct) == (
        wish.meter.drn,
        wish.command,
        wish.three_kct,
    )


def _asks_the_same(known: DangerousOrder, wish: Wish) -> bool:
    """The caller says the same, whatever key the meter holds by now."""
    if known.three_kct not in (None, wish.three_kct):
        return False
    match known.command, wish.command:
        case Manage(one), Manage(other):
            return one == other
        case ChangeKey(to=one), ChangeKey(to=other):
            return one == other
        case None, _:
            return True  # it was not remembered yet
        case _:
            return known.command == wish.command


def _undecided(approval: Approval) -> OrderRefused | None:
    """None when it may go."""
    match approval.state:
        case ApprovalState.WAITING:
            return _required(approval)
        case ApprovalState.APPROVED | ApprovalState.CARRIED_OUT:
            return None
        case ApprovalState.REFUSED:
            return ApprovalEnded(f"a person refused it: {approval.detail}")
        case ApprovalState.EXPIRED:
            return ApprovalEnded("nobody approved it in time; order anew with another id")
        case ApprovalState.WITHDRAWN:
            return ApprovalEnded("it was withdrawn; order anew with another id")
        case ApprovalState.FAILED:
            return ApprovalEnded(f"it was approved, and then refused: {approval.detail}")


def _required(approval: Approval) -> ApprovalRequired:
    return ApprovalRequired(
        f"{approval.reason}; a second person must approve it"
        f" until {approval.expires_at:%Y-%m-%dT%H:%MZ}, then send it again",
        approval=approval.id,
    )


async def _needs_approval(tx: Transaction, wish: Wish, *, now: datetime) -> str | None:
    """Why a second person is needed, or None; a job's approval is for all its lines of one kind."""
    tenant, sgc = wish.meter.tenant, wish.meter.sts.sgc
    if await _job_approved(tx, wish, now=now):
        return None
    if wish.always is not None:
        return wish.always
    caps = await caps_in_force(tx.caps, tenant, sgc, wish.danger)
    if caps.approve_always:
        return f"every order of {wish.danger} needs a second person"
    tally = await tx.dangers.tally(tenant, wish.danger, key=wish.ordered_by, sgc=sgc, now=now)
    passed = exceeded(caps, tally)
    return None if passed is None else f"above the cap of {wish.danger}: {passed}"


async def _job_approved(tx: Transaction, wish: Wish, *, now: datetime) -> bool:
    if wish.requester.job is None:
        return False
    job = await tx.approvals.of(wish.meter.tenant, ApprovalSubject.JOB, wish.requester.job)
    if job is None or job.danger is not wish.danger:
        return False
    return job.at(now).state is ApprovalState.APPROVED


async def _wait(
    tx: Transaction, wish: Wish, why: str, *, now: datetime, approval_id: str
) -> OrderRefused:
    if wish.requester.job is not None:
        return CapReached(why)  # the job asks for one approval of all that is left of it
    if not wish.requester.people:
        await note(tx, wish, AuditAction.CAP_REACHED, why, now=now)
        return _nobody(wish, why)
    await require_people(tx, wish)
    ends = now + wish.approval_lasts
    if isinstance(wish.command, SetSupply):
        ends = min(ends, wish.command.expires_at)
    approval = Approval(
        id=approval_id,
        tenant=wish.meter.tenant,
        subject=ApprovalSubject.ORDER,
        order_id=wish.ident,
        danger=wish.danger,
        sgc=wish.meter.sts.sgc,
        drn=wish.meter.drn,
        command=wish.command,
        three_kct=wish.three_kct,
        ordered_by=wish.ordered_by,
        requesters=wish.requester.people,
        reason=why,
        created_at=now,
        expires_at=ends,
    )
    await tx.approvals.add(approval)
    await announce(tx, approval_news(approval, now=now))
    await note(tx, wish, AuditAction.APPROVAL_ASKED, why, now=now)
    return _required(approval)


def _nobody(wish: Wish, why: str) -> OrderRefused:
    text = (
        f"{why}; a second person could approve it if the order named the first: send requested_by,"
        " or use a key that belongs to a person"
    )
    return RequesterRequired(text) if wish.always is not None else CapReached(text)


async def require_people(tx: Transaction, wish: Wish) -> None:
    """Raises UnknownPerson for a requester who is nobody here."""
    for ident in wish.requester.people:
        person: Person | None = await tx.people.find(ident)
        if person is None or person.tenant != wish.meter.tenant:
            raise UnknownPerson("no such person in this utility", field="requested_by")


async def _count(tx: Transaction, wish: Wish, approval: Approval | None, *, now: datetime) -> None:
    await tx.dangers.add(
        DangerousOrder(
            tenant=wish.meter.tenant,
            id=wish.ident,
            danger=wish.danger,
            drn=wish.meter.drn,
            sgc=wish.meter.sts.sgc,
            ordered_by=wish.ordered_by,
            admitted_at=now,
            command=wish.command,
            three_kct=wish.three_kct,
        )
    )
    result = "" if approval is None else f"approved by person:{approval.decided_by}"
    await note(tx, wish, AuditAction.ORDERED, result, now=now)
